"""The letters of a page in the cells of a grid, and the cells in rows.

Knows geometry and letters, not PDFium and not the names of columns. Invariant: each letter inside
the grid is in exactly one cell of exactly one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit.library.parsers.pdf_tables.grids import Cell, Grid
from kit.library.parsers.rows import is_value

SAME_LINE = 4.0  # points between the base lines of one line, a raised number among them
PADDING = 12.0  # points of a cell's width that its text leaves free
MADE_UP = -1

Marked = list[tuple[str, int]]
"""Characters, each with its place in PDFium's text page, or MADE_UP."""


@dataclass(frozen=True)
class Letter:
    """A character that is no blank; its box and base line with the page's text upright."""

    index: int
    left: float
    right: float
    bottom: float
    top: float
    base: float


Line = Sequence[Letter]


@dataclass(frozen=True)
class Filled:
    """A cell that has text, or the part of it that is in one row."""

    cell: Cell
    letters: Sequence[Letter]
    text: Marked

    @property
    def words(self) -> str:
        return plain(self.text)

    @property
    def is_wide(self) -> bool:
        """Whether it spans several columns."""
        return self.cell.right - self.cell.left > 1


def fill_cells(
    grid: Grid, kept: Sequence[str], letters: Iterable[Letter]
) -> dict[Cell, list[Letter]] | None:
    """The letters of each cell that has any; None if a word lies across a line.

    `kept[i]` is PDFium's character i as it is kept, '' if it is not.
    """
    cells: dict[Cell, list[Letter]] = {}
    before: Letter | None = None
    cell_before: Cell | None = None
    for letter in letters:
        cell = grid.cell_at((letter.left + letter.right) / 2, (letter.bottom + letter.top) / 2)
        if before and cell != cell_before and _is_one_word(before, letter, kept):
            return None
        if cell:
            cells.setdefault(cell, []).append(letter)
        before, cell_before = letter, cell
    return cells


def _is_one_word(a: Letter, b: Letter, kept: Sequence[str]) -> bool:
    """Nothing between them, in the text or on the line."""
    is_line = min(a.top, b.top) > max(a.bottom, b.bottom)
    gap = max(a.left, b.left) - min(a.right, b.right)
    return is_line and gap < (b.top - b.bottom) / 4 and not any(kept[a.index + 1 : b.index])


def table_rows(
    grid: Grid, kept: Sequence[str], cells: Mapping[Cell, Sequence[Letter]], header_end: int
) -> list[list[Filled]]:
    """Cells by row from the left; after the header, a row of several lines that each go across is
    as many rows."""
    bands: list[list[Filled]] = [[] for _ in grid.ys]
    for cell in sorted(cells, key=lambda cell: cell.left):
        bands[cell.top].append(Filled(cell, cells[cell], _marked(cells[cell], kept)))
    rows: list[list[Filled]] = []
    for number, band in enumerate(bands):
        rows += _lines_apart(grid, kept, band) if number >= header_end else [band]
    return [row for row in rows if row]


def _lines_apart(grid: Grid, kept: Sequence[str], band: list[Filled]) -> list[list[Filled]]:
    """The band as one row per line of text, if its lines were not broken for want of room.

    A cell of one line beside them stays in the first row, as the name of a group does.
    """
    lines = [by_line(one.letters) for one in band]
    apart = [number for number, of_cell in enumerate(lines) if len(of_cell) > 1]
    if any(one.cell.bottom - one.cell.top > 1 for one in band) or len(apart) < 2:
        return [band]
    if 3 * len(apart) < 2 * len(band) or not _is_aligned([lines[number] for number in apart]):
        return [band]
    num_lines = len(lines[apart[0]])
    for line in range(1, num_lines):
        pairs = [(lines[number][line - 1], lines[number][line]) for number in apart]
        rooms = [grid.width(band[number].cell) for number in apart]
        if not _are_rows(pairs, rooms, kept, may_be_words=len(apart) == len(band) > 2):
            return [band]
    return [
        [
            Filled(one.cell, of_cell[line], _marked(of_cell[line], kept))
            for one, of_cell in zip(band, lines, strict=True)
            if line < len(of_cell)
        ]
        for line in range(num_lines)
    ]


def _are_rows(
    pairs: Sequence[tuple[Line, Line]],
    rooms: Sequence[float],
    kept: Sequence[str],
    *,
    may_be_words: bool,
) -> bool:
    """Whether lines that follow one another in several cells are rows: somewhere two values stand
    one above the other, or, of three cells or more that are all alike, two had no need to break.

    Two columns of prose have the same lines side by side, and are no rows.
    """
    if any(all(is_value(words_of(line, kept)) for line in pair) for pair in pairs):
        return True
    num_free = sum(_had_room(pair, room, kept) for pair, room in zip(pairs, rooms, strict=True))
    return may_be_words and num_free > 1


def _had_room(pair: tuple[Line, Line], room: float, kept: Sequence[str]) -> bool:
    """Whether the line's first word could have stood at the end of the line above it."""
    above, below = pair
    first_word = below[: len(words_of(below, kept).split()[0])]
    blank = _width(above) / len(above)
    return _width(above) + blank + _width(first_word) < room - PADDING


def by_line(letters: Iterable[Letter]) -> list[list[Letter]]:
    """From the top; letters set a little higher or lower belong to the line."""
    lines: list[list[Letter]] = []
    for letter in sorted(letters, key=lambda letter: -letter.base):
        if not lines or lines[-1][0].base - letter.base > SAME_LINE:
            lines.append([])
        lines[-1].append(letter)
    return [sorted(line, key=lambda letter: letter.index) for line in lines]


def _is_aligned(columns: Sequence[Sequence[Line]]) -> bool:
    """Whether the columns have the same lines, side by side."""
    if len({len(lines) for lines in columns}) > 1:
        return False
    across = zip(*([max(a.base for a in line) for line in lines] for lines in columns), strict=True)
    return all(max(bases) - min(bases) <= SAME_LINE for bases in across)


def _width(letters: Line) -> float:
    return max(letter.right for letter in letters) - min(letter.left for letter in letters)


def _marked(letters: Line, kept: Sequence[str]) -> Marked:
    """The letters in their order, a single blank where others or blanks lie between."""
    text: Marked = []
    end = letters[0].index if letters else 0
    for letter in letters:
        if any(kept[end : letter.index]):
            text.append((" ", MADE_UP))
        text += [(character, letter.index) for character in kept[letter.index]]
        end = letter.index + 1
    return text


def words_of(letters: Line, kept: Sequence[str]) -> str:
    return plain(_marked(letters, kept))


def joined(parts: Sequence[Marked], mark: str) -> Marked:
    whole: Marked = []
    for number, part in enumerate(parts):
        whole += [(character, MADE_UP) for character in mark] if number else []
        whole += part
    return whole


def plain(text: Marked) -> str:
    return "".join(character for character, _ in text)
