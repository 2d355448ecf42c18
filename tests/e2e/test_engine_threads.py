"""How threads wait, measured with the real model: once, remembered, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.config import load_config
from kit.engine.cpu.threads import WAITINGS, memory_path, remembered
from kit.errors import EngineError
from kit.ops.starter import prepare_threads
from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.e2e


def test_it_is_measured_once_and_used(
    chat_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start measures every way, the second none; the engine runs as was chosen."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    config, said = load_config({}, home=home), []
    prepare_threads(config, chat_model, say=said.append)
    choice = remembered(home)
    assert choice is not None
    assert {figures.waiting for figures in choice.figures} == set(WAITINGS)
    assert all(figures.score > 0 for figures in choice.figures)
    num_said = len(said)
    prepare_threads(config, chat_model, say=said.append)
    assert len(said) == num_said == 2
    running = EngineProcess(chat_model, home, "--ctx", "512", "--parallel", "1")
    try:
        meta = running.wait_until_ready().http.get("/v1/models").json()["data"][0]["meta"]
        assert (meta["waiting"], meta["threads"]) == (choice.waiting, choice.n_threads)
    finally:
        assert running.stop() == 0


def test_a_failing_measurement_is_told_and_tried_again(
    chat_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine then runs with the defaults; what an administrator has set is not measured."""
    config, said = load_config({}, home=home), []
    prepare_threads(config, chat_model, say=said.append)  # the environment of these tests sets it
    assert said == []
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)

    def fails(*_: object, **__: object) -> None:
        raise EngineError("the child died")

    monkeypatch.setattr("kit.engine.quantize.measure", fails)
    prepare_threads(config, chat_model, say=said.append)
    assert "by default: the child died" in said[-1]
    assert not memory_path(home).exists()
