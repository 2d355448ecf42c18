"""How many threads llama.cpp runs and how they wait for each other: the rule that chooses.

Threads that spin while they wait are fastest on a quiet machine and collapse when somebody else
wants their core; threads that sleep are the reverse. By how much differs by machine. Knows figures
only: who measures them is `choose_threads`. Keeps one invariant: a choice decodes alone at no less
than MIN_ALONE of the best that was measured.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIN_ALONE = 0.75  # of the best decoding speed on a quiet machine that a choice must keep

# OpenMP reads these when llama.cpp is loaded. Empty: its default, to spin for milliseconds.
WAITINGS: Mapping[str, Mapping[str, str]] = {
    "brief": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"},
    "spin": {},
    "sleep": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
}
DEFAULT_WAITING = "brief"
AS_SET = "as set"  # by whoever set OpenMP's variables


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
    def is_sound(self) -> bool:
        """Whether all four are speeds at all."""
        return all(math.isfinite(speed) and speed > 0 for speed in self.speeds)

    @property
    def speeds(self) -> tuple[float, ...]:
        alone = (self.prefill_alone, self.decode_alone)
        return (*alone, self.prefill_in_company, self.decode_in_company)


@dataclass(frozen=True)
class ThreadChoice:
    """What the engine runs with. `figures` are empty where nothing was measured."""

    waiting: str
    n_threads: int
    """For one token a step."""
    n_threads_batch: int
    """For prompts, and for several conversations at a time."""
    figures: tuple[Figures, ...] = ()


def best(figures: Iterable[Figures]) -> ThreadChoice:
    """The highest score of a way to wait with a number of threads for each kind of step.

    The score is the geometric mean of four speeds: prefill and decode, alone and in company. So
    twice the speed here makes up for half of it there. Raises: ValueError without figures.
    """
    found = tuple(figures)
    if not found:
        raise ValueError("nothing was measured")
    least = MIN_ALONE * max(f.decode_alone for f in found)
    pairs = [
        (decode, prefill)
        for decode, prefill in itertools.product(found, found)
        if decode.waiting == prefill.waiting and decode.decode_alone >= least
    ]
    decode, prefill = max(pairs, key=lambda pair: _score(*pair))
    return ThreadChoice(decode.waiting, decode.n_threads, prefill.n_threads, found)


def _score(decode: Figures, prefill: Figures) -> float:
    speeds = [decode.decode_alone, decode.decode_in_company]
    speeds += [prefill.prefill_alone, prefill.prefill_in_company]
    return math.exp(sum(map(math.log, speeds)) / len(speeds))


def counts(n_cores: int) -> Sequence[int]:
    """Numbers of threads worth trying: every core, one left to others, half of them."""
    return sorted({n_cores, max(1, n_cores - 1), max(1, n_cores // 2)}, reverse=True)


def is_set_by_administrator() -> bool:
    """Whether the environment says how threads wait; then nothing is chosen."""
    return any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))


def default_choice(n_threads: int) -> ThreadChoice:
    """What runs where nothing was measured."""
    waiting = AS_SET if is_set_by_administrator() else DEFAULT_WAITING
    return ThreadChoice(waiting, n_threads, n_threads)
