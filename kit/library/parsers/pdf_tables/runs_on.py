"""A table that goes on over the page: whether the next page's rows stand under the same names.

Knows grids, rows and the height of a page, no letters outside. A false name would say of a value
what nobody wrote, so the table has to end at the foot of its page, the other to begin at the head
of the next, with columns of the same widths and figures where figures were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit.library.parsers.pdf_tables.cells import MADE_UP, Filled, Marked, plain
from kit.library.parsers.pdf_tables.grids import Grid
from kit.library.parsers.pdf_unseen import Box
from kit.library.parsers.rows import is_value

MAX_PAGES_ON = 30  # that the names of one page are carried over
MARGIN_SHARE = 0.08  # of a page's height: only running heads and page numbers stand there
REACH_SHARE = 0.25  # of a page's height: where a table that is cut has its end, or goes on
SAME_WIDTH = 3.0  # points
VALUE_SHARE = 0.8  # of a column of figures
MIN_VALUE_SHARE = 0.5  # of it where it goes on


@dataclass(frozen=True)
class Header:
    """The names of a table that reaches the foot of its page, for the rows on the next."""

    xs: tuple[float, ...]
    """Borders of the columns, from the left, with the page's text upright."""
    quarters: int
    """Quarter turns that set the page's text upright."""
    names: tuple[tuple[int, str], ...]
    """By column."""
    figures: frozenset[int]
    """Columns that are numbers, amounts or dates."""
    num_pages: int = 0
    """That it has been carried over."""

    def fits(self, grid: Grid, quarters: int) -> bool:
        """Whether the columns are as wide; a left page may be set farther from its edge."""
        return quarters == self.quarters and len(grid.xs) == len(self.xs) and all(
            abs((a - grid.xs[0]) - (b - self.xs[0])) <= SAME_WIDTH
            for a, b in zip(grid.xs, self.xs, strict=True)
        )  # fmt: skip

    def are_names_of(self, rows: Sequence[Sequence[Filled]]) -> bool:
        """Whether the rows may stand under the names: figures under those of figures, and no name
        among them, as a header that is only alike would have."""
        cells = [one for row in rows for one in row]
        names = dict(self.names)
        if any(names.get(one.cell.left) == one.words for one in cells):
            return False
        return all(
            _share_of_values(one for one in cells if one.cell.left == column) >= MIN_VALUE_SHARE
            for column in self.figures
        )

    def marked(self) -> dict[int, Marked]:
        """The names, as of another page: none of their letters has a place on this one."""
        return {column: [(one, MADE_UP) for one in name] for column, name in self.names}

    def carried(self, grid: Grid) -> Header | None:
        """For the page after the next one; None if that is far enough."""
        if self.num_pages + 1 >= MAX_PAGES_ON:
            return None
        return Header(grid.xs, self.quarters, self.names, self.figures, self.num_pages + 1)


def header_of(
    grid: Grid, quarters: int, names: Mapping[int, Marked], rows: Sequence[Sequence[Filled]]
) -> Header:
    """`rows` are those under the names."""
    cells = [one for row in rows for one in row]
    figures = frozenset(
        column
        for column in names
        if _share_of_values(one for one in cells if one.cell.left == column) >= VALUE_SHARE
    )
    texts = tuple((column, plain(name)) for column, name in sorted(names.items()))
    return Header(grid.xs, quarters, texts, figures)


def begins_high(grid: Grid, sheet: Box) -> bool:
    """Whether the grid begins where a table goes on; what stands above it is another question."""
    return grid.ys[0] >= sheet[3] - REACH_SHARE * (sheet[3] - sheet[1])


def ends_low(grid: Grid, sheet: Box) -> bool:
    return grid.ys[-1] <= sheet[1] + REACH_SHARE * (sheet[3] - sheet[1])


def body_of(sheet: Box) -> tuple[float, float]:
    """Foot and head of what is neither a running head nor a page number."""
    margin = MARGIN_SHARE * (sheet[3] - sheet[1])
    return sheet[1] + margin, sheet[3] - margin


def _share_of_values(cells: Iterable[Filled]) -> float:
    """Of the cells that are no dashes; 0 if there are none."""
    texts = [one.words for one in cells if any(map(str.isalnum, one.words))]
    return sum(map(is_value, texts)) / len(texts) if texts else 0.0
