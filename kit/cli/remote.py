"""The running kit over its HTTP API, as the local user of this machine.

Knows the API's shapes, decides nothing. Invariant: an error of the API is raised here as the same
KitError it was there.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any
from urllib.parse import quote, unquote

import h11
import httpx

from kit.answer.conversations.conversations import Conversation
from kit.answer.events import (
    Draft,
    Event,
    Finished,
    Notice,
    Progress,
    ReasoningDelta,
    Retrieved,
    Waiting,
    answer_from_json,
    citations_from_json,
    sentences_from_json,
    tables_from_json,
)
from kit.answer.modes.task import Task, task_to_json
from kit.cli.session import Found, error_from_json
from kit.errors import DocumentRefused, EngineUnavailable, KitError, MachineError
from kit.export.export import Exported, Format
from kit.library.dates import dated_from_json
from kit.library.documents import BUSY_STATES, DocumentRecord, Hit, Page
from kit.ops.ports import trust_only

POLL_S = 0.3
TIMEOUT = httpx.Timeout(60.0, read=300.0)  # a file is hashed and stored before the answer comes


class RemoteKit:
    """See kit.cli.session.Kit."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        certfile: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._client = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            trust_env=False,  # a proxy in the environment must not see the token
            verify=trust_only(certfile) if certfile else True,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def add(self, stream: IO[bytes], name: str, collection: str) -> DocumentRecord:
        files, data = {"file": (name, stream)}, {"collection": collection}
        try:
            answer = self._json("POST", "/documents", files=files, data=data)
        except h11.LocalProtocolError:  # more or fewer bytes than its size said
            raise DocumentRefused(
                "the file changed while it was sent",
                hint="add it again when nothing writes to it, or add a copy",
            ) from None
        for refused in answer.get("problems", []):
            raise error_from_json(refused["error"])
        return document_from_json(answer["documents"][0])

    def read_documents(
        self, ids: Sequence[str], on_change: Callable[[DocumentRecord], None]
    ) -> None:
        waiting = set(ids)
        while waiting:
            records = {record.id: record for record in self.documents()}
            waiting &= records.keys()  # someone may have removed one meanwhile
            for document_id in sorted(waiting):
                if records[document_id].state not in BUSY_STATES:
                    waiting.discard(document_id)
                    on_change(records[document_id])
            if waiting:
                time.sleep(POLL_S)

    def documents(self, collection: str | None = None) -> list[DocumentRecord]:
        query = {"collection": collection} if collection else {}
        answer = self._json("GET", "/documents", params=query)
        return [document_from_json(record) for record in answer["documents"]]

    def document(self, document_id: str) -> DocumentRecord:
        answer = self._json("GET", f"/documents/{_segment(document_id)}")
        return document_from_json(answer["document"])

    def search(self, query: str, *, top_k: int, collection: str | None) -> Found:
        parameters = {"q": query, "top_k": top_k} | (
            {"collection": collection} if collection else {}
        )
        answer = self._json("GET", "/search", params=parameters)
        return Found(tuple(map(hit_from_json, answer["hits"])), tuple(answer["notices"]))

    def remove(self, document_id: str) -> None:
        self._json("DELETE", f"/documents/{_segment(document_id)}")

    def purge(self) -> dict[str, Any]:
        return self._json("POST", "/purge")

    def retry(self, document_id: str) -> None:
        self._json("POST", f"/documents/{_segment(document_id)}/retry")

    def retry_failed(self) -> list[str]:
        return list(self._json("POST", "/reading/retry")["retried"])

    def stop(self, document_id: str) -> None:
        self._json("POST", f"/documents/{_segment(document_id)}/stop")

    def pages(self, document_id: str) -> tuple[Page, ...]:
        answer = self._json("GET", f"/documents/{_segment(document_id)}")
        return tuple(Page(**page) for page in answer["pages"])

    def progress(self) -> dict[str, Any]:
        return dict(self._json("GET", "/reading")["reading"])

    def pause(self) -> None:
        self._json("POST", "/reading/pause")

    def resume(self) -> None:
        self._json("POST", "/reading/resume")

    @contextlib.contextmanager
    def original(self, document_id: str) -> Iterator[IO[bytes]]:
        path = f"/documents/{_segment(document_id)}/original"
        with tempfile.TemporaryFile() as spooled:
            with self._explain(), self._client.stream("GET", path) as answer:
                _raise_error(answer)
                for block in answer.iter_bytes():
                    spooled.write(block)
            spooled.seek(0)
            yield spooled

    def new_conversation(self) -> str:
        return str(self._json("POST", "/conversations", json={})["conversation"]["id"])

    def forget_conversation(self, conversation_id: str) -> None:
        self._json("DELETE", f"/conversations/{_segment(conversation_id)}")

    def ask(
        self,
        question: str,
        *,
        collection: str | None,
        conversation_id: str | None = None,
        document_id: str | None = None,
    ) -> Iterator[Event]:
        body = {
            "question": question,
            "collection": collection,
            "conversation_id": conversation_id,
            "document_id": document_id,
        }
        with self._explain(), self._client.stream("POST", "/ask", json=body) as answer:
            _raise_error(answer)
            yield from read_events(answer.iter_lines())

    def do(self, task: Task) -> Iterator[Event]:
        body = task_to_json(task)
        names = ["document_ids", *(("collection", "fields") if task.kind == "extract" else ())]
        body = {name: body[name] for name in names}
        with self._explain(), self._client.stream("POST", f"/{task.kind}", json=body) as answer:
            _raise_error(answer)
            yield from read_events(answer.iter_lines())

    def conversations(self) -> list[Conversation]:
        answer = self._json("GET", "/conversations")
        return [Conversation(**record) for record in answer["conversations"]]

    def export(self, conversation_id: str, form: Format, message_id: int | None = None) -> Exported:
        path = f"/conversations/{_segment(conversation_id)}/export"
        query = {"format": form} | ({} if message_id is None else {"message": str(message_id)})
        with self._explain():
            answer = self._client.get(path, params=query)
            _raise_error(answer)
        name = answer.headers["content-disposition"].rpartition("''")[2]
        return Exported(unquote(name), answer.headers["content-type"], answer.content)

    def status(self) -> dict[str, Any]:
        return {"running": True, "url": f"{self._url}/", **self._json("GET", "/status")}

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        with self._explain():
            answer = self._client.request(method, path, **request)
            _raise_error(answer)
            record: dict[str, Any] = answer.json()
            return record

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as problem:
            raise EngineUnavailable(
                f"the kit at {self._url}/ does not answer: {problem}",
                hint="it may be starting or stopping; try again in a moment, or see logs/web.log",
            ) from None
        except json.JSONDecodeError:
            raise MachineError(
                f"what answers at {self._url}/ is not the kit", hint="see: kit status"
            ) from None


def read_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events as typed ones. Raises the KitError that an error event carries."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            record = json.loads(line.removeprefix("data: "))
            if name == "error":
                raise error_from_json(record["error"])
            if name in _READERS:  # a newer kit may send more
                yield _READERS[name](record)


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "notice": lambda record: Notice(record["text"]),
    "retrieved": lambda record: Retrieved(citations_from_json(record["passages"])),
    "waiting": lambda record: Waiting(record["ahead"], record.get("wait_s")),
    "progress": lambda record: Progress(**record),
    "draft": lambda record: Draft(
        record["text"],
        citations_from_json(record["citations"]),
        tables_from_json(record["tables"]),
        sentences_from_json(record.get("sentences", ())),
    ),
    "reasoning": lambda record: ReasoningDelta(record["text"]),
    "finished": lambda record: Finished(answer_from_json(record)),
}


def document_from_json(record: dict[str, Any]) -> DocumentRecord:
    """A document as the API lists it; whose collection it is in is not told."""
    known = {name: record[name] for name in DocumentRecord.__dataclass_fields__ if name in record}
    known |= {"owner_id": None, "notes": tuple(record["notes"])}
    return DocumentRecord(**{**known, "dated": dated_from_json(record.get("dated"))})


def hit_from_json(record: dict[str, Any]) -> Hit:
    """A passage as the API finds it; what is of no use to a client is not told."""
    known = {"chunk_id": 0, "num_tokens": 0, **record}
    return Hit(**{**known, "dated": dated_from_json(record.get("dated"))})


def _segment(document_id: str) -> str:
    return quote(document_id, safe="") or "-"


def _raise_error(answer: httpx.Response) -> None:
    if answer.status_code < 400:
        return
    answer.read()
    try:
        record = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        raise KitError(
            f"the kit answered {answer.status_code}", hint="the reason is in logs/web.log"
        ) from None
    raise error_from_json(record)
