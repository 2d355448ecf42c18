"""Excel workbooks as XML of 2003: a section per sheet, a line per row, values as people read them.

Programs of book-keeping and personnel still write them, mostly under the name .xls. Knows saved
values only. Invariant: row N of the sheet is line N of its section.
Source of the elements: XML Spreadsheet Reference (Excel 2002 and 2003).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.files import format_bytes
from kit.library.dates import own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.rows import RowWriter
from kit.library.parsers.xlsx import MAX_BLANK_ROWS, MAX_ROWS, format_cell
from kit.library.parsers.xml_parts import MAX_PART_BYTES, read_xml

_SS = "{urn:schemas-microsoft-com:office:spreadsheet}"
_O = "{urn:schemas-microsoft-com:office:office}"
_X = "{urn:schemas-microsoft-com:office:excel}"
MAX_COLUMNS = 16_384
_SHARES = frozenset({"Percent"})  # formats that are named, not spelled out with a '%'


def parse(path: Path) -> ParsedDocument:
    """Every sheet, hidden ones too (noted). Raises: DocumentRefused; what lxml raises on damage."""
    if path.stat().st_size > MAX_PART_BYTES:
        limit = format_bytes(MAX_PART_BYTES)
        raise DocumentRefused(f"the workbook is larger than {limit}", hint="save it as XLSX")
    book = read_xml(path.read_bytes())
    formats = _number_formats(book)
    builder, notes = TextBuilder(), list[str]()
    for sheet in book.iter(_SS + "Worksheet"):
        name = sheet.get(_SS + "Name", "")
        builder.begin("sheet", f"sheet {name}")
        notes += _write_sheet(builder, sheet, formats)
        if sheet.find(f"{_X}WorksheetOptions/{_X}Visible") is not None:  # Visible: how it is hidden
            notes.append(f"sheet {name} is hidden in the file; it was read too")
    saved, made, title = (
        book.findtext(f"{_O}DocumentProperties/{_O}{part}", "")
        for part in ("LastSaved", "Created", "Title")
    )
    dated = own_date((saved, "modified"), (made, "created"))
    return builder.finish(title=title, notes=notes, dated=dated)


def _number_formats(book: Any) -> dict[str, str]:
    """Style -> its number format."""
    found = {}
    for style in book.iter(_SS + "Style"):
        format = style.find(_SS + "NumberFormat")
        if format is not None:
            found[style.get(_SS + "ID", "")] = format.get(_SS + "Format", "")
    return found


def _write_sheet(builder: TextBuilder, sheet: Any, formats: dict[str, str]) -> list[str]:
    writer, notes, num_written = RowWriter(builder), list[str](), 0
    name = sheet.get(_SS + "Name", "")
    for number, row in _numbered(sheet.iterfind(f"{_SS}Table/{_SS}Row")):
        if number > MAX_ROWS:
            notes.append(f"sheet {name}: only the first {MAX_ROWS:,} rows were read")
            break
        cells = _cells(row, formats)
        if not any(cells):
            continue
        if number - num_written > MAX_BLANK_ROWS:
            notes.append(
                f"sheet {name}: rows after {number - num_written - 1:,} empty ones were left out"
            )
            break
        for _ in range(num_written + 1, number):  # the empty rows before it keep the count of lines
            writer.write([])
        writer.write(cells)
        num_written = number
    return notes


def _cells(row: Any, formats: dict[str, str]) -> list[str]:
    """What stands in each column; of merged cells in the first."""
    cells: list[str] = []
    for number, cell in _numbered(row.iterfind(_SS + "Cell"), across=_SS + "MergeAcross"):
        if number > MAX_COLUMNS:
            break
        cells += [""] * (number - 1 - len(cells))
        cells.append(_cell_text(cell, formats))
    return cells


def _numbered(elements: Iterator[Any], *, across: str = "") -> Iterator[tuple[int, Any]]:
    """Each with its number, from 1: the one it states, or else the one after its neighbour's."""
    number = 0
    for element in elements:
        stated = element.get(_SS + "Index", "")
        number = max(number + 1, int(stated)) if stated.isdecimal() else number + 1
        yield number, element
        merged = element.get(across, "") if across else ""
        number += int(merged) if merged.isdecimal() else 0


def _cell_text(cell: Any, formats: dict[str, str]) -> str:
    data = cell.find(_SS + "Data")
    if data is None:
        return ""
    text = "".join(data.itertext())  # bold and the like stand as HTML inside
    number_format = formats.get(cell.get(_SS + "StyleID", ""), "")
    try:
        return _typed(text, data.get(_SS + "Type", ""), number_format)
    except ValueError:
        return text


def _typed(text: str, kind: str, number_format: str) -> str:
    if kind == "Number":
        number = float(text)
        value = int(number) if number.is_integer() else number
        return format_cell(value, "%" if number_format in _SHARES else number_format)
    if kind == "DateTime":
        return format_cell(datetime.datetime.fromisoformat(text))
    if kind == "Boolean":
        return format_cell(text.strip() == "1")
    return text
