"""A report as the bytes of a file in the format that is asked for.

Knows which formats there are, and writes none itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

from kit.errors import UsageError
from kit.export.report import Report

Format = Literal["docx", "md", "xlsx", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: dict[Format, str] = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "md": "text/markdown; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
}


@dataclass(frozen=True)
class Exported:
    """A file: its name, what it is, and its bytes."""

    name: str
    media_type: str
    data: bytes


def export(report: Report, form: Format) -> Exported:
    """Raises: UsageError where a spreadsheet is asked for and there is no table."""
    data = _writer(form)(report)
    return Exported(f"{report.file_stem}.{form}", MEDIA_TYPES[form], data)


def format_of(path: PurePath) -> Format:
    """The format that a file's name asks for. Raises: UsageError for any other."""
    found = next((form for form in FORMATS if path.suffix.lower() == f".{form}"), None)
    if found is None:
        raise UsageError(
            f"{path.name} ends in no format that can be written",
            hint=f"give it one of these endings: {', '.join('.' + form for form in FORMATS)}",
        )
    return found


def _writer(form: Format) -> Callable[[Report], bytes]:
    if form == "docx":
        from kit.export.docx import docx

        return docx
    if form == "xlsx":
        from kit.export.xlsx import xlsx

        return xlsx
    if form == "csv":
        from kit.export.csv import csv

        return csv
    from kit.export.markdown import markdown

    return markdown
