"""Tables of a PDF page that are drawn with lines: each row as a line that names its columns.

Knows one page, and the names that a table on the page before has. Invariants: every letter inside
a table is kept exactly once, but for the names of columns, which each row repeats; where lines,
letters or rows leave a doubt there is no table, and the page's text stays as it is.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.library.parsers.build import colon
from kit.library.parsers.pdf_tables.cells import (
    Filled,
    Letter,
    Marked,
    fill_cells,
    joined,
    plain,
    table_rows,
)
from kit.library.parsers.pdf_tables.grids import Grid, find_grids
from kit.library.parsers.pdf_tables.names import column_names, header_rows
from kit.library.parsers.pdf_tables.open_grids import find_open_grids, same_ends
from kit.library.parsers.pdf_tables.rulings import Rulings, turned
from kit.library.parsers.pdf_tables.runs_on import Header, begins_high, body_of, ends_low, header_of
from kit.library.parsers.pdf_unseen import Box

MIN_LINES = 3  # of a page; fewer are no table
MAX_AREAS = 50  # of a page that may be tables
MARGIN = 50.0  # points around them in which letters are looked at, larger than a letter
MIN_CELLS = 4  # with text
MAX_CELL_CHARS = 600  # a longer cell is prose in a frame
MAX_NAMELESS_CHARS = 200  # the same, where nothing says that the first row names columns
USED_SHARE = 2 / 3  # of the columns; without names, fewer are the frame of something else
SAMPLED_LETTERS = 100


@dataclass(frozen=True)
class TableText:
    """A table as it is kept; `members` are the places of its letters in PDFium's text page."""

    text: str
    chars: tuple[int, ...]
    members: frozenset[int]


@dataclass(frozen=True)
class Found:
    """The tables of a page, and what it has to do with the pages beside it."""

    tables: Sequence[TableText] = ()
    runs_on: Header | None = None
    """Of the last table, if it reaches the foot of the page."""
    may_go_on: bool = False
    """Whether a grid begins where one goes on from the page before."""
    may_run_on: bool = False
    """Whether a grid ends where one goes on over the page."""


def find_tables(
    text_page: Any, kept: Sequence[str], rulings: Rulings, before: Header | None = None
) -> Found:
    """The page's tables. `kept[i]` is PDFium's character i as it is kept, '' if it is not.

    `before` are the names of a table that reaches the foot of the page before. Of tables that lie
    in one another the inner ones are taken.
    """
    if len(rulings.level) + len(rulings.upright) < MIN_LINES:
        return Found()
    quarters = _quarters(text_page, kept)
    rulings = rulings.turned(quarters)
    grids, groups = find_grids(rulings), same_ends(rulings)
    areas = [grid.box for grid in grids]
    areas += [(rules[0].start, rules[-1].at, rules[0].end, rules[0].at) for rules in groups]
    if not areas or len(areas) > MAX_AREAS:
        return Found()
    sheet = _Sheet(text_page, kept, quarters)
    letters = list(_letters(text_page, kept, quarters, areas))
    candidates = dict.fromkeys(grids, False) | dict(find_open_grids(groups, letters, kept))
    taken: dict[Grid, _Table] = {}
    for grid, is_named in candidates.items():
        if not any(grid.overlaps(other) for other in taken):
            is_lined = grid in grids
            carried = before if is_lined and sheet.goes_on(grid, before) else None
            table = _read_table(sheet, grid, letters, is_named=is_named, before=carried)
            if table:
                taken[grid] = table
    last = min(taken, key=lambda grid: grid.ys[-1], default=None)
    return Found(
        [table.text for table in taken.values()],
        taken[last].header if last in grids and sheet.is_last(last) else None,
        any(begins_high(grid, sheet.box) for grid in grids),
        any(ends_low(grid, sheet.box) for grid in grids),
    )


class _Sheet:
    """The page as tables see it: its letters, and where they stand with its text upright."""

    def __init__(self, text_page: Any, kept: Sequence[str], quarters: int) -> None:
        self.text_page, self.kept, self.quarters = text_page, kept, quarters
        left, bottom, right, top = text_page.page.get_mediabox()
        (x0, y0), (x1, y1) = (turned(one, quarters) for one in ((left, bottom), (right, top)))
        self.box: Box = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def goes_on(self, grid: Grid, before: Header | None) -> bool:
        """Whether the grid may be the rest of a table of the page before."""
        return (
            before is not None
            and before.fits(grid, self.quarters)
            and begins_high(grid, self.box)
            and not self._has_letters(grid.ys[0], body_of(self.box)[1])
        )

    def is_last(self, grid: Grid) -> bool:
        """Whether nothing but a page number stands below, and the page ends there."""
        foot = body_of(self.box)[0]
        return ends_low(grid, self.box) and not self._has_letters(foot, grid.ys[-1])

    def _has_letters(self, low: float, high: float) -> bool:
        """Whether any stand between these heights."""
        everywhere = [(-math.inf, low, math.inf, high)]
        inside = _letters(self.text_page, self.kept, self.quarters, everywhere)
        return any(low < (one.bottom + one.top) / 2 < high for one in inside)


@dataclass(frozen=True)
class _Table:
    text: TableText
    header: Header | None


def _quarters(text_page: Any, kept: Sequence[str]) -> int:
    """Quarter turns to the right that set most of the page's text upright."""
    import pypdfium2.raw as pdfium

    places = [index for index, text in enumerate(kept) if text.strip()]
    sample = places[:: len(places) // SAMPLED_LETTERS + 1]
    angles = (pdfium.FPDFText_GetCharAngle(text_page, index) for index in sample)
    turns = Counter(-round(angle / (math.pi / 2)) % 4 for angle in angles)
    return turns.most_common(1)[0][0] if turns else 0


def _letters(
    text_page: Any, kept: Sequence[str], quarters: int, areas: Sequence[Box]
) -> Iterator[Letter]:
    """Those in the areas and next to them."""
    import pypdfium2.raw as pdfium

    lefts, bottoms, rights, tops = zip(*areas, strict=True)
    least_x, most_x = min(lefts) - MARGIN, max(rights) + MARGIN
    least_y, most_y = min(bottoms) - MARGIN, max(tops) + MARGIN
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    x, y = ctypes.c_double(), ctypes.c_double()
    for index, text in enumerate(kept):
        if not text or text.isspace():
            continue
        pdfium.FPDFText_GetCharBox(text_page, index, left, right, bottom, top)
        x0, y0 = turned((left.value, bottom.value), quarters)
        if least_x <= x0 <= most_x and least_y <= y0 <= most_y:
            pdfium.FPDFText_GetCharOrigin(text_page, index, x, y)
            x1, y1 = turned((right.value, top.value), quarters)
            base = turned((x.value, y.value), quarters)[1]
            yield Letter(index, min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1), base)


def _read_table(
    sheet: _Sheet,
    grid: Grid,
    letters: Sequence[Letter],
    *,
    is_named: bool,
    before: Header | None,
) -> _Table | None:
    """The table of a grid, or None if it is in doubt. `is_named`: names are in its first row."""
    kept = sheet.kept
    cells = fill_cells(grid, kept, letters)
    if cells is None or len(cells) < MIN_CELLS:
        return None
    first, last = header_rows(grid)
    rows = table_rows(grid, kept, cells, last)
    look = functools.partial(_look, sheet.text_page)
    names = column_names(rows, look, first, last, is_certain=is_named)
    if is_named and not names:
        return None
    body = [row for row in rows if row[0].cell.top >= last]
    header = header_of(grid, sheet.quarters, names, body) if names else None
    if not names and before:
        all_rows = table_rows(grid, kept, cells, 0)
        if before.are_names_of(all_rows):
            rows, names, last, header = all_rows, before.marked(), 0, before.carried(grid)
    longest = max(len(one.text) for row in rows for one in row)
    num_columns, num_used = len(grid.xs) - 1, len({cell.left for cell in cells})
    if (
        sum(len(row) > 1 for row in rows) < 2
        or longest > (MAX_CELL_CHARS if names else MAX_NAMELESS_CHARS)
        or (not names and num_used < USED_SHARE * num_columns)
    ):
        return None
    is_form = not names and num_columns == 2
    lines = [_line(row, names if row[0].cell.top >= last else {}, is_form) for row in rows]
    whole = joined(lines, "\n")
    members = frozenset(letter.index for of_cell in cells.values() for letter in of_cell)
    text = TableText(plain(whole), tuple(place for _, place in whole), members)
    return _Table(text, header)


def _look(text_page: Any, one: Filled) -> tuple[object, ...]:
    """Font, size and colour of a cell's first letter."""
    import pypdfium2.raw as pdfium

    index = one.letters[0].index
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text_page, index, name, len(name), flags)
    colour = [ctypes.c_uint() for _ in range(4)]
    pdfium.FPDFText_GetFillColor(text_page, index, *colour)
    size = round(pdfium.FPDFText_GetFontSize(text_page, index), 1)
    return (name.value, size, *(part.value for part in colour))


def _line(row: Sequence[Filled], names: Mapping[int, Marked], is_form: bool) -> Marked:
    """As `table_lines` writes a row; a cell over several columns has no name."""
    cells = []
    for one in row:
        name = [] if one.is_wide else names.get(one.cell.left, [])
        cells.append(joined([name, one.text], colon(plain(name))) if name else one.text)
    return joined(cells, colon(row[0].words) if is_form else " | ")
