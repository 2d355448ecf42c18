"""Markdown: the document's text is the file's own text, headings open sections.

Knows headings, code fences and front matter, nothing else of the language. Invariant: offsets count
characters of the file itself (line ends normalised), so a cited span can be found in any editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kit.library.dates import own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import HeadingPath, TextBuilder
from kit.library.parsers.clean import clean
from kit.library.parsers.decode import decode_text

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
# What many programs put before the text: lines of "name: value" between two rules.
_FRONT = re.compile(
    r"---[ \t]*\n((?:[\w-]+:.*\n|[ \t]+\S.*\n|- .*\n|#.*\n|[ \t]*\n)+?)"
    r"(?:---|\.\.\.)[ \t]*(?:\n|$)"
)
_VALUE = re.compile(r"^([\w-]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_CHANGED = ("updated", "modified", "lastmod", "last_modified", "last-modified")
_PUBLISHED = ("date", "published")


def parse(path: Path) -> ParsedDocument:
    """One section per heading. Raises DocumentRefused if the text is too long."""
    raw, notes = decode_text(path.read_bytes())
    text = clean(raw)
    front = _FRONT.match(text)
    said = _front_values(front[1]) if front else {}
    builder, headings, title, position = TextBuilder(), HeadingPath(), said.get("title", ""), 0
    builder.note_unseen(raw)
    builder.begin("heading", "")
    for start, level, heading in _headings(text, front.end() if front else 0):
        builder.add_clean(text[position:start])
        builder.begin("heading", headings.enter(level, heading))
        title, position = title or heading, start
    builder.add_clean(text[position:])
    dated = own_date(
        *((said.get(name), "modified") for name in _CHANGED),
        *((said.get(name), "published") for name in _PUBLISHED),
        (said.get("created"), "created"),
    )
    return builder.finish(title=title, notes=notes, dated=dated)


def _front_values(block: str) -> dict[str, str]:
    return {name.lower(): _unquoted(value) for name, value in _VALUE.findall(block)}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _headings(text: str, position: int) -> Iterator[tuple[int, int, str]]:
    """(offset of the heading's line, level, plain text) of every heading outside code fences, from
    `position` on."""
    fence, before = "", ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text[position:]):
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
