"""Presentations of before 2007, shows and templates too; LibreOffice makes them PPTX."""

from __future__ import annotations

from pathlib import Path

from kit.library.documents import ParsedDocument
from kit.library.parsers import pptx
from kit.library.parsers.libreoffice import convert


def parse(path: Path) -> ParsedDocument:
    """As the converted file is read. Raises DocumentRefused, LibreOfficeNeeded."""
    return pptx.parse(convert(path, "ppt"))
