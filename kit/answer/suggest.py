"""Questions to begin with, made from the headings and sentences of the documents that are there.

Knows no model. Invariant: every suggestion comes from a document that this reader may see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from kit.answer.evidence.sentences import sentence_texts
from kit.answer.evidence.words import content_stems
from kit.library.documents import DocumentRecord, ParsedDocument, Section

MAX_SUGGESTIONS = 4
MAX_DOCUMENTS = 60  # looked at for suggestions, latest first
MAX_TOTAL_CHARS = 2_000_000  # of their texts, after which no further document is opened
MIN_SECTION_CHARS = 120  # a heading with less below it is not worth a question
MAX_READ_CHARS = 40_000  # of a document, for a sentence that makes a question
_THING = r"[Tt]he (?P<thing>[a-z][\w -]{4,70}?)(?: \([^)]*\)(?P<rest> [\w -]{2,60}?)?)?"
_AMOUNT = re.compile(_THING + r" (?P<verb>is|are) (?:(?:at (?:most|least)|about) )?[R$€£]?\d")
_DAY = re.compile(
    _THING + r" (?P<verb>meet|close|open|begin|start|end)s (?:on|at|in) (?:the )?(?=[A-Z\d]|first|"
    r"second|third|fourth|last)"
)
_DULL = frozenset(
    content_stems(
        "contents introduction overview background scope purpose definitions references appendix"
        " annex document history version abstract conclusion acknowledgements index title page"
    )
)


class Reads(Protocol):
    """What suggesting needs of the library."""

    def list(self, reader: str, collection: str | None = None) -> Sequence[DocumentRecord]: ...

    def text(self, document_id: str, reader: str) -> ParsedDocument: ...


def suggested_questions(library: Reads, reader: str, *, limit: int = MAX_SUGGESTIONS) -> list[str]:
    """At most `limit` questions, one per document, in the order in which the library lists them."""
    ready = [record for record in library.list(reader) if record.is_read]
    found: list[str] = []
    num_chars = 0
    for record in ready[:MAX_DOCUMENTS]:
        if len(found) == limit or num_chars > MAX_TOTAL_CHARS:
            break
        parsed = library.text(record.id, reader)
        num_chars += len(parsed.text)
        question = suggest(record, parsed)
        if question is not None and question not in found:
            found.append(question)
    return found


def suggest(record: DocumentRecord, parsed: ParsedDocument) -> str | None:
    """A question that this document answers, or None if it offers none."""
    return next(iter(document_questions(record, parsed, limit=1)), None)


def document_questions(
    record: DocumentRecord, parsed: ParsedDocument, *, limit: int = MAX_SUGGESTIONS
) -> list[str]:
    """At most `limit` questions that this document answers.

    Questions that are headings of their own come first, then those turned from sentences that
    state a sum or a day, then one about its longest part with a telling heading.
    """
    asked = (_asked(section) for section in parsed.sections)
    stated = (turn(text) for text in sentence_texts(parsed.text[:MAX_READ_CHARS]))
    found = list(dict.fromkeys(q for q in (*asked, *stated) if q is not None))
    if len(found) < limit and (about := _about(record, parsed)) is not None:
        found.append(about)
    return found[:limit]


def turn(sentence: str) -> str | None:
    """'The fee is R5 a day.' as 'What is the fee?'; 'The panel meets on Friday.' as 'When …?'."""
    plain = " ".join(sentence.split())
    if match := _AMOUNT.match(plain):
        return f"What {match['verb']} the {match['thing']}{match['rest'] or ''}?"
    if match := _DAY.match(plain):
        return f"When does the {match['thing']}{match['rest'] or ''} {match['verb']}?"
    return None


def _asked(section: Section) -> str | None:
    label = section.label.split(">")[-1].strip()
    is_good = label.endswith("?") and 4 <= len(label.split()) <= 14
    return label if section.kind == "heading" and is_good else None


def _about(record: DocumentRecord, parsed: ParsedDocument) -> str | None:
    title = plain_title(record, parsed)
    told = set(content_stems(title))
    best = max(
        (section for section in parsed.sections if _tells(section, told)),
        key=lambda section: section.end - section.start,
        default=None,
    )
    return None if best is None else f"What does “{title}” say about {_topic(best)}?"


def plain_title(record: DocumentRecord, parsed: ParsedDocument) -> str:
    """The document's own title, else its file name as words."""
    title = (record.title or parsed.title).strip()
    if title and len(title) <= 60:
        return title
    name = record.name.rpartition("/")[2]
    return re.sub(r"[_-]+", " ", name.rpartition(".")[0] or name).strip()


def _topic(section: Section) -> str:
    last = section.label.split(">")[-1]
    return re.sub(r"^[\W\d]+|[\W]+$", "", last).strip().lower()


def _tells(section: Section, told: set[str]) -> bool:
    """Whether the section's heading says something that the title does not, in a few words."""
    stems = set(content_stems(_topic(section)))
    is_short = 0 < len(_topic(section).split()) <= 6
    has_text = section.end - section.start >= MIN_SECTION_CHARS
    return section.kind == "heading" and is_short and has_text and bool(stems - told - _DULL)
