"""Fixtures of the answer room: the labelled office, a searcher over it, a way to run a stream."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit.answer.events import Event
from kit.answer.evidence.words import content_stems
from kit.answer.retrieve import DocumentSearch, SearchResult
from kit.database import Database
from kit.errors import NotFound
from kit.library.documents import Hit
from kit.library.gate import shared_to_write
from kit.testing import FakeEmbedder


def load_office() -> ModuleType:
    spec = importlib.util.spec_from_file_location("office", Path(__file__).with_name("office.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OFFICE = load_office()


class OfficeSearcher:
    """Finds the passages of the office that share most words with the query."""

    def __init__(self, hits: Sequence[Hit] | None = None, notices: tuple[str, ...] = ()) -> None:
        self.embedder = FakeEmbedder()
        self.queries: list[str] = []
        self._hits = list(OFFICE.passage_hits() if hits is None else hits)
        self._notices = notices
        self.neighbours: tuple[Hit, ...] = ()

    async def search(
        self, query: str, *, reader: str, top_k: int, collection: str | None = None
    ) -> SearchResult:
        self.queries.append(query)
        asked = set(content_stems(query))
        ranked = sorted(
            self._hits,
            key=lambda hit: -len(asked & set(content_stems(f"{hit.place} {hit.text}"))),
        )
        hits = (replace(hit, rank=rank) for rank, hit in enumerate(ranked[:top_k], start=1))
        return SearchResult(tuple(hits), self._notices)

    async def beside(self, hits: Sequence[Hit], *, reader: str) -> tuple[Hit, ...]:
        return self.neighbours

    async def search_document(self, query: str, *, reader: str, document_id: str) -> DocumentSearch:
        raise NotFound(f"there is no document {document_id}")


@pytest.fixture
def office() -> ModuleType:
    """The labelled set (office.py)."""
    return OFFICE


@pytest.fixture
def searcher() -> OfficeSearcher:
    return OfficeSearcher()


@pytest.fixture
def make_searcher() -> Callable[..., OfficeSearcher]:
    return OfficeSearcher


@pytest.fixture
def plant(database: Database) -> Callable[..., None]:
    """Documents with these ids lie in a collection that everyone reads, so that conversations may
    tell of them."""

    def run(*document_ids: str) -> None:
        with database.write() as connection:
            number = shared_to_write(connection, "local", "library")
            for document_id in document_ids:
                connection.execute(
                    "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes,"
                    " state, created_at, updated_at) VALUES (?1, ?1, ?2, 'local', ?1, 1, 'indexed',"
                    " '', '')",
                    (document_id, number),
                )

    return run


@pytest.fixture
def collect() -> Callable[..., list[Event]]:
    """Run a stream of events to its end, or close it after the first event `until` accepts."""

    def run(
        stream: AsyncIterator[Event], until: Callable[[Event], bool] = lambda event: False
    ) -> list[Event]:
        async def go() -> list[Event]:
            events: list[Event] = []
            async with aclosing(stream) as opened:  # type: ignore[type-var]
                async for event in opened:
                    events.append(event)
                    if until(event):
                        break
            return events

        return asyncio.run(go())

    return run


@pytest.fixture
def make_hit() -> Callable[..., Hit]:
    """A hit with this text; anything else as given."""

    def make(text: str, **fields: Any) -> Hit:
        known: dict[str, Any] = {
            "rank": 1, "score": 1.0, "chunk_id": 1, "document_id": "d1", "document": "rules.md",
            "page": None, "place": "", "start": 0, "num_tokens": len(text) // 4,
        }  # fmt: skip
        known |= fields
        return Hit(text=text, end=known["start"] + len(text), **known)

    return make
