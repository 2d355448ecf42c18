"""Tables of a report as a spreadsheet, each cell with its evidence.

Owns openpyxl for writing. Invariant: no cell is a formula, whatever a document says; the words that
a cell rests on stand in its comment and, with their offsets, on the last sheet.
"""

from __future__ import annotations

import io
from typing import Any

from kit.answer.events import Answer, Cell, Citation, Table
from kit.errors import UsageError
from kit.export.blocks import notes_of, printable, source_of, verbatim
from kit.export.report import Report

MAX_CELL_CHARS = 32_767  # Excel's own limit
MAX_COMMENT_CHARS = 2_000
MAX_SHEET_NAME_CHARS = 31
MAX_WIDTH, MIN_WIDTH = 60, 12
EVIDENCE = ("Table", "Row", "Column", "Value", "Document", "Page", "Place", "Start", "End", "Words")
NO_TABLE = "this answer has no table"
NO_TABLE_HINT = "spreadsheets are for comparisons and extracted fields; take Word or Markdown"


def xlsx(report: Report) -> bytes:
    """The report's tables, one sheet each, and a sheet of evidence. Raises: UsageError if none."""
    from openpyxl import Workbook

    if not report.tables:
        raise UsageError(NO_TABLE, hint=NO_TABLE_HINT)
    book: Any = Workbook()
    book.remove(book.active)
    for table, answer in report.tables:
        _add_table(book, table, answer)
    _add_evidence(book, report)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _add_table(book: Any, table: Table, answer: Answer) -> None:
    from openpyxl.comments import Comment

    sheet, notes = book.create_sheet(_sheet_name(book, table.title)), notes_of(answer)
    _put_head(sheet, table.columns)
    for at, row in enumerate(table.rows, start=2):
        for column, cell in enumerate(row, start=1):
            placed = _put(sheet, at, column, cell.text)
            cited = [notes[n] for n in cell.citations if n in notes]
            if cited:
                placed.comment = Comment(_comment(cited), "Kit", height=140, width=320)
    _set_widths(sheet, [[cell.text for cell in row] for row in table.rows])


def _add_evidence(book: Any, report: Report) -> None:
    sheet = book.create_sheet(_sheet_name(book, "Evidence"))
    _put_head(sheet, EVIDENCE)
    at = 2
    for table, answer in report.tables:
        notes = notes_of(answer)
        for row in table.rows:
            for column, cell in zip(table.columns, row, strict=True):
                for n in cell.citations:
                    if n in notes:
                        _put_evidence(sheet, at, (table.title, row[0].text, column), cell, notes[n])
                        at += 1
    sheet.column_dimensions["J"].width = MAX_WIDTH


def _put_evidence(
    sheet: Any, at: int, where: tuple[str, str, str], cell: Cell, citation: Citation
) -> None:
    start, end = cell.span or (citation.start, citation.end)
    values = (*where, cell.text, citation.document, citation.page, citation.place, start, end)
    for column, value in enumerate((*values, verbatim(citation)), start=1):
        if isinstance(value, str):
            _put(sheet, at, column, value)
        else:
            sheet.cell(at, column, value)


def _put_head(sheet: Any, columns: tuple[str, ...]) -> None:
    from openpyxl.styles import Font

    for column, name in enumerate(columns, start=1):
        _put(sheet, 1, column, name).font = Font(bold=True)
    sheet.freeze_panes = "B2"


def _put(sheet: Any, row: int, column: int, text: str) -> Any:
    """The text as text.

    Threat: a document that says '=HYPERLINK(…)' or '@SUM(…)' and is run when the sheet is opened,
    or when somebody edits the cell: hence the type, and the sign that keeps it.
    """
    from openpyxl.styles import Alignment

    cell = sheet.cell(row, column)
    cell.value = printable(text)[:MAX_CELL_CHARS]
    cell.data_type = "s"
    cell.alignment = Alignment(wrap_text=True, vertical="top")
    cell.quotePrefix = True
    return cell


def _comment(cited: list[Citation]) -> str:
    parts = [f"{source_of(citation)}\n“{verbatim(citation)}”" for citation in cited]
    return printable("\n\n".join(parts))[:MAX_COMMENT_CHARS]


def _sheet_name(book: Any, title: str) -> str:
    """A name of at most 31 letters that Excel takes and no other sheet has."""
    plain = "".join(" " if letter in "[]:*?/\\'" else letter for letter in printable(title))
    plain = " ".join(plain.split())[: MAX_SHEET_NAME_CHARS - 3] or "Table"
    name, number = plain, 2
    while name.lower() in {known.lower() for known in book.sheetnames}:
        name, number = f"{plain} {number}", number + 1
    return name


def _set_widths(sheet: Any, rows: list[list[str]]) -> None:
    from openpyxl.utils import get_column_letter

    for place, column in enumerate(zip(*rows, strict=True), start=1):
        width = max((len(text) for text in column), default=0)
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = min(MAX_WIDTH, max(MIN_WIDTH, width + 2))
