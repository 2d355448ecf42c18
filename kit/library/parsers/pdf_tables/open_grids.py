"""Grids of tables that have level rules only: around the names of columns, or after each row.

Knows lines and letters, no page. Columns are seen by the blank between them, which prose in two
columns has as well; so either figures have to stand in half of three columns or more, or nearly
every line of text has to have a rule of its own, and nearly all cells have to be filled.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from kit.library.parsers.pdf_tables.cells import Letter, Line, by_line, fill_cells, words_of
from kit.library.parsers.pdf_tables.grids import REACH, Cell, Grid, is_between
from kit.library.parsers.pdf_tables.rulings import Rule, Rulings
from kit.library.parsers.rows import is_value

MAX_RULES = 100  # with the same ends
MAX_TRIED = 12  # of them, where each might be the last of a table
MIN_WIDTH = 100.0  # points of a rule; shorter ones underline a word or a sum
MIN_COLUMNS = 3  # where no rules part the rows
MIN_ROWS = 2  # beside the header
MIN_RULED_ROWS = 3  # with a rule after each
MIN_BLANK = 5.0  # points between two columns
MAX_ROW_LINES = 3  # of a row with a rule after it
MAX_LINES_SHARE = 1.5  # lines per row of such a table; prose has more
FILLED_SHARE = 0.75  # of the cells of each row
VALUE_SHARE = 0.8  # of a column's cells

Texts = Mapping[Cell, str]


def same_ends(rulings: Rulings) -> list[list[Rule]]:
    """Three rules or more that begin and end at the same places, with no upright line between
    their ends, from the top."""
    groups: list[list[Rule]] = []
    for rule in reversed(rulings.level):
        if rule.end - rule.start >= MIN_WIDTH and not any(
            is_between(rule, upright) for upright in rulings.upright
        ):
            for group in groups:
                if _have_same_ends(group[0], rule):
                    group.append(rule)
                    break
            else:
                groups.append([rule])
    return [group for group in groups if 2 < len(group) <= MAX_RULES]


def _have_same_ends(a: Rule, b: Rule) -> bool:
    return abs(a.start - b.start) <= REACH and abs(a.end - b.end) <= REACH


def find_open_grids(
    groups: Iterable[Sequence[Rule]], letters: Iterable[Letter], kept: Sequence[str]
) -> Iterator[tuple[Grid, bool]]:
    """Grids among the rules of each group, and whether a rule says that the first row is names."""
    for rules in groups:
        left, right = rules[0].start - REACH, rules[0].end + REACH
        inside = [letter for letter in letters if left <= letter.left and letter.right <= right]
        inside.sort(key=lambda letter: -letter.base)
        for grid, between in _with_header_rule(rules, inside):
            texts = _texts(grid, between, kept)
            if _are_filled(grid, texts) and _are_names_and_figures(texts):
                yield grid, True
        for grid, between in _with_row_rules(rules, inside):
            if _are_filled(grid, _texts(grid, between, kept)):
                yield grid, False


def _between(letters: Sequence[Letter], top: float, bottom: float) -> Sequence[Letter]:
    """Of letters in order from the top, those whose base line is between."""
    first, last = (
        bisect_left(letters, -at, key=lambda letter: -letter.base) for at in (top, bottom)
    )
    return letters[first:last]


def _with_header_rule(
    rules: Sequence[Rule], letters: Sequence[Letter]
) -> Iterator[tuple[Grid, Line]]:
    """Each first rule, the second under it, and each last one, the longest first: a row of names,
    and a row for each line of text under it."""
    for first in range(len(rules) - 2 if len(rules) <= MAX_TRIED else 0):
        for last in range(len(rules) - 1, first + 1, -1):
            top, middle, bottom = rules[first].at, rules[first + 1].at, rules[last].at
            body = by_line(_between(letters, middle, bottom))
            if len(body) < MIN_ROWS:
                continue
            tops = [max(letter.top for letter in line) for line in body]
            feet = [min(letter.bottom for letter in line) for line in body]
            parts = ((foot + head) / 2 for foot, head in zip(feet, tops[1:], strict=False))
            between = _between(letters, top, bottom)
            grid = _grid(rules[first], (top, middle, *parts, bottom), between)
            # A name over several columns of figures would make one of them.
            blanks = list(_blanks([letter for line in body for letter in line]))
            if grid and MIN_COLUMNS <= len(grid.xs) - 1 == len(blanks) + 1:
                yield grid, between


def _with_row_rules(
    rules: Sequence[Rule], letters: Sequence[Letter]
) -> Iterator[tuple[Grid, Line]]:
    """A row for each two rules with little text between them; the one above the first rule, which
    often has none over it, too, if it is of the same columns."""
    bands = [
        (upper.at, lower.at, by_line(_between(letters, upper.at, lower.at)))
        for upper, lower in pairwise(rules)
    ]
    for is_row, run in groupby(bands, key=lambda band: 0 < len(band[2]) <= MAX_ROW_LINES):
        rows = list(run)
        num_lines = sum(len(lines) for _, _, lines in rows)
        if is_row and len(rows) + 1 >= MIN_RULED_ROWS and num_lines <= MAX_LINES_SHARE * len(rows):
            ys = (rows[0][0], *(lower for _, lower, _ in rows))
            above = _line_above(letters, ys[0], height=ys[0] - ys[1])
            for tops in ((above,), ()) if above else ((),):
                between = _between(letters, (*tops, *ys)[0], ys[-1])
                grid = _grid(rules[0], (*tops, *ys), between)
                if grid and len(grid.ys) > MIN_RULED_ROWS:
                    yield grid, between


def _line_above(letters: Sequence[Letter], top: float, *, height: float) -> float | None:
    """The upper border of the single line of text above the rule, if it is one."""
    lines = by_line(_between(letters, top + 3 * height, top))
    if not lines or lines[-1][0].base - top > height:
        return None
    tallest = max(letter.top - letter.bottom for letter in lines[-1])
    if len(lines) > 1 and lines[-2][-1].base - lines[-1][0].base < 2 * tallest:
        return None
    return max(letter.top for letter in lines[-1]) + 1


def _grid(rule: Rule, ys: tuple[float, ...], letters: Iterable[Letter]) -> Grid | None:
    """Columns are parted in the middle of each blank that goes through all of the letters."""
    xs = [rule.start - REACH, *((a + b) / 2 for a, b in _blanks(letters)), rule.end + REACH]
    if len(xs) < 3 or any(a <= b for a, b in pairwise(ys)):
        return None
    cells = tuple(
        tuple(Cell(row, column, row + 1, column + 1) for column in range(len(xs) - 1))
        for row in range(len(ys) - 1)
    )
    return Grid(tuple(xs), ys, cells)


def _blanks(letters: Iterable[Letter]) -> Iterator[tuple[float, float]]:
    """Where no letter stands, from the left."""
    end = None
    for letter in sorted(letters, key=lambda letter: letter.left):
        if end is not None and letter.left - end >= MIN_BLANK:
            yield end, letter.left
        end = letter.right if end is None else max(end, letter.right)


def _texts(grid: Grid, letters: Line, kept: Sequence[str]) -> Texts:
    """What stands in the cells; nothing if a word lies across their borders, or if all cells of a
    row have several lines, which may be several rows."""
    cells = fill_cells(grid, kept, sorted(letters, key=lambda letter: letter.index))
    if not cells:
        return {}
    num_lines = {cell: len(by_line(of_cell)) for cell, of_cell in cells.items()}
    for row in range(1, len(grid.ys) - 1):
        if min((count for cell, count in num_lines.items() if cell.top == row), default=2) > 1:
            return {}
    return {cell: words_of(of_cell, kept) for cell, of_cell in cells.items()}


def _are_filled(grid: Grid, texts: Texts) -> bool:
    num_rows, num_columns = len(grid.ys) - 1, len(grid.xs) - 1
    filled = [sum(cell.top == row for cell in texts) for row in range(num_rows)]
    return min(filled) >= FILLED_SHARE * num_columns


def _are_names_and_figures(texts: Texts) -> bool:
    """Words in the header, and figures in half of the columns after the first or more."""
    columns: dict[int, list[str]] = {}
    for cell, text in texts.items():
        if cell.top > 0 and cell.left > 0:
            columns.setdefault(cell.left, []).append(text)
    num_columns = sum(_are_values(column) for column in columns.values())
    header = [text for cell, text in texts.items() if cell.top == 0]
    return all(map(_has_letters, header)) and 2 * num_columns >= len(columns)


def _has_letters(text: str) -> bool:
    num_letters = sum(map(str.isalpha, text))
    return num_letters > 0 and num_letters >= sum(map(str.isdigit, text))


def _are_values(texts: Sequence[str]) -> bool:
    """Nearly all that are no dashes are numbers, amounts or dates."""
    values = [is_value(text) for text in texts if any(map(str.isalnum, text))]
    return bool(values) and sum(values) >= VALUE_SHARE * len(values)
