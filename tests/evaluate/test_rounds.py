"""Two servers take turns, one alive at a time, and a run that went wrong says so."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import EngineError
from kit.evaluate.figures import spread
from kit.evaluate.loads import QUICK
from kit.evaluate.plan import Plan
from kit.evaluate.rounds import Measured, Run, Start, measure, turn_order
from kit.evaluate.servers import ServerSpec, Work, running
from tests.evaluate import fake_server

FAKE = (sys.executable, str(Path(fake_server.__file__)))
KIT, PEER = ServerSpec("kit", FAKE, takes_namespace=True), ServerSpec("peer", FAKE)


class FakeMeasured:
    """A server in a thread of the test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def work(self) -> Work:
        return Work(steps=1)

    def death(self) -> str:
        return ""

    def describe(self) -> dict[str, str]:
        return {"cpu_variant": "fake"}


def in_threads(events: list[str], script: Callable[[], fake_server.Script]) -> Start:
    """A Start whose servers run in threads; `events` gets '+kit', '-kit' …"""

    @contextlib.contextmanager
    def start(spec: ServerSpec, threads: int) -> Iterator[Measured]:
        events.append(f"+{spec.name}")
        with fake_server.serving(script()) as url:
            yield FakeMeasured(url)
        events.append(f"-{spec.name}")

    return start


@given(st.integers(min_value=1, max_value=12))
def test_each_goes_first_equally_often(num_pairs: int) -> None:
    """Over an even number of rounds each server is first, and second, equally often."""
    orders = [turn_order(["kit", "peer"], n) for n in range(1, 2 * num_pairs + 1)]
    assert sum(order[0] == "kit" for order in orders) == num_pairs
    assert orders[:2] == [["kit", "peer"], ["peer", "kit"]]


def test_order_is_abba_with_fresh_servers_one_at_a_time(tmp_path: Path) -> None:
    """kit, peer, peer, kit for every load; a server is gone before the next one starts."""
    events: list[str] = []
    plan = Plan(("a", "c"), (2,), rounds=2, size=QUICK)
    start = in_threads(events, fake_server.Script)
    runs = list(measure(plan, (KIT, PEER), start=start, folder=tmp_path))
    assert [run.server for run in runs] == ["kit", "peer", "peer", "kit"] * 2
    assert [(run.load, run.round) for run in runs[:4]] == [("a", 1), ("a", 1), ("a", 2), ("a", 2)]
    started = [event[1:] for event in events if event[0] == "+"]
    assert started == [run.server for run in runs]
    assert events == [sign + name for name in started for sign in "+-"]
    assert all(run.failure == "" and run.wall_s > 0 for run in runs)


def test_both_get_the_same_questions(tmp_path: Path) -> None:
    """Word for word; only the kit's requests name who may share."""
    scripts: list[fake_server.Script] = []

    def new_script() -> fake_server.Script:
        scripts.append(fake_server.Script())
        return scripts[-1]

    plan = Plan(("b",), (1,), rounds=1, size=QUICK)
    start = in_threads([], new_script)
    list(measure(plan, (KIT, PEER), start=start, folder=tmp_path))
    bodies = [sorted(script.seen, key=lambda body: body["user"]) for script in scripts]
    namespaces = [[body.pop("cache_namespace", None) for body in seen] for seen in bodies]
    assert bodies[0] == bodies[1]
    assert namespaces == [["nobody", "person-1", "person-2"], [None, None, None]]


@pytest.mark.e2e  # arrivals take their time
def test_arrivals_follow_from_the_capacity_of_the_first(tmp_path: Path) -> None:
    """Load f is calibrated once, on the kit, and both get the same arrivals."""
    events: list[str] = []
    plan = Plan(("f",), (1,), rounds=1, size=QUICK)
    start = in_threads(events, lambda: fake_server.Script(first_s=0.2, max_running=2))
    runs = list(measure(plan, (KIT, PEER), start=start, folder=tmp_path))
    assert [event for event in events if event[0] == "+"] == ["+kit", "+kit", "+peer"]
    assert runs[0].arrivals_per_s == runs[1].arrivals_per_s > 0
    refused = [sum(r.outcome == "refused" for r in run.replies) for run in runs]
    assert all(refused), "four times the capacity, and a queue of none"
    assert [run.failure for run in runs] == ["", ""], "there, refusals are what is measured"


def test_refusals_fail_a_load_that_all_are_to_be_served_in(tmp_path: Path) -> None:
    """A server that refuses half of load b did half the work: that is no speed."""
    plan = Plan(("b",), (1,), rounds=1, size=QUICK)
    start = in_threads([], lambda: fake_server.Script(first_s=0.3, max_running=1))
    (run,) = measure(plan, (KIT,), start=start, folder=tmp_path)
    assert "1 of 2 questions unanswered" in run.failure
    assert spread([run], "tok_per_s") is None


def real_start(folder: Path) -> Start:
    return lambda spec, threads: running(spec, threads=threads, folder=folder)


def test_server_that_dies_under_load_is_a_failure_not_a_speed(tmp_path: Path) -> None:
    """The run names its end and has no figures, though some tokens came fast."""
    dying = ServerSpec("kit", (*FAKE, "--die-after", "9"))  # the warm-up has eight tokens
    plan = Plan(("a",), (1,), rounds=1, size=QUICK)
    (run,) = measure(plan, (dying,), start=real_start(tmp_path), folder=tmp_path)
    assert run.failure.startswith("the server ended with 3")
    assert "2 of 2 questions unanswered" in run.failure
    assert spread([run], "tok_per_s") is None


def test_server_that_does_not_start_fails_its_run_alone(tmp_path: Path) -> None:
    """The other's runs go on."""
    broken = ServerSpec("peer", (sys.executable, "-c", "raise SystemExit('no such model')"))
    plan = Plan(("a",), (1,), rounds=1, size=QUICK)
    runs = list(measure(plan, (KIT, broken), start=real_start(tmp_path), folder=tmp_path))
    assert [bool(run.failure) for run in runs] == [False, True]
    assert "no such model" in runs[1].failure


def test_counters_of_work_are_those_of_the_load_alone(tmp_path: Path) -> None:
    """What the warm-up cost is taken off; names of both servers' counters are understood."""
    plan = Plan(("a",), (1,), rounds=1, size=QUICK)
    (run,) = measure(plan, (KIT,), start=real_start(tmp_path), folder=tmp_path)
    assert run.work == Work(prompt_tokens=10 * QUICK.questions)
    assert run.server_says == {"cpu_variant": "fake"}


def test_capacity_that_cannot_be_measured_is_an_error(tmp_path: Path) -> None:
    """Without it there is no load f."""
    plan = Plan(("f",), (1,), rounds=1, size=QUICK)
    start = in_threads([], lambda: fake_server.Script(max_running=0))
    with pytest.raises(EngineError, match="capacity of kit"):
        list[Run](measure(plan, (KIT,), start=start, folder=tmp_path))
