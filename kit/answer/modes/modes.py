"""The modes beside asking: a task to a stream of events.

Knows the library's gate and which mode does what. Invariant: documents are looked up for the reader
each time a task runs, so a right that was taken away counts from the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from kit.answer.events import Citation, Draft, Event, Finished
from kit.answer.modes.background import BackgroundEngine
from kit.answer.modes.compare import Version, compare, version_of
from kit.answer.modes.extract import extract
from kit.answer.modes.summarise import summarise
from kit.answer.modes.task import MAX_DOCUMENTS, Task, too_many
from kit.answer.sources import Searches
from kit.config import AnswerSettings
from kit.engine.client import Engine
from kit.errors import NotFound
from kit.library.documents import (
    DocumentRecord,
    ParsedDocument,
    WholeDocument,
    require_read,
)

STOOD_FOR = ("duplicate", "superseded", "unpacked")  # another document has the row


class Documents(Protocol):
    """What tasks need of the library."""

    def get(self, document_id: str, reader: str) -> DocumentRecord: ...

    def list(self, reader: str, collection: str | None = None) -> list[DocumentRecord]: ...

    def whole(self, document_id: str, reader: str) -> WholeDocument: ...

    def text(self, document_id: str, reader: str) -> ParsedDocument: ...


class Modes:
    """Does tasks over one library. Every method raises NotFound for what the reader may not see."""

    def __init__(
        self, library: Documents, searcher: Searches, engine: Engine, settings: AnswerSettings
    ) -> None:
        self._library = library
        self._searcher = searcher
        self._engine = BackgroundEngine(engine)
        self._settings = settings

    def title(self, task: Task, reader: str) -> str:
        """What the reader asked for, in words. Raises: NotFound; DocumentRefused for a document to
        summarise or compare that has no text; UsageError if there is nothing to extract from.
        """
        if task.kind == "extract":
            documents = self._chosen(task, reader)
            names = ", ".join(field.name for field in task.fields)
            where = f"{len(documents):,} documents"
            where = documents[0].name if len(documents) == 1 else where
            return f"Table of {names} from {where}"
        records = [self._library.get(document_id, reader) for document_id in task.document_ids]
        for record in records:
            if task.kind != "compare" or record.state != "superseded":
                require_read(record)
        verb = "Summarise" if task.kind == "summarise" else "Compare"
        return f"{verb} {' with '.join(record.name for record in records)}"

    def document_ids(self, task: Task, reader: str) -> list[str]:
        """The documents that the task works on. Raises: as `title`."""
        if task.kind == "extract":
            return [record.id for record in self._chosen(task, reader)]
        return list(task.document_ids)

    async def run(self, task: Task, reader: str) -> AsyncIterator[Event]:
        """Stream the work; the last event is Finished. Raises: as `title`."""
        events = await asyncio.to_thread(self._begin, task, reader)
        try:
            async for event in events:
                await asyncio.to_thread(self._require_there, event, reader)
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    def _begin(self, task: Task, reader: str) -> AsyncIterator[Event]:
        embedder = self._searcher.embedder
        if task.kind == "extract":
            documents = self._chosen(task, reader)
            return extract(documents, task.fields, reader=reader, searcher=self._searcher)
        if task.kind == "compare":
            old, new = (self._version(document_id, reader) for document_id in task.document_ids)
            return compare(old, new, embedder=embedder)
        return summarise(
            self._library.whole(task.document_ids[0], reader),
            reader=reader,
            embedder=embedder,
            engine=self._engine,
            settings=self._settings,
        )

    def _version(self, document_id: str, reader: str) -> Version:
        """A document by its text, which one that was superseded still has."""
        record = self._library.get(document_id, reader)
        if record.state != "superseded":
            require_read(record)
        return version_of(record, self._library.text(document_id, reader))

    def _require_there(self, event: Event, reader: str) -> None:
        """Long work may outlive a document: what was read of one that is gone is not shown.

        Raises: NotFound.
        """
        cited: tuple[Citation, ...] = ()
        if isinstance(event, Draft):
            cited = event.citations
        elif isinstance(event, Finished):
            cited = event.answer.citations
        for document_id in {citation.document_id for citation in cited}:
            self._library.get(document_id, reader)

    def _chosen(self, task: Task, reader: str) -> list[DocumentRecord]:
        """The documents of an extraction, by name where a collection is meant."""
        if task.document_ids:
            return [self._library.get(document_id, reader) for document_id in task.document_ids]
        listed = self._library.list(reader, task.collection)
        found = [record for record in listed if record.state not in STOOD_FOR]
        if not found:
            raise NotFound("there are no documents to look in", hint="add some: kit docs add")
        if len(found) > MAX_DOCUMENTS:
            raise too_many(len(found))
        return sorted(found, key=lambda record: (record.name, record.id))
