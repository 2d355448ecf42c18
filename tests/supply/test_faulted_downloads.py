"""200 downloads from a hub that misbehaves: the right file or a clear error, never a wrong file."""

from __future__ import annotations

import collections
import errno
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import DiskFull, FetchError
from kit.supply.catalog import ModelCard
from kit.supply.fetch import fetch
from kit.supply.partial import Partial
from tests.supply.conftest import QUICK, make_gguf
from tests.supply.hub_server import FAULTS, HubServer

pytestmark = pytest.mark.e2e

NUM_DOWNLOADS = 200
NAME = "model-Q4_K_M.gguf"


class Disk:
    """Takes `room` more bytes of partials, and of what is too much as many as fit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = math.inf
        append = Partial.append

        def append_if_room(partial: Partial, block: bytes) -> None:
            fits = block if len(block) <= self.room else block[: int(self.room)]
            self.room -= len(fits)
            append(partial, fits)
            if len(fits) < len(block):
                raise OSError(errno.ENOSPC, "planted")

        monkeypatch.setattr(Partial, "append", append_if_room)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_faulted_downloads_are_right_or_a_clear_error(
    tmp_path: Path, hub_card: ModelCard, disk: Disk
) -> None:
    """Whatever server and disk do, a file under its final name is the right one, most arrive, and
    after an error the next run gets it."""
    outcomes: collections.Counter[str] = collections.Counter()
    faults: collections.Counter[str] = collections.Counter()
    patience = replace(QUICK, read_timeout_s=0.03)
    with HubServer({}) as hub:
        hub.stall_s = 0.06
        for seed in range(NUM_DOWNLOADS):
            rng = hub.rng = random.Random(seed)
            data = make_gguf(rng.randrange(50_000, 300_000), seed)
            hub.files = {NAME: data}
            hub.faults = rng.choices(FAULTS, k=rng.choice([1, 2, 3, 4, 12]))
            disk.room = rng.randrange(len(data)) if seed % 8 == 0 else math.inf
            planned = tuple(hub.faults)
            folder = tmp_path / str(seed)
            try:
                fetch(folder, hub_card, environ=hub.environ, patience=patience)
            except (FetchError, DiskFull) as problem:
                is_clear = problem.hint and (problem.problems or isinstance(problem, DiskFull))
                outcomes[type(problem).__name__ if is_clear else "unclear error"] += 1
                assert not (folder / NAME).exists(), seed
                hub.faults, disk.room = [], math.inf
                fetch(folder, hub_card, environ=hub.environ, patience=QUICK)
            else:
                outcomes["right"] += 1
            faults.update(planned[: len(planned) - len(hub.faults)])
            assert (folder / NAME).read_bytes() == data, seed
            assert [path.name for path in folder.iterdir()] == [NAME]
    assert not outcomes["unclear error"]
    assert outcomes["right"] > NUM_DOWNLOADS / 2, outcomes
    assert outcomes["DiskFull"] > 10, outcomes
    assert min(faults[fault] for fault in FAULTS) > 10, faults
