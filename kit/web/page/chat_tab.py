"""The conversation: handlers between the page's events and kit.answer.

Knows widgets' values and the rooms' functions; decides nothing. Invariant: each handler acts for
`request.username` alone, and a stream that loses its reader is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

from kit.answer.conversations.conversations import Message
from kit.answer.events import Event
from kit.answer.modes.task import Kind, Task, read_field
from kit.answer.suggest import document_questions, suggested_questions
from kit.errors import NotFound, UsageError
from kit.library.documents import BUSY_STATES, require_read
from kit.web.page.answers import evidence_html
from kit.web.page.asked import (
    explain,
    explained,
    id_of,
    ids_of,
    number_of,
    text_of,
    toast_html,
    user_of,
)
from kit.web.page.lists import conversations_html
from kit.web.page.render import Asking, Failure, Live, live_html, thread_html, welcome_html
from kit.web.page.stream import paced
from kit.web.page.task_form import task_form_html
from kit.web.page.widgets import gr
from kit.web.services import Services

# Values for: thread, turn being written, evidence, conversations (and message to the reader).
Drawn = tuple[Any, Any, Any, Any]
Drawing = tuple[Any, Any, Any, Any, Any]
Begin = Callable[[gr.EventData, str], "_Turn"]
SKIP = gr.skip()
STOP_CHECKS, STOP_CHECK_S = 40, 0.05


class ChatTab:
    """Handlers of the chat; one object serves everybody and keeps nothing between events."""

    def __init__(self, services: Services, model_notice_html: str) -> None:
        self._services = services
        self._conversations = services.conversations
        self._model_notice_html = model_notice_html

    # Drawing ------------------------------------------------------------------------------------

    def _draw(
        self, conversation_id: str, owner: str, query: str, document_id: str | None = None
    ) -> Drawn:
        """A conversation, or with no id a new one, which may ask one document."""
        listing = self._listing(conversation_id, owner, query)
        if not conversation_id:
            return self._welcome(owner, document_id), "", "", listing
        messages = self._conversations.messages(conversation_id, owner)
        if not messages:
            asked = self._conversations.get(conversation_id, owner).document_id
            return self._welcome(owner, asked), "", "", listing
        thread = self._thread(conversation_id, owner, messages)
        return thread, "", _evidence(messages), listing

    def _thread(
        self,
        conversation_id: str,
        owner: str,
        messages: Sequence[Message],
        failed: Failure | None = None,
    ) -> str:
        conversation = self._conversations.get(conversation_id, owner)
        asking = self._asking(conversation.document_id, owner)
        return thread_html(conversation_id, messages, failed, asking=asking)

    def _asking(self, document_id: str | None, owner: str) -> Asking | None:
        if not document_id:
            return None
        try:
            return Asking(document_id, self._services.library.get(document_id, owner).name)
        except NotFound:
            return Asking(document_id, "")

    def _listing(self, conversation_id: str, owner: str, query: str) -> str:
        found = self._conversations.list(owner, query)
        return conversations_html(found, conversation_id, query, datetime.now().astimezone())

    def _welcome(self, owner: str, document_id: str | None = None) -> str:
        library, asking = self._services.library, self._asking(document_id, owner)
        if asking is None:
            suggestions = suggested_questions(library, owner)
        else:
            suggestions = self._suggested(asking.id, owner)
        num_documents = sum(count for _, _, count in library.collections(owner))
        counts = library.counts(owner)
        num_busy = sum(counts.get(state, 0) for state in BUSY_STATES)
        notice = self._model_notice_html
        return welcome_html(suggestions, notice, num_documents, asking, num_busy=num_busy)

    def _suggested(self, document_id: str, owner: str) -> list[str]:
        try:
            record = self._services.library.get(document_id, owner)
            return document_questions(record, self._services.library.text(document_id, owner))
        except NotFound:  # gone, or not read yet
            return []

    # Quick events -------------------------------------------------------------------------------

    @explained(4)
    def open(self, event: gr.EventData, request: gr.Request) -> Drawn:
        """A conversation is shown; an unknown one, or none, gives an empty chat, which asks the
        document that is named."""
        owner, query = user_of(request), text_of(event, "query")
        with contextlib.suppress(NotFound):
            document_id = id_of(event, "document") or None
            return self._draw(id_of(event, "conversation"), owner, query, document_id)
        return self._draw("", owner, query)

    @explained(4)
    def drop_document(self, event: gr.EventData, request: gr.Request) -> Drawn:
        """What follows asks all documents again."""
        owner, conversation_id = user_of(request), id_of(event, "conversation")
        if conversation_id:
            self._conversations.set_document(conversation_id, owner, None)
        return self._draw(conversation_id, owner, text_of(event, "query"))

    @explained(1)
    def find(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        """The list of conversations, those with the words of the search box."""
        current, query = id_of(event, "conversation"), text_of(event, "query")
        return (self._listing(current, user_of(request), query),)

    @explained(1)
    def rename(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        owner = user_of(request)
        self._conversations.rename(id_of(event, "target"), text_of(event, "title"), owner)
        return (self._listing(id_of(event, "conversation"), owner, text_of(event, "query")),)

    @explained(4)
    def delete(self, event: gr.EventData, request: gr.Request) -> Drawn:
        owner, target = user_of(request), id_of(event, "target")
        with contextlib.suppress(NotFound):
            self._conversations.delete(target, owner)
        current = id_of(event, "conversation")
        if current == target:
            return self._draw("", owner, text_of(event, "query"))
        return SKIP, SKIP, SKIP, self._listing(current, owner, text_of(event, "query"))

    @explained(1)
    def feedback(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        owner, conversation_id = user_of(request), id_of(event, "conversation")
        message_id, value = number_of(event, "message"), number_of(event, "value")
        self._conversations.set_feedback(message_id, owner, value)
        messages = self._conversations.messages(conversation_id, owner)
        return (self._thread(conversation_id, owner, messages),)

    @explained(1)
    def evidence(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        """The evidence of the answer whose sources were asked for, or what came closest to it."""
        message = self._conversations.message(number_of(event, "message"), user_of(request))
        if message.answer is None:
            return ("",)
        answer = message.answer
        return (evidence_html(answer.citations, answer.closest, message_id=message.id),)

    @explained(1)
    def open_task(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        """The form of a mode, with the documents that can be chosen."""
        owner, library = user_of(request), self._services.library
        kind, collections = kind_of(event), library.collections(owner)
        also = ("superseded",) if kind == "compare" else ()  # two versions of one document
        documents = [r for r in library.list(owner) if r.is_read or r.state in also]
        return (task_form_html(kind, documents, collections, id_of(event, "document")),)

    # Streams ------------------------------------------------------------------------------------

    async def ask(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Drawing, None]:
        """A question is answered as it streams; a first question makes its conversation."""
        async with contextlib.aclosing(self._turn(self._begin_ask, event, request)) as drawings:
            async for drawing in drawings:
                yield drawing

    async def do_task(
        self, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Drawing, None]:
        """A task of another mode is done; it is kept as a question and its answer."""
        async with contextlib.aclosing(self._turn(self._begin_task, event, request)) as drawings:
            async for drawing in drawings:
                yield drawing

    async def regenerate(
        self, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Drawing, None]:
        """The last question is answered again."""
        begin = self._begin_regenerate
        async with contextlib.aclosing(self._turn(begin, event, request)) as drawings:
            async for drawing in drawings:
                yield drawing

    async def edit(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Drawing, None]:
        """A question is replaced by another, which is answered; what came after it is gone."""
        async with contextlib.aclosing(self._turn(self._begin_edit, event, request)) as drawings:
            async for drawing in drawings:
                yield drawing

    @explained(4)
    async def stopped(self, event: gr.EventData, request: gr.Request) -> Drawn:
        """The conversation as it is stored once the cancelled stream has let go of it."""
        owner, conversation_id = user_of(request), id_of(event, "conversation")
        for _ in range(STOP_CHECKS):
            messages = await asyncio.to_thread(self._messages, conversation_id, owner)
            if all(message.state != "streaming" for message in messages):
                break
            await asyncio.sleep(STOP_CHECK_S)
        return self._draw(conversation_id, owner, text_of(event, "query"))

    def _begin_ask(self, event: gr.EventData, owner: str) -> _Turn:
        question = text_of(event, "question").strip()
        if not question:
            raise UsageError("there is no question", hint="write one first")
        conversation_id = id_of(event, "conversation")
        before = self._messages(conversation_id, owner)
        document_id = id_of(event, "document") or None
        if document_id is not None:
            require_read(self._services.library.get(document_id, owner))
        if not conversation_id:
            conversation_id = self._conversations.create(owner, document_id=document_id).id
        elif document_id is not None:
            self._conversations.set_document(conversation_id, owner, document_id)
        stream = self._services.chat.ask(
            question,
            owner_id=owner,
            conversation_id=conversation_id,
            collection=text_of(event, "collection") or None,
        )
        return _Turn(owner, conversation_id, before, question, stream)

    def _begin_task(self, event: gr.EventData, owner: str) -> _Turn:
        task = task_of(event)
        title = self._services.chat.modes.title(task, owner)
        conversation_id = id_of(event, "conversation")
        before = self._messages(conversation_id, owner)
        if not conversation_id:
            conversation_id = self._conversations.create(owner).id
        stream = self._services.chat.do(task, owner_id=owner, conversation_id=conversation_id)
        return _Turn(owner, conversation_id, before, title, stream)

    def _begin_regenerate(self, event: gr.EventData, owner: str) -> _Turn:
        conversation_id = id_of(event, "conversation")
        messages = self._messages(conversation_id, owner)
        position = max((i for i, m in enumerate(messages) if m.role == "user"), default=None)
        if position is None:
            raise UsageError("there is no question to answer again")
        stream = self._services.chat.regenerate(conversation_id, owner)
        question = messages[position].text
        return _Turn(owner, conversation_id, messages[:position], question, stream)

    def _begin_edit(self, event: gr.EventData, owner: str) -> _Turn:
        question = text_of(event, "question").strip()
        if not question:
            raise UsageError("there is no question", hint="write one first")
        conversation_id, message_id = id_of(event, "conversation"), number_of(event, "message")
        before = [m for m in self._messages(conversation_id, owner) if m.id < message_id]
        stream = self._services.chat.edit(message_id, question, owner)
        return _Turn(owner, conversation_id, before, question, stream)

    def _messages(self, conversation_id: str, owner: str) -> list[Message]:
        return self._conversations.messages(conversation_id, owner) if conversation_id else []

    async def _turn(
        self, begin: Begin, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Drawing, None]:
        """Draw a turn as its events come, then the stored conversation."""
        try:
            turn = await asyncio.to_thread(begin, event, user_of(request))
            before = self._thread(turn.conversation_id, turn.owner, turn.before)
        except Exception as error:  # noqa: BLE001 - see `explain`
            yield SKIP, SKIP, SKIP, SKIP, toast_html(*explain(error))
            return
        live, failed = Live(turn.question), None
        yield before, live_html(live), "", SKIP, SKIP
        query, is_listed = text_of(event, "query"), False
        try:
            async with contextlib.aclosing(paced(turn.stream)) as batches:
                async for batch in batches:
                    listing, shown = SKIP, live.citations
                    if batch and not is_listed:  # the title is known once the question is stored
                        is_listed = True
                        listing = self._listing(turn.conversation_id, turn.owner, query)
                    live = functools.reduce(Live.after, batch, live)
                    is_same = live.citations == shown or live.tables
                    evidence = SKIP if is_same else evidence_html(live.citations)
                    yield SKIP, live_html(live) if batch else SKIP, evidence, listing, SKIP
        except Exception as error:  # noqa: BLE001 - see `explain`
            failed = explain(error)
        yield self._finished(turn, query, failed)

    def _finished(self, turn: _Turn, query: str, failed: tuple[str, str | None] | None) -> Drawing:
        """The stored conversation, with the reason under an answer that failed."""
        listing = self._listing(turn.conversation_id, turn.owner, query)
        try:
            messages = self._conversations.messages(turn.conversation_id, turn.owner)
            thread = self._thread(turn.conversation_id, turn.owner, messages, failed)
        except NotFound:  # deleted meanwhile, in another tab
            return self._welcome(turn.owner), "", "", listing, SKIP
        toast = toast_html(*failed) if failed and not messages else SKIP
        return thread, "", _evidence(messages), listing, toast


def kind_of(event: gr.EventData) -> Kind:
    """The mode that was chosen. Raises: UsageError."""
    wanted = id_of(event, "mode")
    found = next((kind for kind in get_args(Kind) if kind == wanted), None)
    if found is None:
        raise UsageError(f"there is no mode {wanted!r}", hint="load the page again")
    return cast("Kind", found)


def task_of(event: gr.EventData) -> Task:
    """What the form of a mode says. Raises: UsageError."""
    kind, documents = kind_of(event), ids_of(event, "documents")
    if kind != "extract":
        return Task(kind, documents)
    lines = [line for line in text_of(event, "fields").splitlines() if line.strip()]
    collection = None if documents else text_of(event, "collection") or None
    return Task(kind, documents, collection, tuple(map(read_field, lines)))


@dataclass(frozen=True)
class _Turn:
    """What is being answered, and the turns before it."""

    owner: str
    conversation_id: str
    before: list[Message]
    question: str
    stream: AsyncIterator[Event]


def _evidence(messages: Sequence[Message]) -> str:
    """The evidence of the last answer or ''; what only came close is shown when asked for."""
    answer = messages[-1].answer if messages else None
    return (
        ""
        if answer is None or answer.tables
        else evidence_html(answer.citations, message_id=messages[-1].id)
    )
