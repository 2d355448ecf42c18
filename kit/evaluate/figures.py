"""The numbers of a run, and what several rounds say together.

Knows arithmetic, no servers. Invariant: a failed run has no figures, so nothing that died early can
look fast. Percentiles interpolate linearly between the two nearest ranks (numpy's default).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kit.evaluate.client import Reply
from kit.evaluate.rounds import Run


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 … 1) of the values lie. Raises: ValueError if none."""
    if not values:
        raise ValueError("a percentile of no values")
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)


@dataclass(frozen=True)
class Figure:
    """One kind of number: how it is read from a run. `is_of_f` ones are for load f alone."""

    name: str
    unit: str
    meaning: str
    read: Callable[[Run], float | None]
    digits: int = 2


def _finished(run: Run) -> list[Reply]:
    return [reply for reply in run.replies if reply.outcome == "finished"]


def _tok_per_s(run: Run) -> float | None:
    tokens = sum(reply.completion_tokens for reply in _finished(run))
    return tokens / run.wall_s if tokens and run.wall_s > 0 else None


def _ttft(share: float, *, is_later: bool = False) -> Callable[[Run], float | None]:
    def read(run: Run) -> float | None:
        turns = [reply for reply in _finished(run) if not is_later or reply.turn > 1]
        times = [reply.ttft_s for reply in turns if reply.ttft_s is not None]
        return percentile(times, share) if times else None

    return read


def _later_ttft(share: float) -> Callable[[Run], float | None]:
    """Of the later turns of conversations only."""
    read = _ttft(share, is_later=True)
    return lambda run: read(run) if run.load in ("d", "d2") else None


def _decode(run: Run) -> float | None:
    speeds = [reply.decode_tok_per_s for reply in _finished(run)]
    known = [speed for speed in speeds if speed is not None]
    return median(known) if known else None


def _gap(share: float) -> Callable[[Run], float | None]:
    def read(run: Run) -> float | None:
        gaps = [1000 * gap for reply in _finished(run) for gap in reply.gaps_s]
        return percentile(gaps, share) if gaps else None

    return read


def _count(outcome: str) -> Callable[[Run], float | None]:
    return lambda run: sum(reply.outcome == outcome for reply in run.replies)


def _finished_share(run: Run) -> float | None:
    """Of what was accepted."""
    accepted = [reply for reply in run.replies if reply.outcome != "refused"]
    return len(_finished(run)) / len(accepted) if accepted else None


def _slowest_refusal(run: Run) -> float | None:
    times = [1000 * reply.total_s for reply in run.replies if reply.outcome == "refused"]
    return max(times) if times else None


def _sum(field: str) -> Callable[[Run], float | None]:
    return lambda run: sum(getattr(reply, field) for reply in run.replies)


FIGURES: tuple[Figure, ...] = (
    Figure("tok_per_s", "tok/s", "tokens generated per second, all people together", _tok_per_s),
    Figure("ttft_median_s", "s", "time to the first token, median", _ttft(0.5)),
    Figure("ttft_p95_s", "s", "time to the first token, 95th percentile", _ttft(0.95)),
    Figure("later_ttft_median_s", "s", "the same of later turns, median", _later_ttft(0.5)),
    Figure("later_ttft_p95_s", "s", "the same of later turns, 95th percentile", _later_ttft(0.95)),
    Figure("decode_tok_per_s", "tok/s", "tokens per second of one answer, median", _decode),
    Figure("gap_p95_ms", "ms", "between two pieces of an answer, 95th percentile", _gap(0.95), 0),
    Figure("gap_max_ms", "ms", "the longest pause within an answer", _gap(1.0), 0),
    Figure("wall_s", "s", "from the first question to the last answer", lambda run: run.wall_s),
    Figure("num_finished", "", "questions answered", _count("finished"), 0),
    Figure("num_refused", "", "questions refused", _count("refused"), 0),
    Figure("finished_share", "", "answered, of those not refused", _finished_share, 3),
    Figure("slowest_refusal_ms", "ms", "the slowest refusal", _slowest_refusal, 0),
    Figure("pages_per_s", "1/s", "pages embedded beside it", lambda run: run.pages_per_s or None),
    Figure("asked_tokens", "", "tokens of all prompts", _sum("prompt_tokens"), 0),
    Figure("answered_tokens", "", "tokens of all answers", _sum("completion_tokens"), 0),
    Figure("computed_tokens", "", "prompt tokens computed", lambda run: run.work.prompt_tokens, 0),
    Figure("reused_tokens", "", "prompt tokens reused", lambda run: run.work.cached_tokens, 0),
    Figure("guessed_tokens", "", "tokens guessed right", lambda run: run.work.drafted_tokens, 0),
    Figure("steps", "", "batches computed", lambda run: run.work.steps, 0),
)
BY_NAME = {figure.name: figure for figure in FIGURES}


@dataclass(frozen=True)
class Spread:
    """One figure over the rounds of a server: its median, and the least and the most."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


def spread(runs: Iterable[Run], figure: str) -> Spread | None:
    """The figure over the sound runs; None if none of them has it."""
    read = BY_NAME[figure].read
    values = [read(run) for run in runs if not run.failure]
    known = tuple(float(value) for value in values if value is not None)
    return Spread(known) if known else None


def ratio(ours: Spread | None, theirs: Spread | None) -> float | None:
    """Our median over theirs; None where either is missing or theirs is zero."""
    if ours is None or theirs is None or not theirs.median:
        return None
    return ours.median / theirs.median


def runs_of(runs: Iterable[Run], *, server: str, load: str, threads: int) -> list[Run]:
    return [r for r in runs if (r.server, r.load, r.threads) == (server, load, threads)]
