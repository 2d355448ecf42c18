"""Conversations that answer: each question and each answer is stored as it comes.

Knows no page and no transport. Invariants: a question is stored before it is worked on; whatever
was shown of an answer is stored, also when its reader goes away or the process is killed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import cast

from kit.answer.answer import answer_question
from kit.answer.conversations.conversations import Conversations, Message
from kit.answer.events import Answer, Draft, Event, Finished, Retrieved, Timings
from kit.answer.modes.modes import Modes
from kit.answer.modes.task import Task
from kit.answer.sources import Searches
from kit.config import AnswerSettings
from kit.engine.client import ChatMessage, Engine
from kit.errors import NotFound, UsageError

MAX_HISTORY = 8  # messages given to the model at most; the prompt's budget may take fewer
_MARKERS = re.compile(r" ?\[\d+\]")


class Chat:
    """Asks within conversations. Every method raises NotFound for another person's conversation."""

    def __init__(
        self,
        conversations: Conversations,
        searcher: Searches,
        engine: Engine,
        settings: AnswerSettings,
        *,
        modes: Modes,
    ) -> None:
        self.modes = modes
        self._conversations = conversations
        self._searcher = searcher
        self._engine = engine
        self._settings = settings

    async def ask(
        self,
        question: str,
        *,
        owner_id: str,
        conversation_id: str,
        collection: str | None = None,
        document_id: str | None = None,
    ) -> AsyncIterator[Event]:
        """Store the question, then stream and store its answer.

        With a document the conversation is about that one from now on.
        """
        history = await self._messages(conversation_id, owner_id)
        if document_id is not None:
            set_document = self._conversations.set_document
            await asyncio.to_thread(set_document, conversation_id, owner_id, document_id)
        async with aclosing(
            self._answer(conversation_id, owner_id, question, history, True, None, collection)
        ) as events:
            async for event in events:
                yield event

    async def do(self, task: Task, *, owner_id: str, conversation_id: str) -> AsyncIterator[Event]:
        """Store what is to be done as a question, then stream and store what comes of it.

        Raises: as `Modes.title`, before anything is stored.
        """
        title = await asyncio.to_thread(self.modes.title, task, owner_id)
        async with aclosing(
            self._answer(conversation_id, owner_id, title, (), True, None, None, task)
        ) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, conversation_id: str, owner_id: str, *, collection: str | None = None
    ) -> AsyncIterator[Event]:
        """Answer the last question again, in place of its answer. Raises: UsageError if none."""
        messages = await self._messages(conversation_id, owner_id)
        asked = next((m for m in reversed(messages) if m.role == "user"), None)
        if asked is None:
            raise UsageError("there is no question to answer again", hint="ask one first")
        history = [message for message in messages if message.id < asked.id]
        async with aclosing(
            self._answer(
                conversation_id,
                owner_id,
                asked.text,
                history,
                False,
                asked.id + 1,
                collection,
                asked.task,
            )
        ) as events:
            async for event in events:
                yield event

    async def edit(
        self, message_id: int, question: str, owner_id: str, *, collection: str | None = None
    ) -> AsyncIterator[Event]:
        """Ask `question` in place of that one; what came after it is gone. Raises: UsageError."""
        edited = await asyncio.to_thread(self._conversations.message, message_id, owner_id)
        if edited.role != "user":
            raise UsageError("only a question can be edited", hint="choose one of your questions")
        messages = await self._messages(edited.conversation_id, owner_id)
        history = [message for message in messages if message.id < message_id]
        async with aclosing(
            self._answer(
                edited.conversation_id, owner_id, question, history, True, message_id, collection
            )
        ) as events:
            async for event in events:
                yield event

    async def _messages(self, conversation_id: str, owner_id: str) -> list[Message]:
        return await asyncio.to_thread(self._conversations.messages, conversation_id, owner_id)

    async def _answer(
        self,
        conversation_id: str,
        owner_id: str,
        question: str,
        history: Sequence[Message],
        is_new: bool,
        replace_from: int | None,
        collection: str | None,
        task: Task | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Stream the answer and keep its row at what is shown."""
        store, add_sources = self._conversations.store, self._conversations.add_sources
        conversation = await asyncio.to_thread(self._conversations.get, conversation_id, owner_id)
        sources: list[str] = []
        if task is not None:
            sources = await asyncio.to_thread(self.modes.document_ids, task, owner_id)
        message_id = await asyncio.to_thread(
            self._conversations.begin,
            conversation_id,
            owner_id,
            question if is_new else None,
            replace_from=replace_from,
            task=task,
            sources=sources,
        )
        shown = Draft("", ())
        state = "failed"
        if task is not None:
            stream = self.modes.run(task, owner_id)
        else:
            stream = answer_question(
                question,
                history=as_history(history),
                reader=owner_id,
                searcher=self._searcher,
                engine=self._engine,
                settings=self._settings,
                collection=collection,
                document_id=conversation.document_id,
            )
        try:
            async with aclosing(cast("AsyncGenerator[Event, None]", stream)) as events:
                async for event in events:
                    if isinstance(event, Retrieved):  # comes before all that rests on it
                        used = {passage.document_id for passage in event.passages}
                        earlier = [message.id for message in remembered(history)]
                        await asyncio.to_thread(add_sources, message_id, used, earlier)
                    if isinstance(event, Draft):
                        shown = event
                        await asyncio.to_thread(
                            store, message_id, "streaming", shown.text, as_answer(shown)
                        )
                    if isinstance(event, Finished):
                        answer = event.answer
                        await asyncio.to_thread(store, message_id, "complete", answer.text, answer)
                        state = "complete"
                    yield event
        except NotFound:  # a document is gone meanwhile: nothing of it is kept
            shown = Draft("", ())
            raise
        except (GeneratorExit, asyncio.CancelledError):
            state = "stopped" if state == "failed" else state
            raise
        finally:
            # Not in a thread: a generator that is being closed or cancelled may not wait.
            if state != "complete":
                store(message_id, state, shown.text, as_answer(shown))  # type: ignore[arg-type]


def as_history(messages: Sequence[Message]) -> list[ChatMessage]:
    """The latest messages as the model reads them: without markers."""
    return [ChatMessage(m.role, _MARKERS.sub("", m.text)) for m in remembered(messages)]


def remembered(messages: Sequence[Message]) -> list[Message]:
    """Those that the model is given: the latest, without empty answers and those that rest on
    what their reader may no longer read."""
    return [
        message
        for message in messages[-MAX_HISTORY:]
        if message.text and message.state in ("complete", "stopped") and not message.is_closed
    ]


def as_answer(shown: Draft) -> Answer:
    """What was shown of an answer that did not finish."""
    return Answer(
        text=shown.text,
        is_supported=bool(shown.citations),
        quote=shown.citations[0].n if shown.citations else None,
        sentences=shown.sentences,
        citations=shown.citations,
        timings=Timings(0.0, 0.0, 0.0),
        tables=shown.tables,
    )
