"""How many threads llama.cpp runs and how they wait for each other, chosen by measuring.

Threads that spin while they wait are fastest on a quiet machine and collapse when somebody else
wants their core; threads that sleep are the reverse. Which is better how much differs by machine,
so each way is tried twice: alone, and beside work of the kind the worker does. Knows figures and
files; the measuring itself is a child's. Keeps one invariant: what cannot be measured or remembered
costs speed, never a start.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import cpu_fingerprint, usable_cores
from kit.errors import KitError, MachineError
from kit.files import write_atomic

MIN_ALONE = 0.75  # of the best decoding speed on a quiet machine that a choice must keep
COMPANY_NICE = 10  # as the worker's
_BURN = f"import os\nos.nice({COMPANY_NICE})\nwhile True: pass"

# OpenMP reads these when llama.cpp is loaded. Empty: its default, to spin for milliseconds.
WAITINGS: Mapping[str, Mapping[str, str]] = {
    "brief": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"},
    "spin": {},
    "sleep": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
}
DEFAULT_WAITING = "brief"
Speeds = Mapping[str, float]  # {"prefill", "decode"} in tokens per second
Measure = Callable[[int, str], Speeds]  # (n_threads, one of WAITINGS)


@dataclass(frozen=True)
class Figures:
    """Tokens per second of one way, on a quiet machine and beside other work."""

    waiting: str
    n_threads: int
    prefill_alone: float
    decode_alone: float
    prefill_in_company: float
    decode_in_company: float

    @property
    def score(self) -> float:
        """Geometric mean, so that twice the speed here makes up for half of it there."""
        alone = self.prefill_alone * self.decode_alone
        return math.pow(alone * self.prefill_in_company * self.decode_in_company, 0.25)


@dataclass(frozen=True)
class ThreadChoice:
    """What the engine runs with. `figures` are empty where nothing was measured."""

    waiting: str
    n_threads: int
    figures: tuple[Figures, ...] = ()


def best(figures: Sequence[Figures]) -> Figures:
    """The highest score among those that keep MIN_ALONE of the best decoding speed alone."""
    least = MIN_ALONE * max(f.decode_alone for f in figures)
    return max((f for f in figures if f.decode_alone >= least), key=lambda f: f.score)


def default_choice() -> ThreadChoice:
    return ThreadChoice(DEFAULT_WAITING, usable_cores())


def choose_threads(measure: Measure, *, n_cores: int | None = None) -> ThreadChoice:
    """Every way to wait with a thread per core, then the best of them with one thread less.

    A way that `measure` raises KitError for is passed over.
    Raises: KitError, the last one, if every way failed.
    """
    n_cores = n_cores or usable_cores()
    figures: list[Figures] = []
    failure: KitError | None = None
    for waiting in WAITINGS:
        try:
            figures.append(_figures(measure, waiting, n_cores))
        except KitError as problem:
            failure = problem
    if not figures:
        raise failure or MachineError("no way for threads to wait was measured")
    if n_cores > 1:
        with contextlib.suppress(KitError):
            figures.append(_figures(measure, best(figures).waiting, n_cores - 1))
    chosen = best(figures)
    return ThreadChoice(chosen.waiting, chosen.n_threads, tuple(figures))


def _figures(measure: Measure, waiting: str, n_threads: int) -> Figures:
    alone = measure(n_threads, waiting)
    with company(max(1, usable_cores() // 2)):
        beside = measure(n_threads, waiting)
    return Figures(
        waiting,
        n_threads,
        *(alone["prefill"], alone["decode"]),
        *(beside["prefill"], beside["decode"]),
    )


@contextlib.contextmanager
def company(num_busy: int) -> Iterator[None]:
    """While the block runs, so many processes want a core each, at the worker's priority."""
    busy = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(num_busy)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


# -- memory --------------------------------------------------------------------------------------


def memory_path(home: Path) -> Path:
    return home / "engine" / "threads.json"


def _key() -> dict[str, Any]:
    """What the choice depends on: the CPU, how much of it is ours, and the build."""
    return {
        "cpu": cpu_fingerprint(),
        "cores": usable_cores(),
        "wheel": importlib.metadata.version("llama-cpp-python"),
    }


def remembered(home: Path | None) -> ThreadChoice | None:
    """The choice made before on this machine, None if there is none."""
    if home is None:
        return None
    try:
        record = json.loads(memory_path(home).read_text())
        if record["key"] != _key() or record["waiting"] not in WAITINGS:
            return None
        figures = tuple(Figures(**figure) for figure in record["figures"])
        return ThreadChoice(record["waiting"], int(record["n_threads"]), figures)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(home: Path, choice: ThreadChoice) -> None:
    """Keep the choice; a full disk costs the next start the measuring, no more."""
    record = {
        "key": _key(),
        "waiting": choice.waiting,
        "n_threads": choice.n_threads,
        "figures": [asdict(figure) for figure in choice.figures],
    }
    with contextlib.suppress(MachineError):
        write_atomic(memory_path(home), json.dumps(record, indent=1).encode())


def threads_here(home: Path | None) -> ThreadChoice:
    """The remembered choice, or the default."""
    return remembered(home) or default_choice()


def is_administrators() -> bool:
    """Whether somebody has set how threads wait; then nothing is chosen."""
    return any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))
