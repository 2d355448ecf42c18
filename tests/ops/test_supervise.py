"""The supervisor, with tiny real processes: kills, waits, stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import MachineError, PortInUse
from kit.ops import child as child_module
from kit.ops import supervise
from kit.ops.child import Backoff, ChildSpec, open_log
from kit.ops.supervise import Supervisor, last_error, stop_on_signals
from tests.hangs import no_hang

FAKE = Path(__file__).with_name("fake_child.py")


def spec(tmp_path: Path, name: str, what: str) -> ChildSpec:
    command = (sys.executable, str(FAKE), what, str(tmp_path / f"{name}.pids"))
    return ChildSpec(name, command, tmp_path / "logs" / f"{name}.log", dict(os.environ))


def pids(tmp_path: Path, name: str) -> list[int]:
    path = tmp_path / f"{name}.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(is_true: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


class Watched:
    """A supervisor whose `run` is steered from a second thread; children belong to the first."""

    def __init__(self, *specs: ChildSpec, essential: str = "web") -> None:
        self.said: list[str] = []
        self.ready: list[str] = []
        names = [one.name for one in specs]
        self.supervisor = Supervisor(
            specs,
            is_ready={name: (lambda name=name: bool(specs)) for name in names},
            on_ready=self.ready.append,
            say=self.said.append,
            essential=essential,
        )

    def run(self, steer: Callable[[], None]) -> None:
        """Run until `steer`, in its own thread, has finished; its failure is the test's."""
        failures: list[BaseException] = []

        def steered() -> None:
            try:
                steer()
            except BaseException as problem:  # noqa: BLE001 - handed to the test below
                failures.append(problem)
            finally:
                self.supervisor.request_stop()

        thread = threading.Thread(target=steered)
        thread.start()
        try:
            self.supervisor.run()
        finally:
            thread.join()
        if failures:
            raise failures[0]


def test_a_killed_child_comes_back(tmp_path: Path) -> None:
    """After SIGKILL a child runs again under a new number, and the line says what happened."""
    watched = Watched(spec(tmp_path, "web", "runs"), spec(tmp_path, "engine", "runs"))

    def steer() -> None:
        wait_for(lambda: len(pids(tmp_path, "engine")) == 1 and len(pids(tmp_path, "web")) == 1)
        wait_for(lambda: len(watched.ready) == 2)
        os.kill(pids(tmp_path, "engine")[0], signal.SIGKILL)
        wait_for(lambda: len(pids(tmp_path, "engine")) == 2 and len(watched.said) == 2)

    watched.run(steer)
    assert len(pids(tmp_path, "web")) == 1  # its neighbour was left alone
    assert watched.said == [
        "engine was killed by SIGKILL; starting it again in 0.5 s",
        "engine is ready again",
    ]
    assert sorted(watched.ready) == ["engine", "web"]
    assert not any(is_alive(pid) for name in ("web", "engine") for pid in pids(tmp_path, name))


def test_the_last_ones_wait_for_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that may come last starts when the page is ready, or after a while without it."""
    monkeypatch.setattr(supervise, "PATIENCE_S", 3600.0)
    watched = Watched(spec(tmp_path, "web", "runs"), spec(tmp_path, "worker", "runs"))
    watched.supervisor._last = {"worker"}
    is_up = threading.Event()
    watched.supervisor._is_ready = {"web": is_up.is_set, "worker": lambda: True}
    started: list[float] = []

    def steer() -> None:
        wait_for(lambda: pids(tmp_path, "web"))
        time.sleep(0.3)
        assert not pids(tmp_path, "worker")
        is_up.set()
        wait_for(lambda: pids(tmp_path, "worker"))
        started.append(time.monotonic())

    watched.run(steer)
    (tmp_path / "worker.pids").unlink()
    monkeypatch.setattr(supervise, "PATIENCE_S", 0.1)
    again = Watched(spec(tmp_path, "web", "runs"), spec(tmp_path, "worker", "runs"))
    again.supervisor._last = {"worker"}
    again.supervisor._is_ready = {"web": lambda: False, "worker": lambda: True}
    again.run(lambda: wait_for(lambda: pids(tmp_path, "worker")))
    assert started


def test_a_child_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop ends even a child that ignores SIGTERM, and what it started."""
    monkeypatch.setattr(supervise, "STOP_S", 0.5)
    watched = Watched(spec(tmp_path, "web", "parent"), spec(tmp_path, "engine", "stubborn"))
    watched.run(
        lambda: wait_for(lambda: len(pids(tmp_path, "web")) == 2 and pids(tmp_path, "engine"))
    )
    everyone = pids(tmp_path, "web") + pids(tmp_path, "engine")
    wait_for(lambda: not any(is_alive(pid) for pid in everyone))


def test_priorities_count_between_children(tmp_path: Path) -> None:
    """Children have groups of their own and the supervisor's session: the kernel shares cores out
    between sessions first, so a worker in another session would take half of the engine's time."""
    watched = Watched(spec(tmp_path, "web", "runs"), spec(tmp_path, "worker", "runs"))
    seen: list[tuple[int, int]] = []

    def steer() -> None:
        wait_for(lambda: pids(tmp_path, "web") and pids(tmp_path, "worker"))
        children = pids(tmp_path, "web") + pids(tmp_path, "worker")
        seen.extend((os.getsid(pid), os.getpgid(pid)) for pid in children)
        assert [group for _, group in seen] == children

    watched.run(steer)
    assert {session for session, _ in seen} == {os.getsid(0)}


def test_a_second_request_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second Ctrl-C kills at once instead of waiting for clean ends."""
    monkeypatch.setattr(supervise, "STOP_S", 3600.0)
    watched = Watched(spec(tmp_path, "web", "stubborn"))

    def steer() -> None:
        wait_for(lambda: pids(tmp_path, "web"))
        watched.supervisor.request_stop()

    with no_hang():
        watched.run(steer)  # `run` asks a second time when steer ends


def test_a_crash_loop_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that keeps failing is said to, once, with the path of its log."""
    monkeypatch.setattr(child_module, "FIRST_WAIT_S", 0.001)
    watched = Watched(spec(tmp_path, "web", "runs"), spec(tmp_path, "engine", "dies"))
    watched.run(lambda: wait_for(lambda: len(pids(tmp_path, "engine")) >= 8))
    pointing = [line for line in watched.said if str(tmp_path / "logs" / "engine.log") in line]
    assert len(pointing) == 1
    assert "5 times in a row" in pointing[0]


def test_an_error_that_cannot_be_cured_ends_the_start(tmp_path: Path) -> None:
    """If the page says why it cannot start, the supervisor ends with that error and its hint."""
    refuses, neighbour = spec(tmp_path, "web", "refuses"), spec(tmp_path, "engine", "runs")
    watched = Watched(refuses, neighbour)
    watched.supervisor._is_ready = {"web": lambda: False, "engine": lambda: True}
    with pytest.raises(PortInUse) as caught:
        watched.supervisor.run()
    assert caught.value.message == "the page cannot be served"
    assert caught.value.hint == "do that"
    assert not any(is_alive(pid) for pid in pids(tmp_path, "engine"))


def test_a_page_that_never_gets_ready_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the page dies without a word again and again, the start ends and names the log."""
    monkeypatch.setattr(child_module, "FIRST_WAIT_S", 0.001)
    watched = Watched(spec(tmp_path, "web", "dies"))
    watched.supervisor._is_ready = {"web": lambda: False}
    with pytest.raises(MachineError) as caught:
        watched.supervisor.run()
    assert str(tmp_path / "logs" / "web.log") in str(caught.value.hint)


def test_waits_double_to_thirty_seconds_and_start_over_after_a_healthy_minute() -> None:
    """0.5, 1, 2, 4, 8, 16, 30, 30 s; after a run of a minute 0.5 s again."""
    backoff = Backoff()
    assert [backoff.next_wait_s(0.1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.next_wait_s(61) == 0.5
    assert backoff.next_wait_s(59) == 1


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    """SIGKILL to the supervisor leaves no child behind."""
    code = (
        "import os, sys; from pathlib import Path; from kit.ops.child import ChildSpec\n"
        "from kit.ops.supervise import Supervisor\n"
        f"spec = ChildSpec('web', (sys.executable, {str(FAKE)!r}, 'stubborn',"
        f" {str(tmp_path / 'web.pids')!r}), Path({str(tmp_path / 'web.log')!r}),"
        " dict(os.environ))\n"
        "Supervisor([spec], is_ready={}, on_ready=print, say=print, essential='web').run()"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_for(lambda: pids(tmp_path, "web"))
    finally:
        supervisor.kill()
        supervisor.wait()
    wait_for(lambda: not is_alive(pids(tmp_path, "web")[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_it(tmp_path: Path, number: signal.Signals) -> None:
    """Each of SIGINT, SIGTERM and SIGHUP stops everything, and the handlers are put back."""
    watched = Watched(spec(tmp_path, "web", "runs"))
    before = signal.getsignal(number)

    def send() -> None:
        wait_for(lambda: pids(tmp_path, "web"))
        os.kill(os.getpid(), number)

    with stop_on_signals(watched.supervisor):
        thread = threading.Thread(target=send)
        thread.start()
        watched.supervisor.run()
        thread.join()
    assert signal.getsignal(number) == before
    assert not is_alive(pids(tmp_path, "web")[0])


def test_memory_is_taken_from_the_engine_first(tmp_path: Path) -> None:
    """A child with a higher score is the kernel's first choice when memory runs out."""
    page = spec(tmp_path, "web", "runs")
    engine = replace(spec(tmp_path, "engine", "runs"), oom_score_adj=500)
    scores: dict[str, int] = {}

    def steer() -> None:
        wait_for(lambda: pids(tmp_path, "web") and pids(tmp_path, "engine"))
        for name in ("web", "engine"):
            path = Path(f"/proc/{pids(tmp_path, name)[0]}/oom_score_adj")
            scores[name] = int(path.read_text())

    Watched(page, engine).run(steer)
    assert scores["engine"] == 500 > scores["web"]


def test_large_logs_move_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log above the limit becomes .1, then .2; what is older is dropped."""
    monkeypatch.setattr(child_module, "MAX_LOG_BYTES", 10)
    log = tmp_path / "engine.log"
    for text in ("first run here", "second run here", "third run here", "now"):
        with open_log(log) as out:
            out.write(text.encode())
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {
        "engine.log": "now",
        "engine.log.1": "third run here",
        "engine.log.2": "second run here",
    }


def test_the_last_error_is_found_in_a_log(tmp_path: Path) -> None:
    """The last error block is taken whole: message, problems and hint, without what follows."""
    log = tmp_path / "web.log"
    log.write_text("error: old\nline\nerror: new\n  a.gguf   cut\nhint: fetch it\nGET / 200\n")
    assert last_error(log) == ["error: new", "  a.gguf   cut", "hint: fetch it"]
    assert last_error(tmp_path / "none.log") == []
