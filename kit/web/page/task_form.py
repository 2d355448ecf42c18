"""The small form of a mode beside asking: which documents, and for a table which fields.

Knows HTML and the documents a person may choose. Invariant: every string of a person or a document
is escaped.
"""

# ruff: noqa: E501 - HTML reads better unbroken

from __future__ import annotations

import difflib
from collections.abc import Sequence

from kit.answer.modes.task import Kind
from kit.library.documents import DocumentRecord
from kit.web.page.pieces import tool
from kit.web.page.text import escape

MAX_LISTED = 500  # documents to choose among; a browser draws no more at once with pleasure
WORDS: dict[Kind, tuple[str, str, str]] = {
    "summarise": (
        "Summarise a document",
        "Read in parts; every sentence shows where it comes from.",
        "Summarise",
    ),
    "compare": (
        "Compare two documents",
        "What is the same, what differs, and what only one of them says.",
        "Compare",
    ),
    "extract": (
        "Fill a table from documents",
        "A row per document, a column per field; every value shows its place.",
        "Fill the table",
    ),
}
EXAMPLE = "Deadline: when do applications close?&#10;Amount&#10;Contact person"
Collections = Sequence[tuple[str, bool, int]]


def task_form_html(
    kind: Kind,
    documents: Sequence[DocumentRecord],
    collections: Collections,
    document_id: str = "",
) -> str:
    """The form; `document_id` is chosen already if it is among the documents."""
    title, what, button = WORDS[kind]
    listed = sorted(documents[:MAX_LISTED], key=lambda record: record.name.lower())
    fields = _EMPTY if not listed else _fields(kind, listed, collections, document_id)
    is_short = len(listed) < (2 if kind == "compare" else 1)
    more = (
        f'<p class="quiet">The {MAX_LISTED} newest documents are listed.</p>'
        if len(documents) > MAX_LISTED and kind != "extract"
        else ""
    )
    return (
        f'<form id="task-form" data-mode="{kind}" autocomplete="off"><header><div><h2>{title}</h2>'
        f"<p>{what}</p></div>{tool('close-task', 'Back to asking', 'close')}</header>{fields}{more}"
        f'<div class="task-row"><button type="submit" class="primary"{" disabled" if is_short else ""}>'
        f"{button}</button></div></form>"
    )


_EMPTY = '<p class="quiet">There is no document yet that has been read. Add some first.</p>'


def _fields(
    kind: Kind, listed: Sequence[DocumentRecord], collections: Collections, document_id: str
) -> str:
    first = document_id if any(r.id == document_id for r in listed) else listed[0].id
    if kind == "summarise":
        return _choice("Document", listed, first)
    if kind == "compare":
        older, newer = _two_alike(listed, first, is_given=first == document_id)
        return f'<div class="two">{_choice("Older", listed, older)}{_choice("Newer", listed, newer)}</div>'
    return _extraction(listed, collections)


def _choice(label: str, listed: Sequence[DocumentRecord], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(record.id)}"{" selected" if record.id == chosen else ""}>'
        f"{escape(_label(record))}</option>"
        for record in listed
    )
    return f'<label><span>{label}</span><select name="document">{options}</select></label>'


def _label(record: DocumentRecord) -> str:
    """Its name; an earlier version is told by its day."""
    if record.state != "superseded":
        return record.name
    return f"{record.name}, earlier version of {record.created_at[:10]}"


def _two_alike(listed: Sequence[DocumentRecord], first: str, *, is_given: bool) -> tuple[str, str]:
    """The document and the one whose name is most like its own; without one, the two most alike.

    In the order of their names, for versions carry their year, then of their arrival.
    """
    ones = [record for record in listed if record.id == first or not is_given]
    pairs = [
        (difflib.SequenceMatcher(None, one.name, other.name).ratio(), i, j)
        for i, one in enumerate(ones[:60])
        for j, other in enumerate(listed[:60])
        if one.id != other.id
    ]
    if not pairs:
        return first, first
    _, i, j = max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2]))
    older, newer = sorted((ones[i], listed[j]), key=lambda r: (r.name, r.created_at))
    return older.id, newer.id


def _extraction(listed: Sequence[DocumentRecord], collections: Collections) -> str:
    total = sum(count for _, _, count in collections)
    options = "".join(
        f'<option value="{escape(name)}">{escape(name)} ({count})</option>'
        for name, _, count in collections
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="chosen" value="{escape(record.id)}">'
        f"<bdi>{escape(record.name)}</bdi></label>"
        for record in listed
    )
    return (
        "<label><span>Fields, one per line: a name, or a name and what to look for</span>"
        f'<textarea name="fields" rows="3" maxlength="8000" placeholder="{EXAMPLE}"></textarea></label>'
        f'<label><span>From</span><select name="collection"><option value="">All documents ({total})'
        f"</option>{options}</select></label>"
        f'<details class="boxes"><summary>Or choose documents</summary><div>{boxes}</div></details>'
    )
