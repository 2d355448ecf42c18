"""Threads are chosen once and remembered; what dies, hangs or talks nonsense is passed over."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.cpu import choose_threads as choosing
from kit.engine.cpu.choose_threads import (
    busy_s,
    choose_threads,
    describe,
    measure,
    memory_path,
    read_figures,
    remember,
    remembered,
    run_trial,
    wait_until_quiet,
)
from kit.engine.cpu.threads import WAITINGS, Figures, ThreadChoice, best
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.gguf import read_gguf

SAID = {
    "brief": "[2, 1000, 100, 600, 50]\n[1, 500, 60, 450, 55]\n",
    "spin": "[2, 1100, 110, 90, 5]\n",
    "sleep": "[2, 900, 60, 500, 50]\n",
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(choosing, "MAX_WAIT_S", 0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


class Children:
    """Stands for the trials' children: what each says, and how often they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **said: str) -> None:
        self.said, self.asked = said, list[str]()
        monkeypatch.setattr(choosing, "run_trial", self.run)

    def run(self, variant: Path | None, waiting: str, model: Path) -> str:
        self.asked.append(waiting)
        return self.said.get(waiting, "")


def test_the_choice_is_made_once(home: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start measures every way, the second none; another CPU or model does again."""
    children = Children(monkeypatch, **SAID)
    first = choose_threads(home, model, None)
    assert (first.waiting, first.n_threads, first.n_threads_batch) == ("brief", 2, 2)
    assert children.asked == [*WAITINGS]
    assert choose_threads(home, model, None) == first
    assert len(children.asked) == 3
    with monkeypatch.context() as patch:
        patch.setattr(choosing, "cpu_fingerprint", lambda: "another")
        choose_threads(home, model, None)
    assert len(children.asked) == 6
    with (model.parent / "larger.gguf").open("wb") as other:
        other.write(model.read_bytes() + bytes(32))
    choose_threads(home, Path(other.name), None)
    assert len(children.asked) == 9


def test_a_damaged_memory_is_none(home: Path, model: Path) -> None:
    """Cut short, of another version, or naming a way that there is not."""
    choice = best(read_figures("brief", SAID["brief"].splitlines()))
    remember(home, model, choice)
    assert remembered(home, model) == choice
    path = memory_path(home, model)
    whole = path.read_text()
    for damaged in ("{", whole[:-9], whole.replace("brief", "never"), whole.replace("cores", "c")):
        path.write_text(damaged)
        assert remembered(home, model) is None


def test_what_was_set_is_not_measured(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number of threads, OpenMP's variables, or no home: no child is started."""
    children = Children(monkeypatch, **SAID)
    assert choose_threads(home, model, None, n_threads=3).n_threads == 3
    assert choose_threads(None, model, None).figures == ()
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert choose_threads(home, model, None).waiting == "as set"
    assert children.asked == []


def test_nothing_measured_is_tried_again(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults run meanwhile, and nothing is remembered."""
    children = Children(monkeypatch)
    assert choose_threads(home, model, None).waiting == "brief"
    assert not memory_path(home, model).exists()
    children.said = SAID
    assert choose_threads(home, model, None).figures


def test_a_way_that_dies_is_passed_over(model: Path) -> None:
    """Those that live are chosen from."""
    found = list(measure(model, lambda way, _: SAID["sleep"] if way == "sleep" else ""))
    assert [figures.waiting for figures in found] == ["sleep"]


def test_a_large_model_has_a_stand_in(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a model, it is smaller, it is gone afterwards, and one choice serves all large ones."""
    monkeypatch.setattr(choosing, "MAX_MEASURED_BYTES", 1)
    seen: list[Path] = []

    def look(_: str, path: Path) -> str:
        seen.append(path)
        assert read_gguf(path).number("embedding_length") == 1024
        return ""

    assert list(measure(model, look)) == []
    assert len(set(seen)) == 1
    assert not seen[0].exists()
    assert memory_path(model.parent, model).name == "large.json"


@given(st.lists(st.text(max_size=40) | st.lists(st.floats() | st.integers()).map(str)))
def test_nonsense_is_no_figure(lines: list[str]) -> None:
    """Whatever a child prints, only five sound numbers are figures."""
    for figures in read_figures("brief", lines):
        assert figures.n_threads > 0
        assert all(math.isfinite(speed) and speed > 0 for speed in figures.speeds)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", ""),
        ("import sys; sys.exit('no')", ""),
        ("print('[1, 2, 3, 4, 5]', flush=True)\nwhile True: pass", "[1, 2, 3, 4, 5]\n"),
    ],
)
def test_a_child_may_crash_fail_or_hang(
    code: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said before is used, and it does not outlive its time."""
    started: list[subprocess.Popen[bytes]] = []

    class Planted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__([sys.executable, "-c", code], **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Planted)
    monkeypatch.setattr(choosing, "MAX_WAY_S", 0.5)
    assert run_trial(None, "brief", Path("m.gguf")) == expected
    assert started[0].poll() is not None


def test_a_quiet_moment_is_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work at low priority does not count; a machine that is never quiet is measured anyway."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 99999 50 800 0\ncpu0 1 2 3\n")
    monkeypatch.setattr(choosing.os, "sysconf", lambda _: 100)
    assert busy_s(stat.read_text()) == 1.5
    monkeypatch.setattr(choosing, "MAX_WAIT_S", 0.3)
    monkeypatch.setattr(choosing, "LOOK_S", 0.01)
    wait_until_quiet(stat)
    ticks = itertools.count()
    monkeypatch.setattr(choosing, "busy_s", lambda _: next(ticks))
    wait_until_quiet(stat)


def test_what_runs_is_told_in_words() -> None:
    """Two numbers are named where they differ."""
    assert describe(ThreadChoice("sleep", 2, 2)) == "2 threads, waiting: sleep"
    assert describe(ThreadChoice("spin", 4, 8)) == "4 threads (8 for prompts), waiting: spin"
    assert Figures("spin", 1, 1, 1, 1, 1).is_sound
