"""Excel workbooks of before 2007: a section per sheet, a line per row, values as people read them.

Invariant: row N of the sheet is line N of its section.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.library.dates import Dated, own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.detect import encrypted
from kit.library.parsers.rows import RowWriter
from kit.library.parsers.xlsx import MAX_BLANK_ROWS, format_cell

_HEADER, _FOOTER, _CHART_TEXT, _SHEET = 0x0014, 0x0015, 0x100D, 0x0085
_CHART_SHEET = 2
# &L, &C, &R begin the left, middle and right part; the others are fonts, sizes and fields.
_PLACES = re.compile(r'&(?:[LCR]|"[^"]*"|\d{1,3}|[A-Za-z])')


def parse(path: Path) -> ParsedDocument:
    """Every sheet, hidden ones too (noted). Raises what xlrd raises on damage."""
    builder, notes = TextBuilder(), list[str]()
    with _open(path) as book:
        for sheet in book.sheets():
            builder.begin("sheet", f"sheet {sheet.name}")
            _write_sheet(builder, book, sheet)
            if sheet.visibility:
                notes.append(f"sheet {sheet.name} is hidden in the file; it was read too")
    if lines := list(dict.fromkeys(_margins_and_charts(path))):
        builder.begin("heading", "Headers, footers and charts")
        for line in lines:
            builder.paragraph(line)
    return builder.finish(notes=notes, dated=_own_date(path))


def _own_date(path: Path) -> Dated | None:
    """When it was last saved, or else made. Property sets: [MS-OLEPS]."""
    import olefile

    with olefile.OleFileIO(path) as ole:
        try:
            said = ole.get_metadata()
        except (OSError, ValueError, LookupError, TypeError, OverflowError, struct.error):
            return None  # the sheets were read; a date is not worth refusing them
    saved, made = (
        moment.isoformat() if isinstance(moment, datetime) else ""
        for moment in (said.last_saved_time, said.create_time)
    )
    return own_date((saved, "modified"), (made, "created"))


def _open(path: Path) -> Any:
    import xlrd

    try:
        return xlrd.open_workbook(
            file_contents=path.read_bytes(), logfile=io.StringIO(), formatting_info=True,
            ragged_rows=True,
        )  # fmt: skip
    except xlrd.XLRDError as problem:
        raise encrypted() if "encrypted" in str(problem) else problem from problem


def _margins_and_charts(path: Path) -> Iterator[str]:
    """What xlrd passes over: headers, footers, charts, sheets that are one. Records: [MS-XLS]."""
    import olefile

    with olefile.OleFileIO(path) as ole:
        if not ole.exists("Workbook"):  # before Excel 97: other records
            return
        data = ole.openstream("Workbook").read()
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        record, at = data[at + 4 : at + 4 + size], at + 4 + size
        if kind in (_HEADER, _FOOTER) and size > 3:
            text = _unicode(record[3:], wide=record[2] & 1)
            yield from filter(None, map(str.strip, _PLACES.split(text)))
        elif kind == _CHART_TEXT and size > 4:
            yield _unicode(record[4:], wide=record[3] & 1)
        elif kind == _SHEET and size > 8 and record[5] == _CHART_SHEET:
            wide = record[7] & 1
            name = _unicode(record[8 : 8 + record[6] * (1 + wide)], wide=wide)
            yield f"Chart sheet: {name}"


def _unicode(data: bytes, *, wide: int) -> str:
    return data.decode("utf-16-le" if wide else "latin-1", "replace")


def _write_sheet(builder: TextBuilder, book: Any, sheet: Any) -> None:
    writer, num_blank = RowWriter(builder), 0
    for number in range(sheet.nrows):  # at most 65,536, by the format
        cells = [_cell_text(book, cell) for cell in sheet.row(number)]
        if not any(cells):
            num_blank += 1
            if num_blank > MAX_BLANK_ROWS:
                break
            continue
        for _ in range(num_blank):
            writer.write([])
        writer.write(cells)
        num_blank = 0


def _cell_text(book: Any, cell: Any) -> str:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return format_cell(xlrd.xldate_as_datetime(cell.value, book.datemode))
        except (ValueError, OverflowError):
            return format_cell(cell.value)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return format_cell(bool(cell.value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERROR!"))
    if cell.ctype == xlrd.XL_CELL_NUMBER:
        value = int(cell.value) if cell.value.is_integer() else cell.value
        return format_cell(value, _number_format(book, cell))
    return str(cell.value)


def _number_format(book: Any, cell: Any) -> str:
    if cell.xf_index is None or not 0 <= cell.xf_index < len(book.xf_list):
        return ""
    format = book.format_map.get(book.xf_list[cell.xf_index].format_key)
    return format.format_str if format is not None else ""
