"""Asking over HTTP: answers as server-sent events, and the conversations they belong to.

Translates typed events to named ones. Invariant: a client that goes away cancels its answer, and
the engine is free again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from kit.answer.answer import answer_question
from kit.answer.conversations.conversations import NEW_TITLE, Message
from kit.answer.events import (
    Draft,
    Event,
    Finished,
    Notice,
    Progress,
    ReasoningDelta,
    Retrieved,
    Waiting,
    answer_to_json,
)
from kit.answer.modes.task import task_to_json
from kit.answer.sources import Scope
from kit.errors import EngineUnavailable, KitError
from kit.library.documents import require_read
from kit.web.replies import InternalError, Kit, Person, Text, in_thread

router = APIRouter(prefix="/api/v1")
log = logging.getLogger("kit.web")
KEEP_ALIVE_S = 10.0  # proxies close a stream that is silent for a minute
LOOK_EVERY_S = 0.5  # whether the process is told to stop
MAX_QUESTION_CHARS = 20_000
NAMES: dict[type, str] = {
    Notice: "notice",
    Retrieved: "retrieved",
    Waiting: "waiting",
    Progress: "progress",
    Draft: "draft",
    ReasoningDelta: "reasoning",
    Finished: "finished",
}


MessageId = Annotated[int, Path(ge=0, lt=1 << 63)]


class _Body(BaseModel):
    """An unknown field is an error, so a mistyped one never passes silently."""

    model_config = ConfigDict(extra="forbid")


class Question(_Body):
    question: Text = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    conversation_id: Text | None = None
    collection: Text | None = None
    document_id: Text | None = None


class Changes(_Body):
    """What is to change of a conversation; a `document_id` of null asks all documents again."""

    title: Text | None = Field(default=None, max_length=500)
    document_id: Text | None = None


class NewConversation(_Body):
    title: Text | None = Field(default=None, max_length=500)
    document_id: Text | None = None


class Feedback(_Body):
    value: int = Field(ge=-1, le=1)


@router.post("/ask")
async def ask(services: Kit, person: Person, body: Question) -> StreamingResponse:
    """The answer as it is made. With a conversation it is kept there; without one, nowhere.

    With a document that one alone is asked, and by its conversation from then on.
    """
    # What is wrong with the request is its status, not an event.
    Scope(person.id, body.collection, body.document_id)
    if body.collection is not None:
        await in_thread(services.library.visible_collection_ids, person.id, body.collection)
    if body.document_id is not None:
        require_read(await in_thread(services.library.get, body.document_id, person.id))
    if body.conversation_id is None:
        events = answer_question(
            body.question,
            history=(),
            reader=person.id,
            searcher=services.searcher,
            engine=services.engine,
            settings=services.config.answer,
            collection=body.collection,
            document_id=body.document_id,
        )
    else:
        await in_thread(services.conversations.messages, body.conversation_id, person.id)
        events = services.chat.ask(
            body.question,
            owner_id=person.id,
            conversation_id=body.conversation_id,
            collection=body.collection,
            document_id=body.document_id,
        )
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold the stream back
    stream = event_stream(events, is_stopping=lambda: services.is_stopping)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def event_stream(
    events: AsyncIterator[Event],
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
    is_stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[str]:
    """Server-sent events, a comment now and then while nothing happens; errors are events too.

    When the process is told to stop, the stream ends with an error event that says so.
    """
    iterator = aiter(events)
    step: asyncio.Future[Event] | None = None
    silent_s = 0.0
    try:
        while True:
            step = step or asyncio.ensure_future(anext(iterator))
            wait_s = min(keep_alive_s, LOOK_EVERY_S)
            done, _ = await asyncio.wait({step}, timeout=wait_s)
            if is_stopping():
                raise EngineUnavailable("the kit is stopping", hint="ask again when it is back")
            silent_s = 0.0 if done else silent_s + wait_s
            if silent_s >= keep_alive_s:
                silent_s = 0.0
                yield ": still here\n\n"
            if not done:
                continue
            event, step = step.result(), None
            yield event_text(NAMES[type(event)], event_json(event))
    except StopAsyncIteration:
        return
    except KitError as problem:
        yield event_text("error", {"error": problem.as_dict()})
    except Exception:
        log.exception("an answer failed")
        yield event_text("error", {"error": InternalError().as_dict()})
    finally:
        await _end(iterator, step)


async def _end(iterator: AsyncIterator[Event], step: asyncio.Future[Event] | None) -> None:
    """The answer's generator is closed, so that the engine's stream is."""
    if step is not None and not step.done():
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, KitError):
            await step
    if hasattr(iterator, "aclose"):
        await iterator.aclose()


def event_text(name: str, data: object) -> str:
    """One server-sent event; JSON holds no line break, so the data is one line."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def event_json(event: Event) -> dict[str, Any]:
    return answer_to_json(event.answer) if isinstance(event, Finished) else asdict(event)


@router.get("/conversations")
async def list_conversations(
    services: Kit, person: Person, q: Annotated[Text, Query(max_length=500)] = ""
) -> dict[str, Any]:
    """The person's conversations, latest first."""
    found = await in_thread(services.conversations.list, person.id, q)
    return {"conversations": [asdict(conversation) for conversation in found]}


@router.post("/conversations", status_code=201)
async def create_conversation(
    services: Kit, person: Person, body: NewConversation | None = None
) -> dict[str, Any]:
    """A new conversation; with a document, about that one."""
    asked = body or NewConversation()
    if asked.document_id is not None:
        await in_thread(services.library.get, asked.document_id, person.id)
    made = await in_thread(
        services.conversations.create,
        person.id,
        asked.title or NEW_TITLE,
        document_id=asked.document_id,
    )
    return {"conversation": asdict(made)}


@router.get("/conversations/{conversation_id}")
async def show_conversation(services: Kit, person: Person, conversation_id: str) -> dict[str, Any]:
    """A conversation and its messages."""
    conversation = await in_thread(services.conversations.get, conversation_id, person.id)
    messages = await in_thread(services.conversations.messages, conversation_id, person.id)
    return {
        "conversation": asdict(conversation),
        "messages": [message_json(message) for message in messages],
    }


@router.patch("/conversations/{conversation_id}")
async def change_conversation(
    services: Kit, person: Person, conversation_id: str, body: Changes
) -> dict[str, Any]:
    """The conversation has this title, or asks this document; what is not named stays."""
    conversations = services.conversations
    if body.document_id is not None:
        await in_thread(services.library.get, body.document_id, person.id)
    if "title" in body.model_fields_set:
        await in_thread(conversations.rename, conversation_id, body.title or "", person.id)
    if "document_id" in body.model_fields_set:
        await in_thread(conversations.set_document, conversation_id, person.id, body.document_id)
    changed = await in_thread(conversations.get, conversation_id, person.id)
    return {"conversation": asdict(changed)}


@router.delete("/conversations/{conversation_id}")
async def delete_conversation(
    services: Kit, person: Person, conversation_id: str
) -> dict[str, str]:
    """The conversation and its messages are gone."""
    await in_thread(services.conversations.delete, conversation_id, person.id)
    return {"removed": conversation_id}


@router.post("/messages/{message_id}/feedback")
async def give_feedback(
    services: Kit, person: Person, message_id: MessageId, body: Feedback
) -> dict[str, int]:
    """The answer is marked good (1), bad (-1) or not at all (0)."""
    await in_thread(services.conversations.set_feedback, message_id, person.id, body.value)
    return {"value": body.value}


def message_json(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "role": message.role,
        "state": message.state,
        "text": message.text,
        "task": task_to_json(message.task) if message.task else None,
        "answer": answer_to_json(message.answer) if message.answer else None,
        "feedback": message.feedback,
        "created_at": message.created_at,
    }
