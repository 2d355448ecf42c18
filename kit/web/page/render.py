"""A conversation as HTML: its turns, the turn being written, and what an empty one shows.

Knows the nouns of kit.answer, no widget and no storage. Invariant: every string of a person, a
document or a model goes through kit.web.page.text before it is set into the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.answer.conversations.conversations import Message
from kit.answer.events import (
    Answer,
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    Progress,
    ReasoningDelta,
    Retrieved,
    Sentence,
    Table,
    Waiting,
)
from kit.web.page.answers import answer_html, reasoning_html, text_html
from kit.web.page.icons import icon
from kit.web.page.pieces import counted, failure, quiet, sentence_case, tool
from kit.web.page.tables import tables_html
from kit.web.page.text import escape, rich_text


@dataclass(frozen=True)
class Asking:
    """The one document that a conversation asks; `name` is '' if it is not there any more."""

    id: str
    name: str


@dataclass(frozen=True)
class Live:
    """The turn being written: what has been heard of it so far."""

    question: str
    status: str = "Searching your documents…"
    draft: str = ""
    citations: tuple[Citation, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    reasoning: str = ""
    notices: tuple[str, ...] = ()
    answer: Answer | None = None
    tables: tuple[Table, ...] = ()
    is_long: bool = False
    """Whether the work says how far it is: its status stays when it writes."""

    def after(self, event: Event) -> Live:
        """The turn once this event is known."""
        match event:
            case Notice(text=text):
                return replace(self, notices=(*self.notices, text))
            case Retrieved(passages=passages):
                return replace(self, status=_reading(len(passages)))
            case Waiting(ahead=ahead, wait_s=wait_s):
                return replace(self, status=_waiting(ahead, wait_s))
            case Progress():
                return replace(self, status=_at_work(event), is_long=True)
            case Draft(text=text, citations=citations, tables=tables, sentences=sentences):
                status = self.status if self.is_long else "Writing…"
                known = replace(self, draft=text, citations=citations, sentences=sentences)
                return replace(known, tables=tables, status=status)
            case ReasoningDelta(text=text):
                return replace(self, reasoning=self.reasoning + text, status="Thinking…")
            case Finished(answer=answer):
                return replace(self, answer=answer, citations=answer.citations, status="")


def _reading(num_passages: int) -> str:
    if num_passages == 0:
        return "Found no passage that fits…"
    return f"Reading {counted(num_passages, 'passage')}…"


def _at_work(at: Progress) -> str:
    """'Part 3 of 12: reading page 4, about 2 minutes…'"""
    if at.done >= at.total:
        return f"{sentence_case(at.what)}…"
    return f"{at.done + 1} of {at.total}: {at.what}{_about(at.left_s)}…"


def _waiting(ahead: int | None, wait_s: float | None) -> str:
    if ahead is None:
        return "Waiting for the model…"
    place = f"{counted(ahead, 'question')} before yours" if ahead else "yours is next"
    return f"Waiting, {place}{_about(wait_s)}…"


def _about(wait_s: float | None) -> str:
    """A rough time as people say it; nothing for less than a few seconds."""
    if wait_s is None or wait_s < 5:
        return ""
    if wait_s < 90:
        return f", about {5 * round(wait_s / 5)} seconds"
    return f", about {counted(round(wait_s / 60), 'minute')}"


# Turns -----------------------------------------------------------------------------------------


Failure = tuple[str, str | None]  # message and hint


def thread_html(
    conversation_id: str,
    messages: Sequence[Message],
    failed: Failure | None = None,
    *,
    asking: Asking | None = None,
) -> str:
    """A stored conversation. Only its last answer can be had again; `failed` says why it failed."""
    last = messages[-1].id if messages else None
    turns = [
        question_html(m.text, m.id, may_edit=m.task is None)
        if m.role == "user"
        else stored_answer_html(m, is_last=m.id == last, failed=failed if m.id == last else None)
        for m in messages
    ]
    return _thread(conversation_id, asking, "".join(turns))


def _thread(conversation_id: str, asking: Asking | None, body_html: str) -> str:
    """What the script reads of a conversation: which it is, and which document it asks."""
    document = ""
    if asking is not None:
        name = escape(asking.name)
        document = f' data-document="{escape(asking.id)}" data-document-name="{name}"'
    data = f'data-conversation="{escape(conversation_id)}"{document}'
    return f'<div class="thread" {data}>{body_html}</div>'


def question_html(text: str, message_id: int | None = None, *, may_edit: bool = True) -> str:
    """What a person asked, as they wrote it."""
    tools = ""
    if message_id is not None:
        edit = tool("edit-question", "Edit this question", "edit", message=message_id)
        tools = (
            '<div class="tools">'
            + (edit if may_edit else "")
            + tool("copy", "Copy this question", "copy")
            + "</div>"
        )
    return (
        '<article class="turn mine" aria-label="Your question">'
        f'<div class="bubble copyable" dir="auto">{escape(text)}</div>{tools}</article>'
    )


def stored_answer_html(message: Message, *, is_last: bool, failed: Failure | None = None) -> str:
    """An answer from the database, with what can be done with it."""
    if message.answer is not None:
        body = answer_html(message.answer)
    else:
        body = f'<div class="prose copyable" dir="auto">{rich_text(message.text)}</div>'
    if message.state in ("stopped", "streaming"):
        body += quiet("This answer was stopped.")
    if message.state == "failed":
        body += failure(*(failed or ("this answer could not be finished", "try it again")))
    return _answer_turn(body + _answer_tools(message, is_last), message.id)


def live_html(live: Live) -> str:
    """The turn being written."""
    parts = [reasoning_html(live.reasoning)]
    if live.answer is not None:
        parts = [answer_html(live.answer)]
    elif live.draft:
        parts += [
            text_html(live.draft, live.citations, live.sentences),
            tables_html(live.tables, live.citations),
        ]
    parts += [quiet(notice) for notice in live.notices if live.answer is None]
    if live.status:
        dots = '<span class="dots" aria-hidden="true"></span>'
        parts.append(f'<p class="status">{dots}{escape(live.status)}</p>')
    return question_html(live.question) + _answer_turn("".join(parts), None)


def _answer_turn(body: str, message_id: int | None) -> str:
    data = "" if message_id is None else f' data-message="{message_id}"'
    return f'<article class="turn theirs" aria-label="Answer"{data}>{body}</article>'


def _answer_tools(message: Message, is_last: bool) -> str:
    tools = [tool("copy", "Copy this answer", "copy")] if message.text else []
    if is_last:
        tools.append(tool("regenerate", "Answer again", "again"))
    judgements = ((1, "good", "Good answer"), (-1, "bad", "Bad answer")) if message.text else ()
    for value, name, label in judgements:
        pressed = message.feedback == value
        given = 0 if pressed else value  # a second press takes it back
        tools.append(
            tool("feedback", label, name, pressed=pressed, message=message.id, value=given)
        )
    tools += [_sources_tool(message), _save_tool(message)]
    if message.answer and message.state == "complete":
        tools.append(f'<span class="took">{message.answer.timings.total_s:.1f} s</span>')
    return f'<div class="tools">{"".join(tools)}</div>'


def _sources_tool(message: Message) -> str:
    answer = message.answer
    if answer is None or not (answer.citations or answer.closest):
        return ""
    count = len(answer.citations)
    label = counted(count, "source") if count else "Closest passages"
    return (
        '<button type="button" class="tool wide" data-do="evidence"'
        f' data-message="{message.id}">{icon("sources")}<span>{label}</span></button>'
    )


def _save_tool(message: Message) -> str:
    """The answer, or the whole chat, as a file."""
    if message.answer is None or not message.text:
        return ""
    path = f"/api/v1/conversations/{escape(message.conversation_id)}/export?format="
    forms = [("docx", "Word"), ("md", "Markdown")]
    spreadsheets = [("xlsx", "Excel"), ("csv", "CSV")] if message.answer.tables else []

    def links(named: Sequence[tuple[str, str]], rest: str) -> str:
        return "".join(
            f'<li><a href="{path}{form}{rest}" download>{name}</a></li>' for form, name in named
        )

    return (
        '<details class="save"><summary class="tool wide" title="Save as a file">'
        f"{icon('save')}<span>Save</span></summary><div><b>This answer</b>"
        f"<ul>{links([*forms, *spreadsheets], f'&amp;message={message.id}')}</ul>"
        f"<b>The whole chat</b><ul>{links(forms, '')}</ul></div></details>"
    )


# Empty chat ------------------------------------------------------------------------------------


WHAT_IT_DOES = "Every answer quotes your documents and shows where it comes from."
QUOTES_IT = "every answer quotes it and shows where."
NO_DOCUMENTS = "There are no documents yet. Add some, then ask about them."
STAYS_HERE = "Everything stays on your own machines."


def welcome_html(
    suggestions: Sequence[str],
    model_notice_html: str,
    num_documents: int,
    asking: Asking | None = None,
    *,
    num_busy: int = 0,
) -> str:
    """What an empty conversation shows, about one document or all; so many are not read yet."""
    what = WHAT_IT_DOES if num_documents else NO_DOCUMENTS
    if asking is not None and asking.name:
        what = f"Only <bdi>{escape(asking.name)}</bdi> is asked; {QUOTES_IT}"
    add = '<button type="button" class="primary" data-view="documents">Add documents</button>'
    welcome = (
        f"<h1>What would you like to know?</h1><p>{what} {STAYS_HERE}</p>"
        f"{'' if num_documents else add}{_being_read(num_busy)}{_suggestions(suggestions)}"
        f"{model_notice_html}"
    )
    return _thread("", asking, f'<section class="welcome">{welcome}</section>')


def _being_read(num_busy: int) -> str:
    if not num_busy:
        return ""
    are = "is" if num_busy == 1 else "are"
    return quiet(
        f"{counted(num_busy, 'document')} {are} still being read. Until then the answers come from"
        " those that are ready."
    )


def _suggestions(questions: Sequence[str]) -> str:
    buttons = "".join(
        f'<li><button type="button" data-do="suggest" data-question="{escape(question)}">'
        f"{escape(question)}</button></li>"
        for question in questions[:4]
    )
    if not buttons:
        return ""
    return f'<ul class="suggestions" aria-label="Suggested questions">{buttons}</ul>'
