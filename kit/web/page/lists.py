"""Lists as HTML: conversations, documents with their state, search hits.

Knows the nouns of the rooms below, no widget and no storage. Invariant as in text: names, titles
and texts are escaped, each exactly once, where they are set into the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from kit.answer.conversations.conversations import Conversation
from kit.files import format_bytes
from kit.library.dates import words_of
from kit.library.documents import BUSY_STATES, FAILED_STATES, DocumentRecord, Hit
from kit.web.page.icons import icon
from kit.web.page.pieces import clipped, counted, new_tab, quiet, sentence_case, tool
from kit.web.page.places import Place
from kit.web.page.text import escape

# Conversations ---------------------------------------------------------------------------------


def conversations_html(
    conversations: Sequence[Conversation], current: str, query: str, now: datetime
) -> str:
    """My conversations, those of today first; `current` is the open one."""
    if not conversations:
        text = "No conversation has these words." if query else "Your conversations appear here."
        return f'<p class="quiet">{text}</p>'
    groups: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        groups.setdefault(day_group(conversation.updated_at, now), []).append(conversation)
    return "".join(
        f"<h2>{name}</h2><ul>{''.join(_conversation(c, c.id == current) for c in group)}</ul>"
        for name, group in groups.items()
    )


def day_group(moment: str, now: datetime) -> str:
    """'Today', 'Yesterday' or 'Earlier', in the machine's time zone."""
    day = parse_time(moment).astimezone(now.tzinfo).date()
    if day >= now.date():
        return "Today"
    return "Yesterday" if day == now.date() - timedelta(days=1) else "Earlier"


def parse_time(moment: str) -> datetime:
    """A time as the database writes it: ISO 8601, UTC."""
    parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _conversation(conversation: Conversation, is_current: bool) -> str:
    data: dict[str, Any] = {"conversation": conversation.id, "title": conversation.title}
    current = ' aria-current="true"' if is_current else ""
    return (
        f"<li{current}>"
        f'<button type="button" class="chat" data-do="open-chat"{current}'
        f' data-conversation="{escape(conversation.id)}" title="{escape(conversation.title)}">'
        f"{escape(conversation.title)}</button>"
        + tool("rename-chat", f"Rename {conversation.title}", "edit", **data)
        + tool("delete-chat", f"Delete {conversation.title}", "trash", **data)
        + "</li>"
    )


MAX_UPLOADED = 4  # uploaded files that are well and named each

# Documents -------------------------------------------------------------------------------------

# State: (tone, word, icon). The word tells the state; tone and icon only help the eye.
_STATES = {
    "queued": ("busy", "Waiting", "clock"),
    "parsing": ("busy", "Reading", "again"),
    "embedding": ("busy", "Indexing", "again"),
    "indexed": ("ready", "Ready", "check"),
    "partial": ("ready", "Partly read", "half"),
    "no_text": ("warn", "No text", "info"),
    "needs_ocr": ("warn", "Needs OCR", "picture"),
    "refused": ("bad", "Refused", "close"),
    "stopped": ("warn", "Stopped", "stop"),
    "duplicate": ("other", "Duplicate", "copy"),
    "superseded": ("other", "Replaced", "older"),
    "unpacked": ("other", "Unpacked", "archive"),
}


_AUDIENCES = {
    "everyone": ("people", "Everyone here"),
    "some": ("people", "Shared with some"),
    "owner": ("lock", "Only you"),
}


def tone_of(document: DocumentRecord) -> str:
    """'ready', 'busy', 'warn', 'bad', or 'other' for what others stand for."""
    return _STATES[document.state][0]


def is_settled(documents: Sequence[DocumentRecord]) -> bool:
    """True when no document is waiting for the worker or being read."""
    return all(_STATES[document.state][0] != "busy" for document in documents)


def change_html(change: Mapping[str, Any] | None) -> str:
    """A line while another embedding model takes the place of the one that is searched with."""
    if not change:
        return ""
    return (
        f'<p class="model-notice change">{icon("info")}<span>Passages are being embedded with'
        f" <b>{escape(change['new'])}</b>: {change['num_done']:,} of {change['num_total']:,}."
        f" Search goes on with {escape(change['old'])} until all of them are.</span></p>"
    )


def documents_html(documents: Sequence[DocumentRecord], places: Sequence[Place] = ()) -> str:
    """The table of documents, newest first, and the places that the person may move some to."""
    if not documents:
        return (
            f'<div class="nothing">{icon("documents")}<p>No documents yet.</p>'
            "<p>Add files above: PDF, scans and pictures, Word, PowerPoint, Excel, OpenDocument,"
            " CSV, HTML, Markdown, text, e-mail, EPUB, and archives of them.</p></div>"
        )
    rows = "".join(_document(d, places) for d in documents)
    heads = ("Name", "State", "Pages", "Passages", "Size", "Added", "")
    head = "".join(
        f'<th scope="col">{h or "<span class=unseen>Actions</span>"}</th>' for h in heads
    )
    return (
        f'<table class="documents"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        '<p class="quiet no-match" hidden>No document has these words in its name.</p>'
        f"{_places(places)}"
    )


def _places(places: Sequence[Place]) -> str:
    """What the script offers when a document is moved."""
    options = "".join(
        f'<option value="{escape(place.value)}" data-collection="{place.collection_id or ""}">'
        f"{escape(place.label)}</option>"
        for place in places
    )
    return f'<select id="places" hidden aria-hidden="true">{options}</select>' if options else ""


def _document(document: DocumentRecord, places: Sequence[Place]) -> str:
    tone, word, drawing = _STATES[document.state]
    cells = (
        ("state", f'<span class="pill {tone}">{icon(drawing)}{word}</span>'),
        _number_cell(document.num_pages, "page"),
        _number_cell(document.num_chunks or None, "passage"),
        ("number", escape(format_bytes(document.size_bytes))),
        (
            "date",
            f'<time datetime="{escape(document.created_at)}">{_date(document.created_at)}</time>',
        ),
        ("actions", _document_tools(document, places)),
    )
    labels = ("State", "Pages", "Passages", "Size", "Added", "Actions")
    body = "".join(
        f'<td class="{name}" data-label="{label}">{content}</td>'
        for (name, content), label in zip(cells, labels, strict=True)
    )
    return (
        f'<tr data-name="{escape(document.name.lower())}">'
        f'<th scope="row" class="name">{_name_cell(document)}</th>{body}</tr>'
    )


def _number_cell(count: int | None, noun: str) -> tuple[str, str]:
    """(class, content). What is counted shows where the table has no column heads."""
    if count is None:
        return "number none", "–"
    number, _, unit = counted(count, noun).partition(" ")
    return "number", f'{number}<span class="unit"> {unit}</span>'


def _name_cell(document: DocumentRecord) -> str:
    suffix = document.name.rpartition(".")[2].lower() if "." in document.name else ""
    kind = f'<span class="kind" aria-hidden="true">{escape(suffix[:5])}</span>'
    url = f"/passage?{urlencode({'document': document.id})}"
    name = (
        new_tab(url, f"<bdi>{escape(document.name)}</bdi>", "doc-name")
        if document.is_read or document.state in ("duplicate", "superseded")
        else f'<span class="doc-name"><bdi>{escape(document.name)}</bdi></span>'
    )
    drawing, who = _AUDIENCES[document.audience]
    when = f" · {escape(document.dated.words)}" if document.dated else ""
    said = f"{who} · <bdi>{escape(document.collection)}</bdi>{when}"
    where = f'<span class="where">{icon(drawing)}<span>{said}</span></span>'
    return f"{kind}<div>{name}{where}{_reason(document)}</div>"


def _reason(document: DocumentRecord) -> str:
    """Why a file gave no text, what to do about it, and what was noted while reading it."""
    parts = []
    if document.state == "duplicate" and document.related:
        parts.append(f"<span>The same file as <bdi>{escape(document.related)}</bdi></span>")
    if document.state == "superseded":
        parts.append("<span>A newer version answers instead; this one can still be opened</span>")
    if document.error:
        parts.append(f"<strong>{escape(sentence_case(document.error.rstrip('.')))}.</strong>")
        parts.append(escape(sentence_case(document.hint)) if document.hint else "")
    parts += [f"<span>{escape(sentence_case(note))}</span>" for note in document.notes]
    if not parts:
        return ""
    return f'<p class="reason {_STATES[document.state][0]}">{" ".join(parts)}</p>'


def _document_tools(document: DocumentRecord, places: Sequence[Place]) -> str:
    data: dict[str, Any] = {"document": document.id, "title": document.name}
    tools = [
        _ask_tool(document) if document.is_read else "",
        tool("show-pages", f"Pages of {document.name}", "pages", **data)
        if document.num_pages
        else "",
        new_tab(
            f"/api/v1/documents/{document.id}/original",
            f'{icon("open")}<span class="unseen">Original of {escape(document.name)}</span>',
            "tool",
        ),
    ]
    if document.may_change:
        if document.state in BUSY_STATES:
            tools.append(tool("stop-document", f"Stop reading {document.name}", "stop", **data))
        if document.state in (*FAILED_STATES, "partial"):
            tools.append(tool("retry", f"Try {document.name} again", "again", **data))
        if document.stands_alone and any(_is_other(place, document) for place in places):
            move = data | {"collection": document.collection_id}
            tools.append(tool("move", f"Move {document.name}", "move", **move))
        tools.append(tool("remove", f"Remove {document.name}", "trash", **data))
    return "".join(tools)


def _is_other(place: Place, document: DocumentRecord) -> bool:
    return place.collection_id != document.collection_id


def _ask_tool(document: DocumentRecord) -> str:
    """Opens a chat that asks this document alone."""
    label = escape(f"Ask this document: {document.name}")
    return (
        f'<button type="button" class="tool wide" data-do="ask-document" title="{label}"'
        f' aria-label="{label}" data-document="{escape(document.id)}"'
        f' data-title="{escape(document.name)}">{icon("chat")}<span>Ask</span></button>'
    )


def _date(moment: str) -> str:
    return escape(parse_time(moment).astimezone().strftime("%-d %b %Y, %H:%M"))


def uploaded_html(results: Sequence[tuple[str, str, str]]) -> str:
    """What became of each uploaded file: (tone, name, plain words). Many that are well are one
    line: the table below lists them, and what needs a look stands out."""
    if not results:
        return ""
    well = [name for tone, name, _ in results if tone == "ready"]
    is_long = len(well) > MAX_UPLOADED
    items = ""
    if is_long:
        items = f'<li class="ready"><b>{len(well):,} files</b> are stored</li>'
    items += "".join(
        f'<li class="{tone}"><b><bdi>{escape(name)}</bdi></b> {escape(words)}</li>'
        for tone, name, words in results
        if not (is_long and tone == "ready")
    )
    return f'<ul class="uploaded" role="status">{items}</ul>'


# Search ----------------------------------------------------------------------------------------


def hits_html(hits: Sequence[Hit], query: str, notices: Sequence[str]) -> str:
    """Ranked passages with the words of the query marked."""
    remarks = "".join(quiet(notice) for notice in notices)
    if not hits:
        return (
            f'{remarks}<div class="nothing">{icon("search")}<p>Nothing found for'
            f" “<bdi>{escape(clipped(query, 80))}</bdi>”.</p>"
            "<p>Try other or fewer words. Only documents that are ready are searched.</p></div>"
        )
    items = "".join(_hit(hit, query) for hit in hits)
    count = f"{counted(len(hits), 'passage')}, best first"
    return f'{remarks}<p class="totals" role="status">{count}</p><ol class="hits">{items}</ol>'


def _hit(hit: Hit, query: str) -> str:
    span = {"document": hit.document_id, "start": hit.start, "end": hit.end}
    beside = filter(None, (hit.place.replace(" > ", " › "), words_of(hit.dated)))
    places = "".join(f'<span class="place">{escape(part)}</span>' for part in beside)
    title = f"<bdi>{escape(hit.document)}</bdi>{places}"
    return (
        f"<li>{new_tab(f'/passage?{urlencode(span)}', title, 'hit-title')}"
        f'<p dir="auto">{marked_words(excerpt(hit.text, query), query)}</p></li>'
    )


def excerpt(text: str, query: str, max_chars: int = 360) -> str:
    """The part of a passage around the first word of the query, on one line."""
    text = " ".join(text.split())
    first = min((m.start() for m in _WORD.finditer(text) if _matches(m[0], query)), default=0)
    start = max(0, first - max_chars // 3)
    if start:
        start = text.find(" ", start) + 1 or start
    rest = text[start:]
    return ("… " if start else "") + clipped(rest, max_chars)


def marked_words(text: str, query: str) -> str:
    """The text as HTML with the query's words in <mark>, inflected forms too."""
    out: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        if _matches(match[0], query):
            out += [escape(text[position : match.start()]), f"<mark>{escape(match[0])}</mark>"]
            position = match.end()
    return "".join([*out, escape(text[position:])])


# A word, or one character of a script that puts no spaces between words.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
# fmt: off
_SHORT_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how", "i",
    "in", "is", "it", "my", "of", "on", "or", "the", "to", "what", "when", "where", "which", "who",
    "why", "with", "you",
})
# fmt: on


def _matches(word: str, query: str) -> bool:
    word = word.lower()
    for asked in _WORD.findall(query.lower()):
        if word == asked and word not in _SHORT_WORDS:
            return True
        stem = asked[: max(4, len(asked) - 2)]
        if len(asked) >= 4 and word.startswith(stem) and len(word) <= len(asked) + 4:
            return True
    return False
