"""One file per format, one signature: parse(path) -> ParsedDocument. `parse` here chooses.

Knows formats by their content first and by the name's ending second. Invariant: what cannot be
read is a DocumentRefused with a plain reason and what to do, never a foreign exception.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.detect import Format, detect_format
from kit.library.parsers.libreoffice import LibreOfficeNeeded

_MODULES: dict[Format, str] = {
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "csv": "csv",
    "html": "html",
    "markdown": "markdown",
    "text": "text",
    "eml": "eml",
    "odt": "odt",
    "ods": "ods",
    "odp": "odp",
    "xls": "xls",
    "rtf": "rtf",
    "epub": "epub",
    "msg": "msg",
    "image": "image",
    "excel xml": "excel_xml",
    "doc": "doc",
    "ppt": "ppt",
}


def parse(path: Path, name: str) -> ParsedDocument:
    """Read one file, whatever it is called. `name` is the name its owner knows it by.

    Raises: DocumentRefused if it is damaged, encrypted, too large or of a kind that is not read;
    LibreOfficeNeeded if kit.library.parsers.libreoffice was told to ask first.
    """
    if path.stat().st_size == 0:
        return ParsedDocument(text="", sections=(), notes=("the file is empty",))
    found = detect_format(path, name)
    parsed = run_parser(found.format, path)
    return replace(parsed, notes=found.notes + parsed.notes)


def run_parser(format: Format, path: Path) -> ParsedDocument:
    """Read a file of a known format; whatever a foreign library throws becomes a refusal."""
    module = importlib.import_module(f"kit.library.parsers.{_MODULES[format]}")
    parser: Callable[[Path], ParsedDocument] = module.parse
    try:
        return parser(path)
    except (DocumentRefused, LibreOfficeNeeded):
        raise
    except MemoryError:
        raise DocumentRefused(
            "reading the file takes more memory than allowed",
            hint="split it into smaller files, or raise library.parse_memory_mb in kit.toml",
        ) from None
    except RecursionError:
        raise DocumentRefused("the file is nested too deeply to be read") from None
    except Exception as problem:
        raise DocumentRefused(
            f"the file is damaged, or is not a proper {format.upper()} file "
            f"({type(problem).__name__}: {str(problem)[:200]})",
            hint="open it in the program that made it, save it again, and add the new file",
        ) from problem
