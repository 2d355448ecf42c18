"""Tables in text: comma, semicolon, tab or bar separated. Each record is one line of the text.

Invariant: record N of the file is line N of its section, so that a chunk can name its rows.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.decode import decode_text
from kit.library.parsers.rows import RowWriter

_DELIMITERS = ",;\t|"
MAX_CELL_CHARS = 1 << 20


def parse(path: Path) -> ParsedDocument:
    """One section of rows 'Header: value; Header: value'.

    Raises: DocumentRefused if a cell or the whole is too long to be a table.
    """
    text, notes = decode_text(path.read_bytes())
    csv.field_size_limit(MAX_CELL_CHARS)
    builder = TextBuilder()
    builder.note_unseen(text)
    builder.begin("sheet", "")
    writer = RowWriter(builder)
    try:
        for record in csv.reader(io.StringIO(text.replace("\0", "")), delimiter=_delimiter(text)):
            writer.write(record)
    except csv.Error as problem:
        raise DocumentRefused(
            f"the table cannot be read: {problem}",
            hint="check the quotation marks, or save it as XLSX",
        ) from problem
    return builder.finish(notes=notes)


def _delimiter(text: str) -> str:
    """The separator that cuts the first lines into the most even number of columns."""
    lines = [line for line in text[:65536].split("\n") if line.strip()][:50]

    def evenness(delimiter: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        usual = max(set(counts), key=counts.count)
        return (counts.count(usual) / len(counts) if usual > 1 else 0.0, usual)

    return max(_DELIMITERS, key=evenness) if lines else ","
