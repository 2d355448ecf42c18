"""The passage viewer: a cited span where it stands in its document, with the page it is on.

Server-rendered, without a script. Knows nouns and HTML. Invariant: text of a document reaches the
page only through `escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from kit.errors import AccessError, KitError, LibraryError, NotFound, UsageError
from kit.files import format_bytes
from kit.library.dates import words_of
from kit.library.documents import BUSY_STATES, DocumentRecord, ParsedDocument, Section
from kit.library.parsers.detect import shows_pages
from kit.web.files import MAX_OFFSET, is_pdf
from kit.web.gate import status_of
from kit.web.markup import LOGO, escape, message_page, page, sentence
from kit.web.replies import Kit, Person, Text, in_thread

router = APIRouter()
BEFORE_CHARS, AFTER_CHARS = 400, 1400  # of a section's text around the passage
MAX_SHOWN_CHARS = 20_000
AUDIENCES = {
    "everyone": "everyone here can see it",
    "some": "shared with some people",
    "owner": "only you can see it",
}
FULL_LINE = 0.75  # of the longest line: a line this long was broken for lack of room


@dataclass(frozen=True)
class View:
    """What is shown: a stretch of the text, the marked span in it, and where it stands."""

    shown: tuple[int, int]
    marked: tuple[int, int] | None
    section: Section | None
    page: int | None


@router.get("/passage")
async def passage(
    services: Kit,
    person: Person,
    document: Annotated[Text, Query(min_length=1, max_length=128)],
    start: Annotated[int | None, Query(ge=0, le=MAX_OFFSET)] = None,
    end: Annotated[int | None, Query(ge=0, le=MAX_OFFSET)] = None,
    page: Annotated[int | None, Query(ge=1, le=MAX_OFFSET)] = None,
) -> HTMLResponse:
    """The span start-end of a document; or a whole page of it; or its beginning."""
    record = await in_thread(services.library.get, document, person.id)
    try:
        parsed = await in_thread(services.library.text, document, person.id)
    except LibraryError:
        if record.is_read:
            raise
        parsed = ParsedDocument("", ())  # not read yet, or it holds no text
    return _draw(record, parsed, view_of(parsed, start=start, end=end, page=page))


def view_of(
    parsed: ParsedDocument, *, start: int | None, end: int | None, page: int | None
) -> View:
    """What to show for a request. Raises UsageError for a span that is not in the text."""
    if page is not None and start is None:
        section = next((s for s in parsed.sections if s.page == page), None)
        shown = (section.start, section.end) if section else (0, 0)
        return View(_clipped(shown), None, section, page)
    start = start or 0
    if start > len(parsed.text) or (end is not None and end < start):
        raise UsageError(
            "that passage is not in the document", hint="ask again: the document may have changed"
        )
    touched = _touched(parsed.sections, start, max(end or 0, start + 1))
    first = touched[0] if touched else None
    least, most = (touched[0].start, touched[-1].end) if touched else (0, len(parsed.text))
    where = (first, first.page if first else None)
    if end is None or end == start:
        return View(_clipped((least, most)), None, *where)
    end = min(end, len(parsed.text))
    shown = (
        _word_start(parsed.text, start - BEFORE_CHARS, min(least, start)),
        _word_end(parsed.text, end + AFTER_CHARS, max(most, end)),
    )
    return View(shown, (start, end), *where)


def _touched(sections: Sequence[Section], start: int, end: int) -> list[Section]:
    return [s for s in sections if s.start < end and start < s.end]


def _clipped(span: tuple[int, int]) -> tuple[int, int]:
    return span[0], min(span[1], span[0] + MAX_SHOWN_CHARS)


def _word_start(text: str, position: int, least: int) -> int:
    """The beginning of the first whole word from `position` on, but not before `least`."""
    if position <= least:
        return least
    space = text.find(" ", position, position + 60)
    return space + 1 if space >= 0 else position


def _word_end(text: str, position: int, most: int) -> int:
    if position >= most:
        return most
    space = text.rfind(" ", position - 60, position)
    return space if space >= 0 else position


def _draw(record: DocumentRecord, parsed: ParsedDocument, view: View) -> HTMLResponse:
    place = _place(view)
    name = PurePosixPath(record.name).name
    picture = _picture(record, view)
    columns = f'<div class="columns{" with-picture" if picture else ""}">'
    return page(
        f"{name}, {place}" if place else name,
        _bar(record, place)
        + f'<main class="viewer{"" if picture else " narrow"}">{_top(record, view)}'
        + f"{columns}{_text_card(record, parsed, view)}{picture}</div></main>",
    )


def _bar(record: DocumentRecord, place: str) -> str:
    crumbs = [record.collection, *PurePosixPath(record.name).parts, *([place] if place else [])]
    items = "".join(f"<li>{escape(crumb)}</li>" for crumb in crumbs)
    return (
        f'<nav class="bar" aria-label="Where this is"><a class="brand" href="/">{LOGO}Kit</a>'
        f'<ol class="crumbs">{items}</ol></nav>'
    )


def _top(record: DocumentRecord, view: View) -> str:
    facts = [PurePosixPath(record.name).suffix.lstrip(".").upper(), format_bytes(record.size_bytes)]
    if record.num_pages:
        facts.append("1 page" if record.num_pages == 1 else f"{record.num_pages} pages")
    facts.append(words_of(record.dated))
    facts.append(AUDIENCES[record.audience])
    facts.append(f"added {_day(record.created_at)}")
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts if fact)
    title = record.title or PurePosixPath(record.name).name
    return (
        f'<div class="top"><div><h1>{escape(title)}</h1><ul class="facts">{listed}</ul></div>'
        f'<div class="actions">{_actions(record, view)}</div></div>'
    )


def _actions(record: DocumentRecord, view: View) -> str:
    url = f"/api/v1/documents/{escape(record.id)}/original"
    asked = f'<a class="button" href="/#document={escape(record.id)}">Ask this document</a>'
    asked = asked if record.is_read else ""
    download = f'<a class="button" href="{url}?download=1" download>Download</a>'
    if not is_pdf(record):
        return f'{asked}<a class="button main" href="{url}" download>Download the original</a>'
    at = f"#page={view.page}" if view.page else ""
    opened = f'<a class="button main" href="{url}{at}" target="_blank" rel="noopener">'
    return f"{asked}{opened}Open the original</a>{download}"


def _text_card(record: DocumentRecord, parsed: ParsedDocument, view: View) -> str:
    heading = _place(view) or "Text"
    return (
        f'<article class="card"><header><h2>{escape(heading[:1].upper() + heading[1:])}</h2>'
        f"{_span(record, view)}{_neighbours(record, parsed, view)}</header>"
        f"{_text(record, parsed, view)}</article>"
    )


def _span(record: DocumentRecord, view: View) -> str:
    """Which characters are marked; on a narrow screen, where the picture is further down."""
    if view.marked is None:
        return ""
    start, end = view.marked
    span = f'<span class="span">characters {start:,}–{end:,}</span>'
    has_picture = bool(_picture(record, view))
    return span + ('<a class="to-picture" href="#picture">See the page</a>' if has_picture else "")


def _text(record: DocumentRecord, parsed: ParsedDocument, view: View) -> str:
    (start, end), text = view.shown, parsed.text
    if is_pdf(record):
        text = unwrapped(text)
    if not text[start:end].strip():
        return f'<p class="note">{escape(_why_empty(record))}</p>'
    opening = "… " if _is_cut(view, start, at_end=False) else ""
    closing = " …" if _is_cut(view, end, at_end=True) else ""
    if view.marked is None:
        return f'<div class="text">{escape(text[start:end])}{closing}</div>'
    first, last = view.marked
    return (
        f'<div class="text"><span class="around">{opening}{escape(text[start:first])}</span>'
        f'<mark id="passage">{escape(text[first:last])}</mark>'
        f'<span class="around">{escape(text[last:end])}{closing}</span></div>'
    )


def unwrapped(text: str) -> str:
    """The text of a printed page without the line breaks inside its paragraphs; offsets stay true.

    A line that fills the width was broken by the printer; a shorter one ends something: a heading,
    a row of a table, a paragraph. A row with bars was put together by the reader of the file and
    tells nothing of the width. Each joined break becomes one space, so every offset stays.
    """
    lines = text.split("\n")
    width = max((len(line) for line in lines if " | " not in line), default=0)
    pieces = []
    for line, following in pairwise([*lines, ""]):
        is_row = " | " in line or " | " in following
        is_full = len(line) >= FULL_LINE * width and following.strip() and not is_row
        pieces.append(line + (" " if is_full else "\n"))
    return "".join(pieces)[: len(text)]


def _is_cut(view: View, position: int, *, at_end: bool) -> bool:
    if view.section is None:
        return False
    return position < view.section.end if at_end else position > view.section.start


def _why_empty(record: DocumentRecord) -> str:
    if record.state in BUSY_STATES:
        return "This document is still being read. Load this page again in a moment."
    if record.state == "unpacked":
        return "This is an archive. What was in it is listed among the documents."
    if record.error:
        hint = f" {sentence(record.hint)}" if record.hint else ""
        return sentence(record.error) + hint
    return "There is no text here. The original may show a picture."


def _neighbours(record: DocumentRecord, parsed: ParsedDocument, view: View) -> str:
    """Links to what stands before and after: pages where there are pages, else sections."""
    if view.page is not None and record.num_pages:
        before = f"page={view.page - 1}" if view.page > 1 else None
        after = f"page={view.page + 1}" if view.page < record.num_pages else None
    elif view.section is not None and view.section in parsed.sections:
        at = parsed.sections.index(view.section)
        before = f"start={parsed.sections[at - 1].start}" if at > 0 else None
        is_last = at + 1 >= len(parsed.sections)
        after = None if is_last else f"start={parsed.sections[at + 1].start}"
    else:
        return ""
    links = _step(record, before, "← Previous") + _step(record, after, "Next →")
    return f'<nav class="pages" aria-label="Other places in this document">{links}</nav>'


def _step(record: DocumentRecord, where: str | None, label: str) -> str:
    if where is None:
        return f"<span>{escape(label)}</span>"
    url = f"/passage?{urlencode({'document': record.id})}&{where}"
    return f'<a href="{escape(url)}">{escape(label)}</a>'


def _day(moment: str) -> str:
    """'2026-11-21T10:00:00Z' -> '21 November 2026'."""
    day = date.fromisoformat(moment[:10])
    return f"{day.day} {day:%B %Y}"


def _picture(record: DocumentRecord, view: View) -> str:
    if not shows_pages(record.name) or view.page is None or record.state == "refused":
        return ""
    url = f"/api/v1/documents/{record.id}/pages/{view.page}.png"
    if view.marked:
        url += f"?start={view.marked[0]}&end={view.marked[1]}"
    what = "with the passage marked" if view.marked else "as printed"
    return (
        f'<div class="card picture" id="picture"><img src="{escape(url)}" width="918" height="1188"'
        f' alt="Page {view.page} {what}"></div>'
    )


def _place(view: View) -> str:
    if view.section is not None:
        return view.section.label
    return f"page {view.page}" if view.page is not None else ""


def error_page(problem: KitError) -> HTMLResponse:
    """An error where a person opened a page."""
    status = status_of(problem)
    if isinstance(problem, NotFound):
        title, hint = "Not here", "It may have been removed, or it belongs to someone else."
    elif isinstance(problem, AccessError):
        title, hint = "Not allowed", problem.hint or ""
    else:
        title, hint = "That did not work", problem.hint or ""
    return message_page(title, problem.message, hint, status=status)
