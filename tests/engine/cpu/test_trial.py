"""The child that times threads: real steps of a tiny model, and company that goes when it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.engine.cpu.choose_threads import read_figures, run_trial
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.cpu.trial import COMPANY_NICE, company
from kit.engine.cpu.variants import choose_variant
from kit.library.index.embed_thread import YIELDING_NICE


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "gone"


def wait_for_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while not all(state(pid) in ("Z", "gone") for pid in pids):
        assert time.monotonic() < deadline, "the company stayed"
        time.sleep(0.02)


def test_company_has_the_priority_of_the_embedding() -> None:
    """What the engine is measured beside is what it will run beside."""
    assert COMPANY_NICE == YIELDING_NICE


def test_company_is_there_and_goes() -> None:
    """So many processes run while the block does, and none afterwards."""
    before = children_of(os.getpid())
    with company(2):
        pids = sorted(children_of(os.getpid()) - before)
        assert len(pids) == 2
    wait_for_end(pids)


def test_company_does_not_outlive_a_killed_trial(tmp_path: Path) -> None:
    """Whoever burns a core looks whether it still has a parent."""
    code = "import time\nfrom kit.engine.cpu.trial import company\nwith company(1): time.sleep(60)"
    trial = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not (pids := sorted(children_of(trial.pid))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    trial.send_signal(signal.SIGKILL)
    trial.wait()
    wait_for_end(pids)


def children_of(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(word) for word in listed.split()}


@pytest.mark.e2e
def test_the_real_child_tells_figures(tmp_path: Path, home: Path) -> None:
    """A tiny model is timed with the build that is installed."""
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path)
    said = run_trial(choose_variant(home).variant.path, "brief", path)
    figures = list(read_figures("brief", said.splitlines()))
    assert figures
    assert all(found.is_sound for found in figures)
