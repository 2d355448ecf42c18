"""A short run of the access machine; the long one is tests/e2e/test_access.py."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.access.machine import make_machine


def test_nobody_sees_what_they_may_not() -> None:
    """Whatever is shared, taken back, asked and looked at: the kit shows what the oracle says."""
    machine = make_machine()
    short = settings(
        max_examples=3,
        stateful_step_count=20,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=short)
    assert machine.num_seen > 0
