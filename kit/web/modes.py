"""Summarising, comparing, extracting and exporting over HTTP.

Translates, never decides. Invariant: an export is made from what the conversation's owner is shown.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from kit.answer.modes import task as tasks
from kit.answer.modes.task import Task
from kit.export.export import Format, export
from kit.export.report import report_of
from kit.web.ask import event_stream
from kit.web.files import disposition
from kit.web.replies import Kit, Person, Text, in_thread
from kit.web.services import Services

router = APIRouter(prefix="/api/v1")
Ids = Annotated[list[Text], Field(max_length=tasks.MAX_DOCUMENTS)]


class _Body(BaseModel):
    """An unknown field is an error, so a mistyped one never passes silently."""

    model_config = ConfigDict(extra="forbid")

    document_ids: Ids = Field(default_factory=list)
    conversation_id: Text | None = None


class ExtractField(BaseModel):
    """A column: its name, and what is looked for, as a question or in a few words."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(max_length=500)
    description: Text = Field(default="", max_length=2000)


class Documents(_Body):
    """The documents to work on. `collection` and `fields` are for extracting alone."""


class Extraction(_Body):
    """Documents by id, or of a collection, or all; and the fields to find in each."""

    collection: Text | None = None
    fields: list[ExtractField] = Field(max_length=100)


@router.post("/summarise")
async def summarise(services: Kit, person: Person, body: Documents) -> StreamingResponse:
    """A summary of one document, each sentence with its place in it."""
    return await _stream(services, person.id, Task("summarise", tuple(body.document_ids)), body)


@router.post("/compare")
async def compare(services: Kit, person: Person, body: Documents) -> StreamingResponse:
    """Two documents, the older first: what is the same, what differs, what only one says."""
    return await _stream(services, person.id, Task("compare", tuple(body.document_ids)), body)


@router.post("/extract")
async def extract(services: Kit, person: Person, body: Extraction) -> StreamingResponse:
    """A table of fields, a row per document, each value with its place."""
    fields = tuple(tasks.Field(f.name, f.description) for f in body.fields)
    task = Task("extract", tuple(body.document_ids), body.collection, fields)
    return await _stream(services, person.id, task, body)


async def _stream(services: Services, owner_id: str, task: Task, body: _Body) -> StreamingResponse:
    """What is wrong with the request is its status, not an event."""
    modes = services.chat.modes
    await in_thread(modes.title, task, owner_id)
    if body.conversation_id is None:
        events = modes.run(task, owner_id)
    else:
        await in_thread(services.conversations.get, body.conversation_id, owner_id)
        events = services.chat.do(task, owner_id=owner_id, conversation_id=body.conversation_id)
    stream = event_stream(events, is_stopping=lambda: services.is_stopping)
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold the stream back
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.get("/conversations/{conversation_id}/export")
async def export_conversation(
    services: Kit,
    person: Person,
    conversation_id: str,
    form: Annotated[Format, Query(alias="format")] = "docx",
    message: Annotated[int | None, Query(ge=0, lt=1 << 63)] = None,
) -> Response:
    """The conversation, or one answer of it, as a file; its citations are footnotes."""
    kept = services.conversations
    conversation = await in_thread(kept.get, conversation_id, person.id)
    messages = await in_thread(kept.messages, conversation_id, person.id)
    made = await in_thread(export, report_of(conversation, messages, message), form)
    headers = {"Content-Disposition": disposition(made.name)}
    return Response(made.data, media_type=made.media_type, headers=headers)
