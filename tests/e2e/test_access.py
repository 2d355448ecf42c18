"""The access machine for ten thousand steps, and over the real dense index."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from kit.database import Database
from kit.library.index.vectors import VectorIndex
from kit.testing import FakeEmbedder
from tests.access.machine import AccessMachine, make_machine

pytestmark = pytest.mark.e2e
NUM_STEPS = 10_000


def run(machine: type[AccessMachine], number: int, *, num_examples: int) -> None:
    """Other steps for each number. What fails is not made smaller: that takes minutes."""
    kind = settings(
        max_examples=num_examples,
        stateful_step_count=100,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    seeded = seed(number)(machine)
    run_state_machine_as_test(seeded, settings=kind)


def test_ten_thousand_steps() -> None:
    """Nobody is shown a word of what they may not read, and everybody all that they may."""
    machine, number = make_machine(), 0
    while machine.num_steps < NUM_STEPS:
        run(machine, number, num_examples=20)
        number += 1
    assert machine.num_seen > NUM_STEPS / 10


class Following(VectorIndex):
    """The index as the web process has it: it follows what changed a moment later."""

    def __init__(self, home: Path, database: Database) -> None:
        super().__init__(home, database, model=FakeEmbedder.model, dim=FakeEmbedder.dim)
        self.follow()
        self._num = 0

    def search(self, *arguments: object) -> list[tuple[int, float]]:  # type: ignore[override]
        self._num += 1
        if self._num % 3 == 0:  # else it knows the collections as they were
            self.follow()
        return super().search(*arguments)  # type: ignore[arg-type]


def test_over_the_dense_index() -> None:
    """The same where Chroma holds the vectors, also while it lags behind."""
    machine = make_machine(Following)
    run(machine, 0, num_examples=4)
    assert machine.num_seen > 0
