"""The nouns of the library. They hold facts and know no storage, no model and no page.

All spans are half-open character offsets into a document's text; pages are 1-based as printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kit.errors import DocumentRefused, NotFound

State = Literal["queued", "parsing", "embedding", "indexed", "no_text", "refused"]
SectionKind = Literal["page", "heading", "sheet", "slide", "message"]


@dataclass(frozen=True)
class Section:
    """A stretch of a document's text with a name of its own: a page, a heading's part, a sheet."""

    kind: SectionKind
    label: str
    """For people: 'page 3', 'Travel policy > Per diem', 'sheet Budget', 'slide 4'."""
    start: int
    end: int
    page: int | None = None
    """Page or slide number where the format has one."""


@dataclass(frozen=True)
class ParsedDocument:
    """What a parser makes of one file. Sections are in order and do not overlap."""

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    num_pages: int | None = None
    notes: tuple[str, ...] = ()
    """Plain remarks for the person who loaded it: '2 of 9 pages had no text'."""


@dataclass(frozen=True)
class Chunk:
    """A passage: ``document.text[start:end] == text``."""

    ordinal: int
    start: int
    end: int
    text: str
    place: str
    page: int | None
    num_tokens: int


@dataclass(frozen=True)
class DocumentRecord:
    """A document as the library lists it."""

    id: str
    name: str
    collection: str
    owner_id: str | None
    """None = shared with everyone who may sign in."""
    sha256: str
    size_bytes: int
    state: State
    error: str | None
    hint: str | None
    notes: tuple[str, ...]
    num_pages: int | None
    num_chunks: int
    title: str | None
    created_at: str
    is_duplicate: bool = False
    """True in the answer of `add` if the same file was already there."""


@dataclass(frozen=True)
class WholeDocument:
    """A document that has been read: all its passages, in the order of its text."""

    record: DocumentRecord
    hits: tuple[Hit, ...]
    """Ranks from 1 in that order; no scores."""
    prefix: str
    """Names what a language model keeps of exactly these passages (kit.library.prefixes)."""


@dataclass(frozen=True)
class Hit:
    """A chunk that was found, with what is needed to show it."""

    rank: int
    """1 = best."""
    score: float
    chunk_id: int
    document_id: str
    document: str
    """The document's name."""
    page: int | None
    place: str
    start: int
    end: int
    text: str
    num_tokens: int
    dense: float | None = field(default=None)
    """Cosine of query and chunk, if the dense half found it."""
    lexical: float | None = field(default=None)
    """BM25 (higher is better), if the lexical half found it."""
    is_shared: bool = field(default=False)
    """Whether everyone who may sign in may read it."""


def require_read(record: DocumentRecord) -> None:
    """Raises: NotFound while it waits to be read; DocumentRefused if there is no text in it."""
    if record.state in ("no_text", "refused"):
        raise DocumentRefused(f"{record.name} has no text: {record.error}", hint=record.hint)
    if record.state != "indexed":
        raise NotFound(
            f"{record.name} is still being read", hint="ask again when it is ready: kit docs list"
        )
