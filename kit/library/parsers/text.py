"""Plain text, in whatever encoding it comes, as one section without a name."""

from __future__ import annotations

from pathlib import Path

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.decode import decode_text


def parse(path: Path) -> ParsedDocument:
    """The whole text as one section. Raises DocumentRefused if it is too long."""
    text, notes = decode_text(path.read_bytes())
    builder = TextBuilder()
    builder.begin("heading", "")
    builder.add(text)
    return builder.finish(notes=notes)
