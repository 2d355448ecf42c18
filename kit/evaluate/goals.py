"""What the kit's engine is meant to reach under each load, and whether it did.

Knows figures, not how they came about. Invariant: a goal that could not be measured, or a load that
a run failed in, is never "reached".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kit.evaluate.figures import ratio, runs_of, spread
from kit.evaluate.rounds import Run

KIT, PEER = "kit", "peer"
Verdict = Literal["reached", "missed", "not measured"]


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of a load: of the kit itself, or of the kit over `against`.

    `against`: "peer", or the key of the load whose figure is the measure; "" = the figure itself.
    """

    load: str
    figure: str
    bound: float
    is_least: bool
    against: str = PEER

    @property
    def words(self) -> str:
        """'tok_per_s at least 1.00 × the peer's'."""
        of = {"": "", PEER: " × the peer's"}.get(self.against, f" × that of load {self.against}")
        return f"{self.figure} at {'least' if self.is_least else 'most'} {self.bound:.2f}{of}"


GOALS = (
    Goal("a", "tok_per_s", 1.0, is_least=True),
    Goal("b", "tok_per_s", 1.0, is_least=True),
    Goal("b", "ttft_median_s", 0.6, is_least=False),
    Goal("c", "tok_per_s", 1.5, is_least=True),
    Goal("c", "ttft_p95_s", 0.4, is_least=False),
    Goal("d", "later_ttft_median_s", 1.0, is_least=False),
    Goal("d", "later_ttft_p95_s", 1.0, is_least=False),
    Goal("d2", "later_ttft_median_s", 1.0, is_least=False),
    Goal("d2", "later_ttft_p95_s", 1.0, is_least=False),
    Goal("e", "decode_tok_per_s", 0.6, is_least=True, against="b"),
    Goal("f", "finished_share", 1.0, is_least=True, against=""),
    Goal("f", "slowest_refusal_ms", 200, is_least=False, against=""),
)


@dataclass(frozen=True)
class Judgement:
    """A goal at one number of threads: what was observed, and the verdict."""

    goal: Goal
    threads: int
    observed: float | None
    verdict: Verdict


def judge(runs: Sequence[Run], *, threads: int, loads: Sequence[str]) -> list[Judgement]:
    """Every goal of these loads."""
    return [_judge(goal, runs, threads) for goal in GOALS if goal.load in loads]


def _judge(goal: Goal, runs: Sequence[Run], threads: int) -> Judgement:
    ours = runs_of(runs, server=KIT, load=goal.load, threads=threads)
    observed = _observed(goal, runs, ours, threads)
    if any(run.failure for run in ours):
        return Judgement(goal, threads, observed, "missed")
    if observed is None:
        return Judgement(goal, threads, None, "not measured")
    is_reached = observed >= goal.bound if goal.is_least else observed <= goal.bound
    return Judgement(goal, threads, observed, "reached" if is_reached else "missed")


def _observed(goal: Goal, runs: Sequence[Run], ours: Sequence[Run], threads: int) -> float | None:
    mine = spread(ours, goal.figure)
    if not goal.against:  # every round must keep a promise, not the median one
        return None if mine is None else mine.least if goal.is_least else mine.most
    server, load = (PEER, goal.load) if goal.against == PEER else (KIT, goal.against)
    return ratio(
        mine, spread(runs_of(runs, server=server, load=load, threads=threads), goal.figure)
    )
