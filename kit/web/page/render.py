"""A conversation as HTML: its turns, the turn being written, and what an empty one shows.

Knows the nouns of kit.answer, no widget and no storage. Invariant: every string of a person, a
document or a model goes through kit.web.page.text before it is set into the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.answer.conversations import Message
from kit.answer.events import (
    Answer,
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    ReasoningDelta,
    Retrieved,
    Waiting,
)
from kit.web.page.answers import answer_html, reasoning_html, text_html
from kit.web.page.icons import icon
from kit.web.page.pieces import counted, failure, quiet, tool
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
    reasoning: str = ""
    notices: tuple[str, ...] = ()
    answer: Answer | None = None

    def after(self, event: Event) -> Live:
        """The turn once this event is known."""
        match event:
            case Notice(text=text):
                return replace(self, notices=(*self.notices, text))
            case Retrieved(passages=passages):
                return replace(self, status=_reading(len(passages)))
            case Waiting(ahead=ahead, wait_s=wait_s):
                return replace(self, status=_waiting(ahead, wait_s))
            case Draft(text=text, citations=citations):
                return replace(self, draft=text, citations=citations, status="Writing…")
            case ReasoningDelta(text=text):
                return replace(self, reasoning=self.reasoning + text, status="Thinking…")
            case Finished(answer=answer):
                return replace(self, answer=answer, citations=answer.citations, status="")


def _reading(num_passages: int) -> str:
    if num_passages == 0:
        return "Found no passage that fits…"
    return f"Reading {counted(num_passages, 'passage')}…"


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
        question_html(m.text, m.id)
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


def question_html(text: str, message_id: int | None = None) -> str:
    """What a person asked, as they wrote it."""
    tools = ""
    if message_id is not None:
        tools = (
            '<div class="tools">'
            + tool("edit-question", "Edit this question", "edit", message=message_id)
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
        parts += [text_html(live.draft, live.citations)]
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
    tools.append(_sources_tool(message))
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
) -> str:
    """What an empty conversation shows, about one document or all."""
    what = WHAT_IT_DOES if num_documents else NO_DOCUMENTS
    if asking is not None and asking.name:
        what = f"Only <bdi>{escape(asking.name)}</bdi> is asked; {QUOTES_IT}"
    add = '<button type="button" class="primary" data-view="documents">Add documents</button>'
    welcome = (
        f"<h1>What would you like to know?</h1><p>{what} {STAYS_HERE}</p>"
        f"{'' if num_documents else add}{_suggestions(suggestions)}{model_notice_html}"
    )
    return _thread("", asking, f'<section class="welcome">{welcome}</section>')


def _suggestions(questions: Sequence[str]) -> str:
    buttons = "".join(
        f'<li><button type="button" data-do="suggest" data-question="{escape(question)}">'
        f"{escape(question)}</button></li>"
        for question in questions[:4]
    )
    if not buttons:
        return ""
    return f'<ul class="suggestions" aria-label="Suggested questions">{buttons}</ul>'
