"""How threads wait, measured with the real model: once, remembered, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engine.cpu import choose_threads as choosing
from kit.engine.cpu.choose_threads import memory_path, remembered
from kit.engine.cpu.tiny_model import write_stand_in
from kit.engine.cpu.variants import choose_variant
from kit.engine.native import Decoder, Model, load_library
from kit.engine.scheduler import Row
from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _free_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other end-to-end tests set OpenMP's variables, so that they do not measure."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


def meta_of(model: Path, home: Path) -> dict[str, object]:
    """What a started engine says of itself; it has answered, and ended well."""
    running = EngineProcess(model, home, "--ctx", "512", "--parallel", "1")
    try:
        found = running.wait_until_ready().http.get("/v1/models").json()["data"][0]["meta"]
        return dict(found)
    finally:
        assert running.stop() == 0


def test_it_is_measured_once_and_used(chat_model: Path, home: Path) -> None:
    """The first start measures, the second does not; both run as was chosen."""
    meta = meta_of(chat_model, home)
    choice = remembered(home, chat_model)
    assert choice is not None
    expected = (choice.waiting, choice.n_threads, choice.n_threads_batch)
    assert (meta["waiting"], meta["threads"], meta["threads_batch"]) == expected
    written = memory_path(home, chat_model).stat().st_mtime_ns
    assert meta_of(chat_model, home) == meta
    assert memory_path(home, chat_model).stat().st_mtime_ns == written


def test_a_failing_measurement_leaves_a_working_engine(
    chat_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No child gets far enough to tell figures: the defaults run, and nothing is remembered."""
    monkeypatch.setattr(choosing, "MAX_WAY_S", 0.05)
    variant = choose_variant(home).variant.path
    choice = choosing.choose_threads(home, chat_model, variant)
    assert (choice.waiting, choice.figures) == ("brief", ())
    assert not memory_path(home, chat_model).exists()
    decoder = Decoder(
        Model(load_library(variant, waiting=choice.waiting), chat_model),
        n_ctx=64,
        num_slots=1,
        n_threads=choice.n_threads,
    )
    decoder.decode([Row(1, 0, 0, is_output=True)])
    assert len(decoder.logits(0)) == decoder.n_vocab


def test_the_stand_in_is_a_model_that_runs(tmp_path: Path, home: Path) -> None:
    """A large model's threads are timed with it, in a child like any other."""
    write_stand_in(tmp_path / "stand-in.gguf")
    said = choosing.run_trial(
        choose_variant(home).variant.path, "brief", tmp_path / "stand-in.gguf"
    )
    assert list(choosing.read_figures("brief", said.splitlines()))
