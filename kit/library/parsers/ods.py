"""OpenDocument spreadsheets: a section per sheet, a line per row, values as a person reads them.

Invariant: row N of the sheet is line N of its section. Rows and cells that the file says are
repeated a million times (stray formatting, or a bomb) cost no more than those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.odf import (
    DESCRIPTIONS,
    OFFICE,
    STYLE,
    TABLE,
    TEXT,
    OdfPackage,
    cells_of,
    described,
    repeated,
)
from kit.library.parsers.odf import rows_of as table_rows
from kit.library.parsers.rows import RowWriter
from kit.library.parsers.xlsx import MAX_BLANK_ROWS, MAX_ROWS, format_cell


def parse(path: Path) -> ParsedDocument:
    """Every sheet, hidden ones too (noted). Raises what zipfile and lxml raise on damage."""
    builder, notes = TextBuilder(), list[str]()
    package = OdfPackage(path, builder.hidden)
    unseen = _unseen_styles(package)
    for sheet in package.body("spreadsheet").iterchildren(TABLE + "table"):
        name = sheet.get(TABLE + "name", "")
        builder.begin("sheet", f"sheet {name}")
        notes += _write_sheet(builder, package, sheet, name)
        if sheet.get(TABLE + "style-name") in unseen:
            notes.append(f"sheet {name} is hidden in the file; it was read too")
    _write_descriptions(builder, package)
    package.write_margins(builder)
    return builder.finish(title=package.title, notes=notes, dated=package.dated)


def _write_descriptions(builder: TextBuilder, package: OdfPackage) -> None:
    """What is said of pictures and charts: beside the rows, which are counted."""
    said = [described(one) for one in package.body("spreadsheet").iter(*DESCRIPTIONS)]
    if any(said):
        builder.begin("heading", "Charts and shapes")
        for one in dict.fromkeys(said):
            builder.paragraph(one)


def _write_sheet(builder: TextBuilder, package: OdfPackage, sheet: Any, name: str) -> list[str]:
    writer, num_rows, num_blank = RowWriter(builder), 0, 0
    for row in table_rows(sheet):
        cells, times = _cells(package, row, f"in sheet {name}"), repeated(row, "rows")
        if not cells:
            num_blank += times
            if num_blank > MAX_BLANK_ROWS:
                break
            continue
        if num_rows + num_blank + times > MAX_ROWS:
            times = MAX_ROWS - num_rows - num_blank
        for _ in range(num_blank):  # the empty rows before this one keep the count of lines
            writer.write([])
        for _ in range(times):
            writer.write(cells)
        num_rows, num_blank = num_rows + num_blank + max(times, 0), 0
        if num_rows >= MAX_ROWS:
            return [f"sheet {name}: only the first {MAX_ROWS:,} rows were read"]
    return []


def _cells(package: OdfPackage, row: Any, place: str) -> list[str]:
    """The row's cells up to the last that holds something."""
    cells: list[str] = []
    waiting = 0
    for cell, times in cells_of(row):
        text = _cell_text(package, cell, place) if cell is not None else ""
        if not text:
            waiting += times
            continue
        cells += [""] * waiting + [text] * times
        waiting = 0
    return cells


def _cell_text(package: OdfPackage, cell: Any, place: str) -> str:
    kind, value = cell.get(OFFICE + "value-type", ""), cell.get(OFFICE + "value")
    if kind == "date":
        return str(cell.get(OFFICE + "date-value", "")).removesuffix("T00:00:00").replace("T", " ")
    if kind == "boolean":
        return format_cell(cell.get(OFFICE + "boolean-value") == "true")
    if kind in ("float", "percentage", "currency") and value is not None:
        shown = format_cell(_as_number(value), "%" if kind == "percentage" else "")
        currency = cell.get(OFFICE + "currency", "") if kind == "currency" else ""
        return f"{currency} {shown}".strip()
    return "\n".join(package.text(p, place) for p in _paragraphs(cell))


def _paragraphs(cell: Any) -> Iterator[Any]:
    return (p for p in cell.iterchildren(TEXT + "p"))


def _as_number(value: str) -> float | int | str:
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _unseen_styles(package: OdfPackage) -> set[str]:
    return {
        style.get(STYLE + "name", "")
        for style in package.content.iter(STYLE + "style")
        for look in style
        if look.get(TABLE + "display") == "false"
    }
