"""A kit for the commands' own tests: answers from what it was given, remembers what was asked."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any

from kit.answer.conversations.conversations import Conversation
from kit.answer.events import Answer, Citation, Draft, Event, Finished, Notice, Timings, Waiting
from kit.answer.modes.task import Task
from kit.cli.session import Found
from kit.errors import DocumentRefused, NotFound
from kit.export.export import Exported, Format
from kit.library.documents import FAILED_STATES, DocumentRecord, Hit, Page
from kit.library.progress import Progress, Reading

TEXT = "Staff receive R 650 a day.\nThe form is T-4."


def an_answer(**changes: Any) -> Answer:
    citation = Citation(1, "policy.pdf", "d1", 3, "page 3", 10, 36, TEXT)
    answer = Answer(
        text="“Staff receive R 650 a day.” [1]",
        is_supported=True,
        quote=1,
        sentences=(),
        citations=(citation,),
        timings=Timings(0.1, 0.2, 0.3),
    )
    return replace(answer, **changes)


class FakeKit:
    """See kit.cli.session.Kit. A file that starts with "bad" is refused when it is read."""

    def __init__(self) -> None:
        self.records: dict[str, DocumentRecord] = {}
        self.data: dict[str, bytes] = {}
        self.events: list[Event | BaseException] = [Finished(an_answer())]
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.asked_of: list[str | None] = []
        self.done: list[Task] = []
        self.num_closed = 0
        self.forgotten: list[str] = []
        self.is_paused = False
        self.read_error: Exception | None = None

    def add(self, stream: IO[bytes], name: str, collection: str) -> DocumentRecord:
        data = stream.read()
        if not data:
            raise DocumentRefused("the file is empty", hint="check the original")
        digest = hashlib.sha256(data).hexdigest()
        record = DocumentRecord(
            id=f"d{len(self.records) + 1}",
            name=name,
            collection=collection,
            owner_id=None,
            sha256=digest,
            size_bytes=len(data),
            state="queued",
            error=None,
            hint=None,
            notes=(),
            num_pages=None,
            num_chunks=0,
            title=None,
            created_at="2026-11-21T00:00:00Z",
        )
        self.records[record.id], self.data[record.id] = record, data
        return record

    def read_documents(
        self, ids: Sequence[str], on_change: Callable[[DocumentRecord], None]
    ) -> None:
        if self.read_error:
            raise self.read_error
        for document_id in ids:
            is_bad = self.data[document_id].startswith(b"bad")
            record = replace(
                self.records[document_id],
                state="refused" if is_bad else "indexed",
                error="the file is damaged" if is_bad else None,
                hint="save it again" if is_bad else None,
                num_chunks=0 if is_bad else 2,
            )
            self.records[document_id] = record
            on_change(record)

    def documents(self, collection: str | None = None) -> list[DocumentRecord]:
        return [r for r in self.records.values() if collection in (None, r.collection)]

    def document(self, document_id: str) -> DocumentRecord:
        if document_id not in self.records:
            raise NotFound("no such document")
        return self.records[document_id]

    def search(self, query: str, *, top_k: int, collection: str | None) -> Found:
        self.asked.append((query, collection, None))
        hit = Hit(1, 0.5, 7, "d1", "policy.pdf", 3, "page 3", 10, 36, TEXT, 9)
        return Found((hit,)[:top_k], ("words only",))

    def remove(self, document_id: str) -> None:
        del self.records[document_id]

    def retry(self, document_id: str) -> None:
        self.records[document_id] = replace(self.records[document_id], state="queued")

    def retry_failed(self) -> list[str]:
        failed = [r.id for r in self.records.values() if r.state in FAILED_STATES]
        for document_id in failed:
            self.retry(document_id)
        return failed

    def stop(self, document_id: str) -> None:
        self.records[document_id] = replace(self.records[document_id], state="stopped")

    def pages(self, document_id: str) -> tuple[Page, ...]:
        return (Page(1, "text", 40), Page(2, "no_text", 0, "a picture"))

    def progress(self) -> dict[str, Any]:
        now = (
            Reading("d1", "policy.pdf", "embedding", 3, 9, 4.0),
            Reading("d2", "scan.pdf", "parsing", 11, 300, 9.0),
            Reading("d3", "late.pdf", "parsing", 0, 0, 1.0),
        )
        return Progress(self.is_paused, 4, 6, 10, 12.0, 3.5, 90.0, now).as_dict()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    @contextlib.contextmanager
    def original(self, document_id: str) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self.data[document_id])

    def new_conversation(self) -> str:
        return "c1"

    def forget_conversation(self, conversation_id: str) -> None:
        self.forgotten.append(conversation_id)

    def ask(
        self,
        question: str,
        *,
        collection: str | None,
        conversation_id: str | None = None,
        document_id: str | None = None,
    ) -> Iterator[Event]:
        self.asked.append((question, collection, conversation_id))
        self.asked_of.append(document_id)
        try:
            for event in self.events:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.num_closed += 1

    def do(self, task: Task) -> Iterator[Event]:
        self.done.append(task)
        return self.ask("", collection=task.collection)

    def conversations(self) -> list[Conversation]:
        moment = "2026-11-27T09:00:00Z"
        return [Conversation("c1", "local", "Meals", moment, moment)]

    def export(self, conversation_id: str, form: Format, message_id: int | None = None) -> Exported:
        if conversation_id != "c1":
            raise NotFound("there is no such conversation")
        return Exported(f"meals.{form}", "", b"the file")

    def status(self) -> dict[str, Any]:
        return {"running": True, "url": "http://127.0.0.1:7860/", "documents": {"indexed": 2}}


DRAFTS: list[Event] = [
    Notice("words only"),
    Waiting(2),
    Draft("“Staff", ()),
    Draft("“Staff receive", ()),
]
