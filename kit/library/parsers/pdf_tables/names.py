"""The names of a table's columns; none where it is in doubt that its first rows hold them.

Knows cells with their text and looks, no page. A false name would say of a value what nobody
wrote, so names have to look different from what is under them, or to stand over figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from kit.library.parsers.pdf_tables.cells import Filled, Marked, joined, plain
from kit.library.parsers.pdf_tables.grids import Grid
from kit.library.parsers.rows import is_value

MAX_NAME_CHARS = 60
MAX_HEADER_ROWS = 3
MIN_VALUES = 4
VALUE_SHARE = 0.8
_AMOUNT = re.compile(r"[-+(]?(?:[$€£¥]|[A-Z]{1,3})?\s?\d[\d.,/\s-]*(?:%|[A-Z]{3})?\)?")
_YEAR = re.compile(r".{0,4}\b(19|20)\d\d")
_MARK = re.compile(r"[^\W\d]\d")

Look = Callable[[Filled], object]
"""Font, size and colour of a cell's text."""


def header_rows(grid: Grid) -> tuple[int, int]:
    """First row of the names of columns, and the first after them, as the cells lie.

    A row before them that is one cell is a title; names under a wider one are names too.
    """
    num_rows, num_columns = len(grid.ys) - 1, len(grid.xs) - 1
    first = 0
    while first < num_rows - 1 and grid.cells[first][0].right == num_columns:
        first = grid.cells[first][0].bottom
    first = min(first, num_rows - 1)
    last = first + 1
    for row in range(first, min(first + MAX_HEADER_ROWS, num_rows)):
        if row < last:
            last = max(last, *(cell.bottom for cell in grid.cells[row]))
            is_wide = any(cell.right - cell.left > 1 for cell in grid.cells[row])
            last += is_wide and last == row + 1
    return first, last


def column_names(
    rows: Sequence[Sequence[Filled]], look: Look, first: int, last: int, *, is_certain: bool
) -> dict[int, Marked]:
    """By column; {} if it is in doubt that the rows `first` to `last` of the grid hold names.

    `is_certain`: the page's lines say so.
    """
    cells = [one for row in rows for one in row]
    header: dict[int, Filled] = {}
    names: dict[int, Marked] = {}
    for one in (one for one in cells if first <= one.cell.top < last):
        for column in range(one.cell.left, one.cell.right):
            above = [names[column]] if column in names else []
            names[column] = joined([*above, one.text], " ")
            header[column] = one
    body: dict[int, list[Filled]] = {}
    for one in (one for one in cells if one.cell.top >= last):
        body.setdefault(one.cell.left, []).append(one)
    # A name over two columns counts once.
    texts = [
        plain(names[one.cell.left]) for column, one in header.items() if column == one.cell.left
    ]
    is_set_apart = is_certain or _is_set_apart(header, body, look)
    are_names = (
        2 <= len(texts) == len(set(texts))
        and all(_is_name(text, may_be_year=is_set_apart) for text in texts)
        and (is_set_apart or _is_over_values(body))
    )
    return names if are_names else {}


def _is_name(text: str, *, may_be_year: bool) -> bool:
    """Short and no amount; "F1" is none, nor are "2025" and "Q1 2025" where years may be names."""
    if _MARK.fullmatch(text) or (may_be_year and _YEAR.fullmatch(text)):
        return True
    return len(text) <= MAX_NAME_CHARS and not _AMOUNT.fullmatch(text)


def _is_set_apart(
    header: Mapping[int, Filled], body: Mapping[int, Sequence[Filled]], look: Look
) -> bool:
    """In half of the columns or more, and in both of two, the name looks different from most of
    what is under it. In a form only the first column does."""
    columns = [
        sum(look(one) != look(header[column]) for one in cells) > len(cells) / 2
        for column, cells in body.items()
        if column in header
    ]
    return 2 * sum(columns) >= len(columns) if len(columns) > 2 else sum(columns) == 2


def _is_over_values(body: Mapping[int, Sequence[Filled]]) -> bool:
    """Two or more columns after the first, nearly all of them numbers, amounts or dates."""
    columns = [body[column] for column in sorted(body)[1:]]
    values = [is_value(one.words) for column in columns for one in column]
    return (
        len(columns) > 1 and len(values) >= MIN_VALUES and sum(values) >= VALUE_SHARE * len(values)
    )
