"""Rows of a sheet as lines that can be found by their column names.

Invariant: row N is line N of its section; an empty row is an empty line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.library.parsers.build import TextBuilder, labelled
from kit.library.parsers.clean import one_line

_NUMBER = re.compile(r"[-+(]?[\s\w$€£¥]{0,4}[\d.,\s]+%?\)?$")
MAX_HEADER_ROW = 15  # a header further down is taken for data


class RowWriter:
    """Writes rows of cells: the first row that looks like column names names all that follow."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._header: list[str] = []
        self._num_rows = 0

    def write(self, cells: Sequence[str]) -> None:
        self._num_rows += 1
        row = [one_line(cell) for cell in cells]
        if not self._header and self._num_rows <= MAX_HEADER_ROW and is_header(row):
            self._header = row
            self._builder.add_clean("; ".join(cell for cell in row if cell) + "\n")
            return
        self._builder.add_clean(labelled(self._header, row, "; ") + "\n")


def is_header(row: Sequence[str]) -> bool:
    """Two or more short, different cells, none of them a number or a date."""
    filled = [cell for cell in row if cell]
    return (
        len(filled) >= 2
        and len(set(filled)) == len(filled)
        and all(len(cell) <= 80 and not is_value(cell) for cell in filled)
    )


def is_value(cell: str) -> bool:
    """Whether the cell is a number, an amount or a date."""
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d.*", cell) or _NUMBER.fullmatch(cell)) and any(
        character.isdigit() for character in cell
    )
