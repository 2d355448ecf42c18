"""The text of an answer as blocks of runs: the small Markdown that answers use, and [n] markers.

Pure. Invariant: every character of the text but the signs of its Markdown is in exactly one run,
and a marker becomes a note only if the answer has a citation of that number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kit.answer.events import Answer, Cell, Citation

Kind = Literal["paragraph", "heading", "bullet", "number", "quote"]
# Control characters no file format holds, and the overrides that turn the reading direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("heading", re.compile(r"\s{0,3}#{1,6}\s+(.*)$")),
    ("bullet", re.compile(r"\s{0,6}[-*•]\s+(.*)$")),
    ("number", re.compile(r"\s{0,6}\d{1,3}[.)]\s+(.*)$")),
    ("quote", re.compile(r"\s{0,3}>\s?(.*)$")),
)
_BOLD = re.compile(r"\*\*(?=\S)([^*]+?)(?<=\S)\*\*")
_ITALIC = re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
_MARKER = re.compile(r" ?\[(\d{1,5})\]")


@dataclass(frozen=True)
class Run:
    """A stretch of text in one look, or, with a `note` and no text, the place of a footnote."""

    text: str
    is_bold: bool = False
    is_italic: bool = False
    note: Citation | None = None


@dataclass(frozen=True)
class Block:
    kind: Kind
    runs: tuple[Run, ...]


def blocks(answer: Answer) -> list[Block]:
    """The answer's text; a marker is a note in the run of its place."""
    return list(text_blocks(answer.text, notes_of(answer)))


def text_blocks(text: str, notes: Mapping[int, Citation]) -> Iterator[Block]:
    """Lines that follow each other are one paragraph."""
    pending: list[str] = []
    for line in [*printable(text).split("\n"), ""]:
        kind, body = _kind_of(line)
        if pending and (kind != "paragraph" or not line.strip()):
            yield Block("paragraph", tuple(runs(" ".join(pending), notes)))
            pending = []
        if kind != "paragraph":
            yield Block(kind, tuple(runs(body, notes)))
        elif line.strip():
            pending.append(line.strip())


def cell_runs(cell: Cell, answer: Answer) -> list[Run]:
    """A cell of one of the answer's tables, its notes after its text."""
    notes = notes_of(answer)
    placed = [Run("", note=notes[n]) for n in cell.citations if n in notes]
    return [*runs(" ".join(printable(cell.text).split()), {}), *placed]


def notes_of(answer: Answer) -> dict[int, Citation]:
    return {citation.n: citation for citation in answer.citations}


def runs(text: str, notes: Mapping[int, Citation]) -> Iterator[Run]:
    """One line: bold, then italics inside the rest, then markers."""
    for bold, is_bold in _split(text, _BOLD):
        for italic, is_italic in _split(bold, _ITALIC):
            look = Run("", is_bold, is_italic)
            yield from _placed(italic, look, notes)


def _placed(text: str, look: Run, notes: Mapping[int, Citation]) -> Iterator[Run]:
    at = 0
    for match in _MARKER.finditer(text):
        citation = notes.get(int(match[1]))
        if citation is None:
            continue
        if match.start() > at:
            yield replace(look, text=text[at : match.start()])
        yield Run("", note=citation)
        at = match.end()
    if text[at:]:
        yield replace(look, text=text[at:])


def _split(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """(stretch, whether the pattern's signs stood around it), in order, none empty."""
    at = 0
    for match in pattern.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], False
        yield match[1], True
        at = match.end()
    if text[at:]:
        yield text[at:], False


def _kind_of(line: str) -> tuple[Kind, str]:
    for kind, pattern in _KINDS:
        if match := pattern.match(line):
            return kind, match[1]
    return "paragraph", line


def printable(text: str) -> str:
    """The text without characters that a file of these formats cannot or should not hold."""
    return _UNPRINTABLE.sub("", text)


def source_of(citation: Citation) -> str:
    """'Travel policy.pdf, page 3, characters 120-245, changed 4 March 2025': where the words stand,
    and of when the document is."""
    place = citation.place or (f"page {citation.page}" if citation.page else "")
    at = f"characters {citation.start}-{citation.end}"
    when = citation.dated.words if citation.dated else ""
    return ", ".join(filter(None, (citation.document, place, at, when)))


def verbatim(citation: Citation) -> str:
    """The cited words on one line."""
    return " ".join(printable(citation.text).split())
