"""200 downloads from a hub that misbehaves: the right file or a clear error, never a wrong file."""

from __future__ import annotations

import collections
import random
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import FetchError
from kit.supply.catalog import ModelCard
from kit.supply.fetch import fetch
from tests.supply.conftest import QUICK, make_gguf
from tests.supply.hub_server import FAULTS, HubServer

pytestmark = pytest.mark.e2e

NUM_DOWNLOADS = 200


def test_faulted_downloads_are_right_or_a_clear_error(tmp_path: Path, hub_card: ModelCard) -> None:
    """Whatever the server does, a file under its final name is the right one, and most arrive."""
    outcomes: collections.Counter[str] = collections.Counter()
    patience = replace(QUICK, read_timeout_s=0.03)
    with HubServer({}) as hub:
        hub.stall_s = 0.06
        for seed in range(NUM_DOWNLOADS):
            rng = random.Random(seed)
            data = make_gguf(rng.randrange(50_000, 300_000), seed)
            hub.files = {"model-Q4_K_M.gguf": data}
            hub.faults = rng.choices(FAULTS, k=rng.choice([1, 2, 3, 4, 12]))
            folder = tmp_path / str(seed)
            try:
                fetch(folder, hub_card, environ=hub.environ, patience=patience)
            except FetchError as problem:
                outcomes["error" if problem.hint and problem.problems else "unclear error"] += 1
                assert not (folder / "model-Q4_K_M.gguf").exists(), seed
            else:
                outcomes["right"] += 1
                assert (folder / "model-Q4_K_M.gguf").read_bytes() == data, seed
                assert [path.name for path in folder.iterdir()] == ["model-Q4_K_M.gguf"]
    assert not outcomes["unclear error"]
    assert outcomes["right"] > NUM_DOWNLOADS / 2, outcomes
