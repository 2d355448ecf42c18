"""A document's text cut into passages that end where sentences, paragraphs or rows end.

Knows sections and tokens, no model. Invariants: ``text[start:end] == chunk.text``; chunks are in
order and do not overlap; every non-blank character is in one; none crosses a page, slide or sheet.
There is no overlap: chunks end with sentences, and the same sentence twice among five passages is
one passage fewer in the prompt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kit.library.documents import Chunk, ParsedDocument, Section

CountTokens = Callable[[str], int]
Span = tuple[int, int]

TAIL_FRACTION = 0.25  # a last chunk smaller than this joins the one before
CARRY_FRACTION = 0.12  # a heading's part smaller than this (a bare heading) joins the next

_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?![ \t]*(?:\n|\Z)))+")
_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(r"\S+\s*")
# A sentence ends at . ! ? before a blank and a capital, digit or opening mark, or at a CJK full
# stop, which needs no blank.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s+(?=[\"'“‘«(\[]*[^\W_a-z])|[。!?。]+[」』”’)]*\s*")
_ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|Fig|Eq|Sec|Ch|Vol|pp?|cf|al|approx|Jan|Feb"
    r"|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Inc|Ltd|Co|e\.g|i\.e)\.\s+$"
)


@dataclass(frozen=True)
class _Piece:
    """An indivisible stretch of text and its tokens."""

    start: int
    end: int
    num_tokens: int


def chunk_document(
    parsed: ParsedDocument, *, count_tokens: CountTokens, target_tokens: int = 200
) -> list[Chunk]:
    """Cut the text into chunks of about `target_tokens`, as `count_tokens` counts them.

    A chunk exceeds the target by at most TAIL_FRACTION, or if one word of it does alone.
    """
    count_tokens = functools.cache(count_tokens)  # most stretches are looked at several times
    groups: list[tuple[Section, list[_Piece]]] = []
    carried: list[tuple[Section, list[_Piece]]] = []  # a heading alone answers nothing
    for section in _sections(parsed):
        pieces = _pieces(parsed.text, section, count_tokens, target_tokens)
        if section.kind != "heading":
            groups += carried
            carried = []
        pieces = [*(piece for _, part in carried for piece in part), *pieces]
        if section.kind == "heading" and _tokens(pieces) < CARRY_FRACTION * target_tokens:
            carried = [(section, pieces)] if pieces else []
        else:
            carried = []
            groups += [(section, group) for group in _group(pieces, target_tokens)]
    groups += carried
    return [
        _chunk(parsed.text, ordinal, section, group)
        for ordinal, (section, group) in enumerate(groups)
    ]


def _sections(parsed: ParsedDocument) -> Iterator[Section]:
    """The document's sections, and plain stretches for text that lies between them."""
    at = 0
    for section in parsed.sections:
        if section.start > at:
            yield Section("heading", "", at, section.start)
        yield section
        at = max(at, section.end)
    if at < len(parsed.text):
        yield Section("heading", "", at, len(parsed.text))


def _pieces(
    text: str, section: Section, count_tokens: CountTokens, target_tokens: int
) -> list[_Piece]:
    """Paragraphs (rows of a sheet) of the section; too long ones as sentences, then as words."""
    pattern = _LINE if section.kind == "sheet" else _PARAGRAPH
    spans = [match.span() for match in pattern.finditer(text, section.start, section.end)]
    for split in (_lines, _sentences, _words):
        spans = [
            smaller
            for span in spans
            for smaller in _split_if_long(text, span, split, count_tokens, target_tokens)
        ]
    trimmed = (_trim(text, span) for span in spans)
    return [
        _Piece(start, end, count_tokens(text[start:end])) for start, end in trimmed if start < end
    ]


def _split_if_long(
    text: str,
    span: Span,
    split: Callable[[str, Span], Iterable[Span]],
    count_tokens: CountTokens,
    target_tokens: int,
) -> list[Span]:
    is_short = count_tokens(text[span[0] : span[1]]) <= target_tokens
    return [span] if is_short else list(split(text, span))


def _lines(text: str, span: Span) -> list[Span]:
    """The lines of a paragraph that is a list or a table; prose is left for `_sentences`."""
    lines = [match.span() for match in _LINE.finditer(text, *span)]
    num_items = sum(text[s:e].lstrip()[:1] in "-*•|" or " | " in text[s:e] for s, e in lines)
    return lines if num_items > len(lines) / 2 else [span]


def _sentences(text: str, span: Span) -> Iterator[Span]:
    start = span[0]
    for match in _SENTENCE_END.finditer(text, *span):
        if not _ABBREVIATION.search(text, max(start, match.end() - 12), match.end()):
            yield start, match.end()
            start = match.end()
    if start < span[1]:
        yield start, span[1]


def _words(text: str, span: Span) -> Iterator[Span]:
    """Runs of words of about 400 characters; a single endless word is cut as well."""
    start = end = span[0]
    for match in _WORD.finditer(text, *span):
        while match.end() - start > 400 and end > start:
            yield start, end
            start = end
        end = match.end()
        while end - start > 400:
            yield start, start + 400
            start += 400
    if start < span[1]:
        yield start, span[1]


def _trim(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _tokens(pieces: Iterable[_Piece]) -> int:
    return sum(piece.num_tokens for piece in pieces)


def _group(pieces: list[_Piece], target_tokens: int) -> list[list[_Piece]]:
    """Neighbouring pieces together up to the target; a small tail joins the group before it."""
    groups: list[list[_Piece]] = []
    for piece in pieces:
        if groups and _tokens(groups[-1]) + piece.num_tokens <= target_tokens:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    if len(groups) > 1 and _tokens(groups[-1]) < TAIL_FRACTION * target_tokens:
        tail = groups.pop()
        groups[-1] += tail
    return groups


def _chunk(text: str, ordinal: int, section: Section, group: list[_Piece]) -> Chunk:
    start, end = group[0].start, group[-1].end
    return Chunk(
        ordinal=ordinal,
        start=start,
        end=end,
        text=text[start:end],
        place=_place(text, section, start, end),
        page=section.page,
        num_tokens=_tokens(group),
    )


def _place(text: str, section: Section, start: int, end: int) -> str:
    """The section's label; with the rows for a sheet, where row N is line N."""
    if section.kind != "sheet":
        return section.label
    first = text.count("\n", section.start, start) + 1
    last = first + text.count("\n", start, end)
    rows = f"row {first}" if first == last else f"rows {first}-{last}"
    return ", ".join(part for part in (section.label, rows) if part)


def with_context(chunk: Chunk, title: str) -> str:
    """The chunk as it is embedded: under its document's title and its place.

    A passage that says "at least 14 days before" is found by "travel application deadline" only
    through the heading it stands under.
    """
    place = "" if chunk.place.startswith(("page ", "slide ")) else chunk.place
    title = "" if place.startswith(title.strip()) else title.strip()
    head = " > ".join(part for part in (title, place) if part)
    return f"{head}\n{chunk.text}" if head else chunk.text
