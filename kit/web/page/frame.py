"""The fixed parts of the page: side bar, composer, headings, dialog. No value of anybody is in it
but the signed-in person's name and the collections to choose from, both escaped.
"""

# ruff: noqa: E501 - HTML reads better unbroken
from __future__ import annotations

from collections.abc import Sequence

from kit.web.page.icons import icon
from kit.web.page.pieces import tool
from kit.web.page.text import escape

MARK = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9"'
    ' fill="currentColor"/><path d="M9 8h9l5 5v11H9z" fill="none" stroke="var(--on-accent)"'
    ' stroke-width="2" stroke-linejoin="round"/><path d="M13 15h6M13 19h4" stroke="var(--on-accent)"'
    ' stroke-width="2" stroke-linecap="round"/></svg>'
)
MODES = (
    ("ask", "Ask"),
    ("summarise", "Summarise"),
    ("compare", "Compare"),
    ("extract", "Fill a table"),
)
VIEWS = (("chat", "Chat"), ("documents", "Documents"), ("search", "Search"))


def side_html() -> str:
    """Brand, the three pages, a new chat, and the box that searches my chats."""
    views = "".join(
        f'<li><button type="button" data-view="{name}"'
        f"{' aria-current=page' if name == 'chat' else ''}>{icon(name)}{label}</button></li>"
        for name, label in VIEWS
    )
    return (
        f'<div class="brand">{MARK}<div><b>Kit</b><span>Answers from your documents</span></div>'
        f"{tool('menu', 'Close the menu', 'close')}</div>"
        f'<nav aria-label="Pages"><ul>{views}</ul></nav>'
        f'<button type="button" class="new-chat" data-do="new-chat">{icon("plus")}New chat</button>'
        '<div class="find-chats" role="search">'
        f'{icon("search")}<input id="find-chats" type="search" placeholder="Search my chats"'
        ' aria-label="Search my chats" autocomplete="off"></div>'
    )


def person_html(name: str, *, may_sign_out: bool) -> str:
    """Whose page this is, the look, and the way out."""
    sign_out = (
        '<form method="post" action="/sign-out"><button type="submit" class="tool" title="Sign out"'
        f' aria-label="Sign out">{icon("sign-out")}</button></form>'
        if may_sign_out
        else ""
    )
    who = escape(name) if may_sign_out else "On this machine"
    return (
        f'<div class="person"><span class="initial" aria-hidden="true">{escape(name[:1].upper())}</span>'
        f"<span>{who}</span>{tool('theme', 'Look: as the system', 'theme')}{sign_out}</div>"
    )


def top_html() -> str:
    """The bar above everything on a narrow screen."""
    return (
        f"{tool('menu', 'Open the menu', 'menu')}<b>Kit</b>{tool('new-chat', 'New chat', 'plus')}"
    )


def composer_html() -> str:
    """Where a question is written. The collections to ask are set in beside it; where one document
    is asked, its name is there instead."""
    return (
        '<form id="composer" autocomplete="off">'
        '<p class="editing" hidden>Editing your question. What came after it will be replaced.'
        '<button type="button" data-do="cancel-edit">Cancel</button></p>'
        '<textarea id="question" rows="1" maxlength="20000" placeholder="Ask your documents"'
        ' aria-label="Your question" aria-describedby="composer-hint" enterkeyhint="send"></textarea>'
        '<div class="composer-row"><span class="scope-space"><span class="asking" hidden>'
        f"{icon('documents')}<span>Asking <bdi></bdi></span>"
        f"{tool('drop-document', 'Ask all documents again', 'close')}</span></span>"
        f"{mode_html()}"
        f'<button type="submit" class="send" title="Ask" aria-label="Ask" disabled>{icon("send")}</button>'
        f'<button type="button" class="send stop" data-do="stop" title="Stop" aria-label="Stop the answer"'
        f">{icon('stop')}</button></div></form>"
        '<p id="composer-hint" class="hint">Enter sends, Shift + Enter starts a line.'
        " Models make mistakes: check the sources.</p>"
        '<p id="said" class="unseen" role="status"></p>'
    )


def mode_html() -> str:
    """What to do: to ask, as a rule; another mode opens its form in place of the question."""
    options = "".join(f'<option value="{value}">{label}</option>' for value, label in MODES)
    return (
        '<label class="mode"><span class="unseen">What to do</span>'
        f'<select id="mode">{options}</select></label>'
    )


def scope_html(element_id: str, collections: Sequence[tuple[str, bool, int]]) -> str:
    """A choice among the names of collections this person may read; all is the default."""
    named: dict[str, int] = {}
    for name, _, count in collections:  # one name may be several people's: all of them are asked
        named[name] = named.get(name, 0) + count
    options = "".join(
        f'<option value="{escape(name)}">{escape(name)} ({count})</option>'
        for name, count in named.items()
    )
    total = sum(named.values())
    return (
        f'<label class="scope">{icon("documents")}<span class="unseen">Which documents</span>'
        f'<select id="{element_id}"><option value="">All documents ({total})</option>{options}'
        "</select></label>"
    )


def documents_head_html() -> str:
    return (
        '<header class="page-head"><div><h1>Documents</h1><p>What the answers rest on. Files stay on'
        " your own machines, and are read by those you choose.</p></div></header>"
    )


def too_large_html(max_upload_mb: int) -> str:
    """Where the script names the files that it does not send, and why."""
    return (
        f'<ul id="too-large" class="uploaded" role="status" data-max-bytes="{max_upload_mb << 20}"'
        f' data-reason="is larger than {max_upload_mb} MB, the largest file that is read.'
        ' Split it, or have web.max_upload_mb raised"></ul>'
    )


def documents_filter_html() -> str:
    return (
        f'<div class="filter" role="search">{icon("search")}<input id="filter-documents" type="search"'
        ' placeholder="Filter by name" aria-label="Filter documents by name" autocomplete="off"></div>'
    )


def search_head_html() -> str:
    return (
        '<header class="page-head"><div><h1>Search</h1><p>Finds passages in your documents. No model'
        " is involved.</p></div></header>"
        f'<form id="search" role="search">{icon("search")}<input id="search-words" type="search"'
        ' maxlength="1000" placeholder="Words, a name, a sum" aria-label="Words to search for"'
        ' autocomplete="off"><button type="submit" class="primary">Search</button></form>'
    )


def dialog_html() -> str:
    """One dialog for every question the page asks back."""
    return (
        '<dialog id="dialog" aria-labelledby="dialog-title"><form method="dialog">'
        '<h2 id="dialog-title"></h2><p></p><input id="dialog-input" type="text" maxlength="80"'
        ' aria-labelledby="dialog-title" autocomplete="off">'
        '<select id="dialog-choice" aria-labelledby="dialog-title"></select>'
        '<div><button type="button" value="cancel" data-do="cancel-dialog">Cancel</button>'
        '<button type="submit" value="ok" class="primary">OK</button></div></form></dialog>'
    )
