"""How threads wait is chosen by figures; what cannot be measured or remembered costs no start."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.cpu import threads
from kit.engine.cpu.threads import (
    MIN_ALONE,
    WAITINGS,
    Figures,
    ThreadChoice,
    best,
    choose_threads,
    company,
    default_choice,
    memory_path,
    remember,
    remembered,
    threads_here,
)
from kit.errors import EngineError

speeds = st.floats(0.01, 1e4)
figures = st.builds(
    Figures, st.sampled_from([*WAITINGS]), st.integers(1, 64), speeds, speeds, speeds, speeds
)


class Machine:
    """Speeds by (way to wait, threads, whether in company); counts what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **decode: tuple[float, float]) -> None:
        self.decode, self.is_in_company, self.asked = decode, False, 0
        machine = self

        class Company:
            def __init__(self, num_busy: int) -> None:
                assert num_busy >= 1

            def __enter__(self) -> None:
                machine.is_in_company = True

            def __exit__(self, *_: object) -> None:
                machine.is_in_company = False

        monkeypatch.setattr(threads, "company", Company)

    def measure(self, n_threads: int, waiting: str) -> dict[str, float]:
        self.asked += 1
        if waiting not in self.decode:
            raise EngineError(f"{waiting} died")
        speed = self.decode[waiting][self.is_in_company] * n_threads
        return {"prefill": 10 * speed, "decode": speed}


@given(st.lists(figures, min_size=1, max_size=6))
def test_the_best_keeps_most_of_the_quiet_speed(found: list[Figures]) -> None:
    """The highest score wins among those that decode well enough alone."""
    chosen = best(found)
    least = MIN_ALONE * max(f.decode_alone for f in found)
    assert chosen.decode_alone >= least
    assert all(f.score <= chosen.score for f in found if f.decode_alone >= least)


def test_a_way_that_collapses_in_company_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A little faster alone does not make up for ten times slower beside other work."""
    machine = Machine(monkeypatch, spin=(100, 5), brief=(95, 50), sleep=(40, 60))
    choice = choose_threads(machine.measure, n_cores=2)
    assert (choice.waiting, choice.n_threads) == ("brief", 2)
    assert machine.asked == 2 * (len(WAITINGS) + 1)
    assert len(choice.figures) == len(WAITINGS) + 1


def test_a_thread_less_is_chosen_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all cores taken by threads, one thread less may be faster."""
    machine = Machine(monkeypatch, brief=(50, 50))

    def measure(n_threads: int, waiting: str) -> dict[str, float]:
        found = machine.measure(n_threads, waiting)
        return {name: speed / (3 if n_threads == 4 else 1) for name, speed in found.items()}

    assert choose_threads(measure, n_cores=4).n_threads == 3


def test_a_way_that_dies_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be measured is not chosen; if nothing can, that is an error with words."""
    machine = Machine(monkeypatch, sleep=(10, 10))
    assert choose_threads(machine.measure, n_cores=1).waiting == "sleep"
    with pytest.raises(EngineError, match="died"):
        choose_threads(Machine(monkeypatch).measure, n_cores=2)


def test_the_choice_is_remembered_for_this_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the CPU, its cores or the build change; a damaged memory is none."""
    assert remembered(home) is None
    choice = ThreadChoice("sleep", 3, (Figures("sleep", 3, 1.0, 2.0, 3.0, 4.0),))
    remember(home, choice)
    assert threads_here(home) == choice
    with monkeypatch.context() as patch:
        patch.setattr(threads, "usable_cores", lambda: 99)
        assert remembered(home) is None
    memory_path(home).write_text("{")
    assert threads_here(home) == default_choice()


def test_company_is_there_and_goes() -> None:
    """So many processes run while the block does, and none afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    with pytest.MonkeyPatch.context() as patch:

        def popen(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
            started.append(real(*arguments, **options))
            return started[-1]

        patch.setattr(threads.subprocess, "Popen", popen)
        with company(2):
            assert [process.poll() for process in started] == [None, None]
    assert all(process.poll() is not None for process in started)
