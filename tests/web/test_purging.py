"""The page's process purges by itself, goes on after a failure, and finishes where one waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kit.database import Database
from kit.errors import DiskFull
from kit.ops.purge import Purged
from kit.web import purging
from kit.web.purging import Purging
from tests.web.waiting import until


class Runs:
    """Stands in for `purge`: each call takes the next result, or raises it."""

    def __init__(self, *results: Purged | Exception) -> None:
        self.results = list(results)
        self.asked: list[bool] = []

    def __call__(self, *_: object, with_index: bool) -> Purged:
        self.asked.append(with_index)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


PENDING = Purged(num_documents=1, pending=("an answer is being written",))


def test_it_purges_until_nothing_is_left(
    home: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look is without a removal, for what a kill left; what is pending, or failed for
    want of space, is tried again; then it rests until something is removed."""
    monkeypatch.setattr(purging, "RETRY_S", 0.01)
    runs = Runs(DiskFull("full"), PENDING, Purged())
    monkeypatch.setattr(purging, "purge", runs)
    removed = []
    monkeypatch.setattr(purging, "has_removals", lambda _: bool(removed))

    async def go() -> None:
        task = asyncio.ensure_future(Purging(home, database, lambda: None).keep(look_every_s=0.01))
        await until(lambda: len(runs.asked) == 3)
        await asyncio.sleep(0.1)
        assert len(runs.asked) == 3
        removed.append(1)
        await until(lambda: len(runs.asked) > 3)
        task.cancel()

    asyncio.run(go())
    assert not any(runs.asked)


def test_who_waits_is_told_what_all_of_it_did(
    home: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is asked for once; the sum is told when nothing is pending, or the time is over."""
    monkeypatch.setattr(purging, "LOOK_EVERY_S", 0.01)
    woken: list[int] = []
    waiting = Purging(home, database, lambda: woken.append(1))
    runs = Runs(PENDING, PENDING, Purged(num_documents=2))
    monkeypatch.setattr(purging, "purge", runs)
    done = asyncio.run(waiting.finish())
    assert done == Purged(num_documents=4)
    assert runs.asked == [True, False, False]
    assert len(woken) == 3
    monkeypatch.setattr(purging, "purge", Runs(PENDING))
    assert not asyncio.run(waiting.finish(timeout_s=0.03)).is_complete
