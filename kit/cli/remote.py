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

import h11
import httpx

from kit.answer.events import (
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    ReasoningDelta,
    Retrieved,
    Waiting,
    answer_from_json,
)
from kit.cli.session import BUSY_STATES, Found, error_from_json
from kit.errors import DocumentRefused, EngineUnavailable, KitError, MachineError
from kit.library.documents import DocumentRecord, Hit
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
        hits = tuple(Hit(**{"chunk_id": 0, "num_tokens": 0, **hit}) for hit in answer["hits"])
        return Found(hits, tuple(answer["notices"]))

    def remove(self, document_id: str) -> None:
        self._json("DELETE", f"/documents/{_segment(document_id)}")

    def retry(self, document_id: str) -> None:
        self._json("POST", f"/documents/{_segment(document_id)}/retry")

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


def _citations(records: Sequence[dict[str, Any]]) -> tuple[Citation, ...]:
    return tuple(Citation(**record) for record in records)


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "notice": lambda record: Notice(record["text"]),
    "retrieved": lambda record: Retrieved(_citations(record["passages"])),
    "waiting": lambda record: Waiting(record["ahead"], record.get("wait_s")),
    "draft": lambda record: Draft(record["text"], _citations(record["citations"])),
    "reasoning": lambda record: ReasoningDelta(record["text"]),
    "finished": lambda record: Finished(answer_from_json(record)),
}


def document_from_json(record: dict[str, Any]) -> DocumentRecord:
    """A document as the API lists it; whose private collection it is in is not told, only that."""
    known = {name: record[name] for name in DocumentRecord.__dataclass_fields__ if name in record}
    owner = "private" if record.get("is_private") else None
    return DocumentRecord(**{**known, "owner_id": owner, "notes": tuple(record["notes"])})


def _segment(document_id: str) -> str:
    from urllib.parse import quote

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
