"""Lines that cross one another as grids of cells, some of which span several rows or columns.

Knows lines, no text. Invariant: a grid's cells are rectangles, and each place of the grid is in
exactly one; lines that do not give such cells give no grid.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kit.library.parsers.pdf_tables.rulings import Rule, Rulings
from kit.library.parsers.pdf_unseen import Box

MAX_PLACES = 4_000  # rows times columns
REACH = 3.0  # points by which lines that meet may miss one another
OPEN_SIDE = 10.0  # level lines that go on so far beyond the last upright one enclose a column


@dataclass(frozen=True)
class Cell:
    """Rows `top` to `bottom` and columns `left` to `right`, half-open, from the top left."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Grid:
    xs: tuple[float, ...]
    """Borders of the columns, from the left."""
    ys: tuple[float, ...]
    """Borders of the rows, from the top."""
    cells: tuple[tuple[Cell, ...], ...]
    """By row and column; a cell that spans several stands at each of its places."""

    def cell_at(self, x: float, y: float) -> Cell | None:
        row = bisect_left(self.ys, -y, key=lambda border: -border) - 1
        column = bisect_left(self.xs, x) - 1
        inside = 0 <= row < len(self.ys) - 1 and 0 <= column < len(self.xs) - 1
        return self.cells[row][column] if inside else None

    def width(self, cell: Cell) -> float:
        return self.xs[cell.right] - self.xs[cell.left]

    @property
    def box(self) -> Box:
        return self.xs[0], self.ys[-1], self.xs[-1], self.ys[0]

    @property
    def area(self) -> float:
        return (self.xs[-1] - self.xs[0]) * (self.ys[0] - self.ys[-1])

    def overlaps(self, other: Grid) -> bool:
        return (
            self.xs[0] < other.xs[-1] and other.xs[0] < self.xs[-1]
            and self.ys[0] > other.ys[-1] and other.ys[0] > self.ys[-1]
        )  # fmt: skip


def find_grids(rulings: Rulings) -> list[Grid]:
    """Grids of two rows and two columns or more, the smallest first."""
    grids = (_grid(level, upright) for level, upright in _crossing(rulings))
    return sorted((grid for grid in grids if grid), key=lambda grid: grid.area)


def _crossing(rulings: Rulings) -> list[tuple[list[Rule], list[Rule]]]:
    """Lines that cross one another, directly or by way of others."""
    groups: list[tuple[list[Rule], list[Rule]]] = []
    for upright in rulings.upright:
        crossed = {level for level in rulings.level if cross(level, upright)}
        joined = (list[Rule](), [upright])
        apart = []
        for group in groups:
            if crossed.isdisjoint(group[0]):
                apart.append(group)
            else:
                joined[0].extend(group[0])
                joined[1].extend(group[1])
        joined[0].extend(crossed.difference(joined[0]))
        groups = [*apart, joined]
    return groups


def is_between(level: Rule, upright: Rule) -> bool:
    """Whether the upright line meets the level one, and not at its ends."""
    is_inner = level.start + REACH < upright.at < level.end - REACH
    return is_inner and cross(level, upright)


def cross(level: Rule, upright: Rule) -> bool:
    return (
        level.start - REACH <= upright.at <= level.end + REACH
        and upright.start - REACH <= level.at <= upright.end + REACH
    )


def _grid(level: Sequence[Rule], upright: Sequence[Rule]) -> Grid | None:
    upright = [*upright, *_open_sides(level, upright)]
    xs = sorted({line.at for line in upright})
    ys = sorted({line.at for line in level}, reverse=True)
    num_rows, num_columns = len(ys) - 1, len(xs) - 1
    if num_rows < 2 or num_columns < 2 or num_rows * num_columns > MAX_PLACES:
        return None
    levels, uprights = _by_place(level), _by_place(upright)
    # Each place begins as a cell of its own; two that no line parts become one.
    members = [[[(row, column)] for column in range(num_columns)] for row in range(num_rows)]

    def join(a: tuple[int, int], b: tuple[int, int]) -> None:
        one, other = members[a[0]][a[1]], members[b[0]][b[1]]
        if one is not other:
            one += other
            for row, column in other:
                members[row][column] = one

    for row in range(num_rows):
        for column in range(num_columns):
            if column + 1 < num_columns and not _is_drawn(
                uprights[xs[column + 1]], ys[row + 1], ys[row]
            ):
                join((row, column), (row, column + 1))
            if row + 1 < num_rows and not _is_drawn(
                levels[ys[row + 1]], xs[column], xs[column + 1]
            ):
                join((row, column), (row + 1, column))
    cells = []
    for line in members:
        cells.append(tuple(_bounding(places) for places in line))
        if any(
            _num_places(cell) != len(places) for cell, places in zip(cells[-1], line, strict=True)
        ):
            return None
    return Grid(tuple(xs), tuple(ys), tuple(cells))


def _open_sides(level: Sequence[Rule], upright: Sequence[Rule]) -> list[Rule]:
    """The sides of a table that has rules between its columns and none around them."""
    if len(level) < 2:
        return []
    first, last = min(level, key=lambda line: line.at), max(level, key=lambda line: line.at)
    sides = []
    if abs(first.start - last.start) <= REACH and abs(first.end - last.end) <= REACH:
        places = [line.at for line in upright]
        if min(places) - first.start > OPEN_SIDE:
            sides.append(Rule(first.start, first.at, last.at))
        if first.end - max(places) > OPEN_SIDE:
            sides.append(Rule(first.end, first.at, last.at))
    return sides


def _by_place(lines: Sequence[Rule]) -> dict[float, list[Rule]]:
    places = defaultdict(list)
    for line in lines:
        places[line.at].append(line)
    return places


def _is_drawn(lines: Sequence[Rule], start: float, end: float) -> bool:
    """Whether one of the lines parts what lies beside it from `start` to `end`."""
    spare = min(REACH, (end - start) / 4)
    return any(line.start <= start + spare and line.end >= end - spare for line in lines)


def _bounding(places: Sequence[tuple[int, int]]) -> Cell:
    rows, columns = [row for row, _ in places], [column for _, column in places]
    return Cell(min(rows), min(columns), max(rows) + 1, max(columns) + 1)


def _num_places(cell: Cell) -> int:
    return (cell.bottom - cell.top) * (cell.right - cell.left)
