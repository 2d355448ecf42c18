"""Questions to begin with, made from the headings of the documents that are there.

Knows no model. Invariant: every suggestion names a document that this reader may see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from kit.answer.words import content_stems
from kit.library.documents import DocumentRecord, ParsedDocument, Section

MAX_SUGGESTIONS = 4
MAX_DOCUMENTS = 12  # read for suggestions, latest first
MIN_SECTION_CHARS = 120  # a heading with less below it is not worth a question
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
    ready = [record for record in library.list(reader) if record.state == "indexed"]
    found: list[str] = []
    for record in ready[:MAX_DOCUMENTS]:
        if len(found) == limit:
            break
        question = suggest(record, library.text(record.id, reader))
        if question is not None and question not in found:
            found.append(question)
    return found


def suggest(record: DocumentRecord, parsed: ParsedDocument) -> str | None:
    """A question that this document answers, or None if it has no telling heading."""
    title = plain_title(record, parsed)
    told = set(content_stems(title))
    best = max(
        (section for section in parsed.sections if _tells(section, told)),
        key=lambda section: section.end - section.start,
        default=None,
    )
    if best is None:
        return None
    return f"What does {_quoted(title)} say about {_topic(best)}?"


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


def _quoted(title: str) -> str:
    return f"“{title}”"
