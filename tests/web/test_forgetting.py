"""The engine is told of removed documents, whoever removed them and whatever was down then."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import EngineUnavailable
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.testing import FakeEmbedder
from kit.web import forgetting
from kit.web.forgetting import keep_forgetting
from tests.web.waiting import until


class Engine:
    """Has names pinned; away for the first calls."""

    def __init__(self, names: list[str], num_away: int = 0) -> None:
        self.names, self.num_away, self.num_asked = names, num_away, 0

    async def pinned(self) -> list[str]:
        self.num_asked += 1
        if self.num_asked <= self.num_away:
            raise EngineUnavailable("the engine is starting")
        return list(self.names)

    async def forget(self, namespace: str) -> None:
        self.names.remove(namespace)


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    return Library(home, database)


def add(library: Library, name: str) -> tuple[str, str]:
    """(id, prefix) of a new document that was read."""
    record = library.add(io.BytesIO(name.encode()), name, added_by="local")
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    return record.id, library.whole(record.id, "local").prefix


def test_what_is_removed_is_forgotten(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was removed before the engine was up, and what is removed later; nothing else."""
    monkeypatch.setattr(forgetting, "RETRY_S", 0.01)
    before, later, kept = (add(library, f"{n}.txt") for n in range(3))
    library.remove(before[0], "local")
    engine = Engine([before[1], later[1], kept[1]], num_away=3)

    async def go() -> None:
        task = asyncio.ensure_future(keep_forgetting(engine, database, look_every_s=0.01))
        await until(lambda: engine.names == [later[1], kept[1]])
        num_asked = engine.num_asked
        await asyncio.sleep(0.1)
        assert engine.num_asked == num_asked  # nothing changed, so nothing is asked
        library.remove(later[0], "local")
        await until(lambda: engine.names == [kept[1]])
        task.cancel()

    asyncio.run(go())


def test_a_late_pin_is_found_without_a_change(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was under way pins a document after its removal: the next look finds it."""
    monkeypatch.setattr(forgetting, "ASK_EVERY_S", 0.02)
    document_id, name = add(library, "a.txt")
    library.remove(document_id, "local")
    engine = Engine([])

    async def go() -> None:
        task = asyncio.ensure_future(keep_forgetting(engine, database, look_every_s=0.01))
        await until(lambda: engine.num_asked > 1)
        engine.names.append(name)
        await until(lambda: engine.names == [])
        task.cancel()

    asyncio.run(go())
