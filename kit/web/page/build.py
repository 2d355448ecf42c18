"""The page: widgets, and which event of the page's script calls which handler.

Knows the layout and no rule. The script (assets/page.js) sends every event through one hidden
widget, the bus; every answer is drawn by setting the value of a gr.HTML. Invariant: no event has a
name in Gradio's API, and no widget reaches another host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kit.people.accounts import LOCAL_USER_ID
from kit.web.page import frame
from kit.web.page.asked import explained, user_of
from kit.web.page.chat_tab import ChatTab
from kit.web.page.documents_tab import DocumentsTab, refresh_s
from kit.web.page.model_notice import model_notice_html
from kit.web.page.places import PRIVATE, SHARED
from kit.web.page.search_tab import SearchTab
from kit.web.page.theme import head_html, make_theme
from kit.web.page.widgets import gr
from kit.web.services import Services

EVENTS = [
    *("start", "ask", "do_task", "open_task", "regenerate", "edit", "stop", "stopped"),
    *("open_chat", "find_chats", "rename_chat", "delete_chat", "feedback", "show_evidence"),
    *("open_documents", "remove_document", "retry_document", "drop_document", "find_passages"),
    *("stop_document", "show_pages", "pause_reading", "resume_reading", "retry_failed"),
    *("sync_folder", "move_document"),
    *("create_collection", "share_collection", "unshare_collection"),
]


@dataclass(frozen=True)
class PageParts:
    """The page, and what `mount_gradio_app` wants beside it."""

    blocks: Any
    theme: Any
    head: str
    css: str | None = None
    js: str | None = None


def build_page(services: Services) -> PageParts:
    """The whole page. Opens no connection and starts nothing."""
    with gr.Blocks(
        title="Kit", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
    ) as blocks:
        drawn = _lay_out(services.config.web.max_upload_mb)
        _wire(drawn, services)
    # Nobody waits here for another's answer: the engine has its own queue and says so.
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return PageParts(blocks, make_theme(), head_html())


@dataclass(frozen=True)
class _Widgets:
    """The widgets that events come from or draw on."""

    bus: Any
    person: Any
    conversations: Any
    thread: Any
    live: Any
    task: Any
    evidence: Any
    scope: Any
    search_scope: Any
    who: Any
    drop: Any
    uploaded: Any
    reading: Any
    pages: Any
    sharing: Any
    table: Any
    timer: Any
    hits: Any
    toast: Any


def _html(name: str, value: str = "", *, is_drawn: bool = True) -> Any:
    """A gr.HTML without Gradio's own style; the script hears of each new drawing."""
    script = f"watch('value', () => window.kit.drawn('{name}', element))" if is_drawn else None
    return gr.HTML(value, elem_id=name, js_on_load=script, apply_default_css=False)


def _lay_out(max_upload_mb: int) -> _Widgets:
    _mend_file_widget()
    made: dict[str, Any] = {}
    bus_script = f"window.kit.connect(trigger, {EVENTS!r})"
    made["bus"] = gr.HTML("", elem_id="bus", js_on_load=bus_script, apply_default_css=False)
    with gr.Column(elem_id="app"):
        with gr.Column(elem_id="side"):
            _html("side-top", frame.side_html(), is_drawn=False)
            made["conversations"] = _html("conversations")
            made["person"] = _html("person")
        with gr.Column(elem_id="main"):
            _html("top", frame.top_html(), is_drawn=False)
            with gr.Column(elem_id="view-chat"):
                _lay_out_chat(made)
            with gr.Column(elem_id="view-documents"):
                _lay_out_documents(made, max_upload_mb)
            with gr.Column(elem_id="view-search"):
                _html("search-head", frame.search_head_html(), is_drawn=False)
                made["search_scope"] = _html("search-scope")
                made["hits"] = _html("hits")
        _html("dialog-space", frame.dialog_html(), is_drawn=False)
        made["toast"] = _html("toast")
    return _Widgets(**made)


def _lay_out_chat(made: dict[str, Any]) -> None:
    with gr.Column(elem_id="talk"):
        made["thread"] = _html("thread")
        made["live"] = _html("live")
    made["evidence"] = _html("evidence")
    with gr.Column(elem_id="compose"):
        made["task"] = _html("task")
        _html("composer-space", frame.composer_html(), is_drawn=False)
        made["scope"] = _html("scope")


def _mend_file_widget() -> None:
    """Gradio's file widget leaves no empty temporary file behind for each upload, and its
    description names no other host. On the class: Gradio makes a copy of a widget per session."""
    gr.File._process_single_file = lambda _self, file: file.path
    gr.File.example_payload = lambda _self: []


def _lay_out_documents(made: dict[str, Any], max_upload_mb: int) -> None:
    _html("documents-head", frame.documents_head_html(), is_drawn=False)
    made["who"] = gr.Radio(
        [PRIVATE, SHARED], value=PRIVATE, label="Where to, and who reads it there", elem_id="who"
    )
    made["drop"] = gr.File(
        file_count="multiple", label="Add documents", show_label=False, elem_id="drop", height=132
    )
    made["uploaded"] = _html("uploaded")
    _html("too-large-space", frame.too_large_html(max_upload_mb), is_drawn=False)
    made["sharing"] = _html("sharing")
    _html("filter-space", frame.documents_filter_html(), is_drawn=False)
    made["reading"] = _html("reading")
    made["table"] = _html("table")
    made["pages"] = _html("pages")
    made["timer"] = gr.Timer(refresh_s(0), active=False)


def _wire(w: _Widgets, services: Services) -> None:
    chat = ChatTab(services, model_notice_html(services.config))
    documents, search = DocumentsTab(services), SearchTab(services)
    start = _starter(services)
    drawn = [w.thread, w.live, w.evidence, w.conversations, w.toast]
    shown = [w.reading, w.table, w.timer, w.toast]

    _on(w.bus, "start", start, [w.person, w.scope, w.search_scope, w.toast])
    _on(w.bus, "find_chats", chat.find, [w.conversations, w.toast], trigger_mode="always_last")
    _on(w.bus, "open_task", chat.open_task, [w.task, w.toast])
    _on(w.bus, "rename_chat", chat.rename, [w.conversations, w.toast])
    _on(w.bus, "feedback", chat.feedback, [w.thread, w.toast])
    _on(w.bus, "show_evidence", chat.evidence, [w.evidence, w.toast])
    streams = [
        _on(w.bus, "ask", chat.ask, drawn, queue=True, trigger_mode="once"),
        _on(w.bus, "do_task", chat.do_task, drawn, queue=True, trigger_mode="once"),
        _on(w.bus, "regenerate", chat.regenerate, drawn, queue=True, trigger_mode="once"),
        _on(w.bus, "edit", chat.edit, drawn, queue=True, trigger_mode="once"),
    ]
    # Two events: Gradio cancels only when the handler of the cancelling event has returned.
    _on(w.bus, "stop", None, [], cancels=streams)
    _on(w.bus, "stopped", chat.stopped, drawn)
    _on(w.bus, "open_chat", chat.open, drawn)
    _on(w.bus, "delete_chat", chat.delete, drawn)
    _on(w.bus, "drop_document", chat.drop_document, drawn)

    opened = [*shown[:3], w.who, w.uploaded, w.sharing, w.toast]
    _on(w.bus, "open_documents", documents.open, opened)
    sharing = [w.sharing, w.who, w.toast]
    _on(w.bus, "create_collection", documents.sharing.create, sharing)
    _on(w.bus, "share_collection", documents.sharing.share, sharing)
    _on(w.bus, "unshare_collection", documents.sharing.unshare, sharing)
    told = [*shown[:3], w.uploaded, w.toast]
    _on(w.bus, "remove_document", documents.remove, told)
    _on(w.bus, "move_document", documents.move, told)
    _on(w.bus, "retry_document", documents.retry, shown)
    _on(w.bus, "retry_failed", documents.retry_failed, shown)
    _on(w.bus, "stop_document", documents.stop, shown)
    _on(w.bus, "pause_reading", documents.pause, shown)
    _on(w.bus, "resume_reading", documents.resume, shown)
    _on(w.bus, "sync_folder", documents.sync, shown)
    _on(w.bus, "show_pages", documents.pages, [w.pages, w.toast])
    _on(w.timer, "tick", documents.show, shown, trigger_mode="once")
    w.drop.upload(
        documents.upload,
        [w.drop, w.who],
        [w.drop, w.uploaded, *shown],
        trigger_mode="multiple",  # Gradio would drop, unsaid, what comes while others are taken in
        show_progress="hidden",
        api_visibility="private",
    )
    _on(w.bus, "find_passages", search.find, [w.hits, w.toast], trigger_mode="always_last")


def _on(
    widget: Any,
    event: str,
    handler: Callable[..., Any] | None,
    outputs: Sequence[Any],
    *,
    queue: bool = False,
    trigger_mode: str = "multiple",
    cancels: Sequence[Any] = (),
) -> Any:
    """The handler answers the event. Quick ones skip the queue, so they never wait."""
    return getattr(widget, event)(
        handler,
        None,
        list(outputs),
        queue=queue,
        trigger_mode=trigger_mode,
        cancels=list(cancels) or None,
        show_progress="hidden",
        api_visibility="private",
    )


def _starter(services: Services) -> Callable[..., Any]:
    @explained(3)
    def start(request: gr.Request) -> tuple[str, str, str]:
        """Whose page this is, and the collections they may ask."""
        user = services.accounts.get(user_of(request))
        collections = services.library.collections(user.id)
        return (
            frame.person_html(user.name, may_sign_out=user.id != LOCAL_USER_ID),
            frame.scope_html("scope-choice", collections),
            frame.scope_html("search-scope-choice", collections),
        )

    return start
