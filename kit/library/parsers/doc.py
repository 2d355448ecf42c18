"""Word documents of before 2007, templates too; LibreOffice makes them DOCX."""

from __future__ import annotations

from pathlib import Path

from kit.library.documents import ParsedDocument
from kit.library.parsers import docx
from kit.library.parsers.libreoffice import convert


def parse(path: Path) -> ParsedDocument:
    """As the converted file is read. Raises DocumentRefused, LibreOfficeNeeded."""
    return docx.parse(convert(path, "doc"))
