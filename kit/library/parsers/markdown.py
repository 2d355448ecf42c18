"""Markdown: the document's text is the file's own text, headings open sections.

Knows headings and code fences, nothing else of the language. Invariant: offsets count characters
of the file itself (line ends normalised), so a cited span can be found in any editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import HeadingPath, TextBuilder, clean
from kit.library.parsers.decode import decode_text

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def parse(path: Path) -> ParsedDocument:
    """One section per heading. Raises DocumentRefused if the text is too long."""
    raw, notes = decode_text(path.read_bytes())
    text = clean(raw)
    builder, headings, title, position = TextBuilder(), HeadingPath(), "", 0
    builder.note_unseen(raw)
    builder.begin("heading", "")
    for start, level, heading in _headings(text):
        builder.add_clean(text[position:start])
        builder.begin("heading", headings.enter(level, heading))
        title, position = title or heading, start
    builder.add_clean(text[position:])
    return builder.finish(title=title, notes=notes)


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """(offset of the heading's line, level, plain text) of every heading outside code fences."""
    position, fence, before = 0, "", ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        bare = line.rstrip("\n")
        if match := _FENCE.match(bare):
            mark = match.group(1)
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = ""
        elif not fence:
            if match := _ATX.match(bare):
                yield position, len(match.group(1)), _plain(match.group(2))
            elif (match := _SETEXT.match(bare)) and _may_be_setext(before):
                level = 1 if match.group(1).startswith("=") else 2
                yield position - len(before), level, _plain(before)
        before = "" if fence else line
        position += len(line)


def _may_be_setext(line: str) -> bool:
    return bool(line.strip()) and not re.match(r"\s*([#>|+*-]|\d+\.)|---", line)


def _plain(heading: str) -> str:
    """A heading without its Markdown marks."""
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[*_`]+", "", heading).strip()
