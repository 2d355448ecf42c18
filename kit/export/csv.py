"""Tables of a report as comma-separated values, for programs and spreadsheets.

Pure. Invariant: no field is one that a spreadsheet takes for a formula.
"""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Sequence

from kit.errors import UsageError
from kit.export.blocks import notes_of, printable, source_of, verbatim
from kit.export.report import Report
from kit.export.xlsx import NO_TABLE, NO_TABLE_HINT

BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads UTF-8 as something else

FORMULA_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")  # also the wide ones


def csv(report: Report) -> bytes:
    """The tables, one after another; each column is followed by one that says where its values
    stand. Raises: UsageError if there is no table.
    """
    if not report.tables:
        raise UsageError(NO_TABLE, hint=NO_TABLE_HINT)
    out = io.StringIO()
    writer = csv_format.writer(out)
    for place, (table, answer) in enumerate(report.tables):
        if len(report.tables) > 1:
            writer.writerows([[], [_inert(table.title)]] if place else [[_inert(table.title)]])
        notes = notes_of(answer)
        sources = [any(row[i].citations for row in table.rows) for i in range(len(table.columns))]
        writer.writerow(
            _with_sources(table.columns, [f"{c}: source" for c in table.columns], sources)
        )
        for row in table.rows:
            cited = [
                "; ".join(
                    f"{source_of(notes[n])}: “{verbatim(notes[n])}”"
                    for n in cell.citations
                    if n in notes
                )
                for cell in row
            ]
            writer.writerow(_with_sources([cell.text for cell in row], cited, sources))
    return (BYTE_ORDER_MARK + out.getvalue()).encode()


def _with_sources(texts: Sequence[str], cited: Sequence[str], sources: Sequence[bool]) -> list[str]:
    """Each text, followed by its source where its column has any."""
    row: list[str] = []
    for text, source, has_source in zip(texts, cited, sources, strict=True):
        row += [_inert(text), _inert(source)] if has_source else [_inert(text)]
    return row


def _inert(text: str) -> str:
    """Threat: '=cmd|…' in a document is run by the spreadsheet that opens the file."""
    text = printable(text)
    is_formula = text.lstrip()[:1] in FORMULA_SIGNS
    return f"'{text}" if text and (is_formula or text[0] in "\t\r") else text
