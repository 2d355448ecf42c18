"""Excel workbooks: a section per sheet, a line per row, values as a person reads them.

Knows saved values only: a formula whose result was never saved is written out and noted.
Invariant: row N of the sheet is line N of its section.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.office_zip import open_office, read_own_date, write_drawn
from kit.library.parsers.rows import RowWriter

MAX_ROWS = 200_000  # of one sheet
MAX_BLANK_ROWS = 1_000  # in one go; sheets with stray formatting "end" at row 1,048,576


def parse(path: Path) -> ParsedDocument:
    """Every sheet, hidden ones too (noted). Raises what openpyxl raises on damage."""
    import openpyxl

    builder, notes = TextBuilder(), []
    with contextlib.ExitStack() as stack:
        # From a stream: an original has no ending, by which openpyxl judges a path.
        stream = stack.enter_context(_stream(path))
        values = stack.enter_context(
            contextlib.closing(openpyxl.load_workbook(stream, read_only=True, data_only=True))
        )
        formulas = None
        if _has_formulas(path):
            twin_stream = stack.enter_context(_stream(path))
            formulas = stack.enter_context(
                contextlib.closing(openpyxl.load_workbook(twin_stream, read_only=True))
            )
        for sheet in values.worksheets:
            builder.begin("sheet", f"sheet {sheet.title}")
            twin = formulas[sheet.title] if formulas else None
            notes += _write_sheet(builder, sheet, twin)
            if sheet.sheet_state != "visible":
                notes.append(f"sheet {sheet.title} is hidden in the file; it was read too")
        title = values.properties.title or ""
        charts = [f"Chart sheet: {sheet.title}" for sheet in values.chartsheets]
    write_drawn(builder, path, charts)
    return builder.finish(title=title, notes=notes, dated=read_own_date(path))


def _stream(path: Path) -> IO[bytes]:
    source = open_office(path)
    return source.open("rb") if isinstance(source, Path) else source


def _write_sheet(builder: TextBuilder, sheet: Any, twin: Any | None) -> list[str]:
    writer, notes = RowWriter(builder), []
    num_written = num_unsaved = num_blank = 0
    for number, (row, sources) in enumerate(_rows(sheet, twin), start=1):
        if number > MAX_ROWS:
            notes.append(f"sheet {sheet.title}: only the first {MAX_ROWS:,} rows were read")
            break
        cells = []
        for cell, source in itertools.zip_longest(row, sources):
            value = format_cell(cell.value, getattr(cell, "number_format", "")) if cell else ""
            formula = source.value if source is not None else None
            if not value and isinstance(formula, str) and formula.startswith("="):
                num_unsaved += 1
                value = f"(formula {formula})"
            cells.append(value)
        if not any(cells):
            num_blank += 1
            if num_blank > MAX_BLANK_ROWS:
                break
            continue
        while num_written + 1 < number:  # the empty rows before this one keep the count of lines
            writer.write([])
            num_written += 1
        writer.write(cells)
        num_written, num_blank = number, 0
    if num_unsaved:
        notes.append(
            f"sheet {sheet.title}: {num_unsaved} formulas have no saved result; "
            "open it in Excel and save it"
        )
    return notes


def _rows(sheet: Any, twin: Any | None) -> Iterator[tuple[Any, Any]]:
    sheet.reset_dimensions()  # the size a file states may be a lie
    if twin is None:
        return ((row, ()) for row in sheet.iter_rows())
    twin.reset_dimensions()
    return zip(sheet.iter_rows(), twin.iter_rows(), strict=False)


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as stream:
                    tail = b""
                    while block := stream.read(1 << 20):
                        if b"<f>" in tail + block or b"<f " in tail + block:
                            return True
                        tail = block[-3:]
    return False


def format_cell(value: Any, number_format: str = "") -> str:
    """A cell as a person reads it: 1200.0 -> '1200', 0.15 as percent -> '15%', dates as ISO."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        has_time = value.time() != datetime.time()
        return (
            value.isoformat(sep=" ", timespec="minutes") if has_time else value.date().isoformat()
        )
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        if "%" in (number_format or ""):
            return f"{round(value * 100, 6):g}%"
        return str(value) if isinstance(value, int) else _format_float(value)
    return str(value)


def _format_float(value: float) -> str:
    """12 significant digits: enough for money, and without 0.1 + 0.2 = 0.30000000000000004."""
    text = f"{value:.12g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e15 else text
