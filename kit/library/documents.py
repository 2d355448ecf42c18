"""The nouns of the library. They hold facts and know no storage, no model and no page.

All spans are half-open character offsets into a document's text; pages are 1-based as printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from kit.errors import DocumentRefused, NotFound, UsageError
from kit.library.dates import Dated

State = Literal[
    "queued", "parsing", "embedding",
    "indexed", "partial", "no_text", "needs_ocr", "refused", "stopped",
    "duplicate", "superseded", "unpacked",
]  # fmt: skip
"""What became of a document.

queued, parsing, embedding: it waits, or is read. indexed: all of it answers. partial: it answers,
and some of its pages have no text. no_text, needs_ocr (pictures of text), refused (broken, locked,
of no kind that is read), stopped (by a person): it cannot answer, and says why. duplicate: the same
bytes are in the collection under another name, which answers for both. superseded: a newer version
answers. unpacked: an archive; what was in it are documents of their own.
"""
BUSY_STATES: tuple[State, ...] = ("queued", "parsing", "embedding")
READ_STATES: tuple[State, ...] = ("indexed", "partial")
FAILED_STATES: tuple[State, ...] = ("no_text", "needs_ocr", "refused", "stopped")
BUSY, FAILED = "busy", "failed"  # names for several states

PageState = Literal["text", "ocr", "blank", "no_text", "needs_ocr", "damaged"]
Audience = Literal["everyone", "some", "owner"]
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
class Page:
    """What became of one page or slide. `ocr`: its text was read from a picture of it."""

    page: int
    """1-based."""
    state: PageState
    num_chars: int = 0
    remark: str | None = None


@dataclass(frozen=True)
class Scan:
    """A page whose text has to be recognised from its picture, and where it belongs."""

    section: int
    """Index into the document's sections; the recognised text stands at that section's end."""
    label: str
    page: int | None
    source_page: int
    """The page of the file that holds it: of the document itself, or of an attachment."""
    part: tuple[int, ...] = ()
    """Empty, or the way to an attachment: (2, 0) = the first attachment of the third."""


@dataclass(frozen=True)
class PageWords:
    """Where the words of a recognised page stand on it (kit.library.word_boxes)."""

    page: int
    """1-based."""
    start: int
    """Where the recognised text begins in the page's."""
    packed: bytes


@dataclass(frozen=True)
class ParsedDocument:
    """What a parser makes of one file. Sections are in order and do not overlap."""

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    num_pages: int | None = None
    notes: tuple[str, ...] = ()
    """Plain remarks for the person who loaded it: '2 of 9 pages had no text'."""
    pages: tuple[Page, ...] = ()
    """What the parser knows of single pages; the others are judged by their text."""
    scans: tuple[Scan, ...] = ()
    """Pages that wait for text recognition; none once a document has been read."""
    hint: str = ""
    """What to do about pages that were not read; empty if there are none."""
    words: tuple[PageWords, ...] = ()
    """Of the pages that were recognised."""
    dated: Dated | None = None
    """What the file says of itself, not what its name says."""


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
    """Of its collection; None = the administrators."""
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
    duplicate_of: str | None = None
    """The document with the same bytes that answers for this one, too."""
    superseded_by: str | None = None
    archive_id: str | None = None
    """The archive that it was unpacked from."""
    related: str | None = None
    """The name of what it is a duplicate of, or superseded by."""
    audience: Audience = "everyone"
    """Who may read it: everyone who may sign in, those it was shared with, or its owner alone."""
    may_change: bool = False
    """Whether the person it was shown to may remove or move it."""
    collection_id: int = 0
    dated: Dated | None = None
    """By its name, or else by itself (kit.library.dates)."""

    @property
    def stands_alone(self) -> bool:
        """Whether it can be moved: it is no duplicate, no old version, no part of an archive."""
        bound = ("duplicate", "superseded", "unpacked")
        return self.state not in bound and self.archive_id is None

    @property
    def is_read(self) -> bool:
        """Whether it has passages of its own that answer."""
        return self.state in READ_STATES


@dataclass(frozen=True)
class WholeDocument:
    """A document that has been read: all its passages, in the order of its text."""

    record: DocumentRecord
    hits: tuple[Hit, ...]
    """Ranks from 1 in that order; no scores."""
    prefix: str
    """Names what a language model keeps of exactly these passages (kit.library.index.prefixes)."""


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
    reranked: float | None = field(default=None)
    """The reranker's score (higher is better), if there is one and it read this passage."""
    is_shared: bool = field(default=False)
    """Whether everyone who may sign in may read it."""
    dated: Dated | None = field(default=None)
    """Of its document, by its name or else by itself."""


def require_read(record: DocumentRecord) -> None:
    """Raises: NotFound while it waits to be read; DocumentRefused if it has nothing to answer."""
    if record.state in FAILED_STATES:
        raise DocumentRefused(f"{record.name} has no text: {record.error}", hint=record.hint)
    if record.state == "superseded":
        raise DocumentRefused(
            f"{record.name} was replaced by a newer version, which answers instead",
            hint="ask the newer one: kit docs list",
        )
    if record.state == "unpacked":
        raise DocumentRefused(
            f"{record.name} is an archive; what was in it answers",
            hint="ask one of its members: kit docs list",
        )
    if not record.is_read:
        raise NotFound(
            f"{record.name} is still being read", hint="ask again when it is ready: kit docs list"
        )


def pages_of(parsed: ParsedDocument) -> tuple[Page, ...]:
    """Every page of a document that has pages: as the parser judged it, else by its text."""
    known = {page.page: page for page in parsed.pages}
    chars: dict[int, int] = {}
    for section in parsed.sections:
        if section.page is not None:
            num_chars = len(parsed.text[section.start : section.end].strip())
            chars[section.page] = chars.get(section.page, 0) + num_chars
    numbers = range(1, (parsed.num_pages or 0) + 1)
    return tuple(known.get(number) or _judged(number, chars.get(number, 0)) for number in numbers)


def span_on_page(
    parsed: ParsedDocument, page: int, start: int, end: int
) -> tuple[tuple[int, int] | None, str]:
    """The part of a document's span that lies on a page, from the page's own beginning, or None;
    and its text."""
    for section in parsed.sections:
        if section.page == page and start < section.end and section.start < end:
            first, last = max(start, section.start), min(end, section.end)
            return (first - section.start, last - section.start), parsed.text[first:last]
    return None, ""


def _judged(number: int, num_chars: int) -> Page:
    if num_chars:
        return Page(number, "text", num_chars)
    return Page(number, "no_text", 0, "no text on it; it is blank, or a picture")


def states_named(name: str) -> tuple[State, ...]:
    """The states of that name: one of them, 'busy' (waiting or read), or 'failed' (without text).

    Raises: UsageError, naming them all.
    """
    several = {BUSY: BUSY_STATES, FAILED: FAILED_STATES}
    every: tuple[State, ...] = get_args(State)
    name = name.strip().lower().replace(" ", "_")
    if name in several:
        return several[name]
    found = tuple(state for state in every if state == name)
    if not found:
        raise UsageError(
            f"there is no state {name!r}", hint=f"one of: {', '.join((*every, *several))}"
        )
    return found
