"""The questions for models that read a question beside a passage, judged from their scores.

Scores are plain numbers, higher = better. Invariant: what is judged broken cannot come from a sound
model, whatever it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kit.supply.smoke.embedding import Pair
from kit.supply.smoke.report import SmokeAnswer, by_numbers
from kit.supply.smoke.verdict import PASSED, Verdict, broken, passed_if

MAX_DIFFERENCE = 1e-3  # between a pair's score alone and among others


def judge_scores(
    pairs: Sequence[Pair], rows: Sequence[Sequence[float]], alone: float
) -> list[SmokeAnswer]:
    """Every question's answer: `rows[i][j]` is how passage j answers question i, `alone` the first
    pair by itself."""
    numbers = [score for row in rows for score in row]
    answers = [by_numbers("finite", "health", "", "every score is a number", "", _finite(numbers))]
    if answers[0].outcome == "broken":
        return answers
    spread = f"{min(numbers):.3f} to {max(numbers):.3f}"
    same = f"{rows[0][0]:.4f} and {alone:.4f}"
    return [
        *answers,
        by_numbers("distinct", "health", "", "pairs differ in score", spread, _distinct(numbers)),
        by_numbers("batch", "health", "", "a pair alone has the score it has among others", same,
                   _same(rows[0][0], alone)),
        *_best(pairs, rows),
    ]  # fmt: skip


def _best(pairs: Sequence[Pair], rows: Sequence[Sequence[float]]) -> Iterator[SmokeAnswer]:
    for at, (pair, row) in enumerate(zip(pairs, rows, strict=True)):
        best = max(range(len(row)), key=lambda number: row[number])
        verdict = passed_if(best == at, f"the passage of {pairs[best].name!r} scores higher")
        answer = f"{pairs[best].passage} (score {row[best]:.2f})"
        criterion = "the passage that answers it scores highest"
        yield by_numbers(pair.name, "sense", pair.query, criterion, answer, verdict)


def _finite(numbers: Sequence[float]) -> Verdict:
    return PASSED if all(map(math.isfinite, numbers)) else broken("a score is no number")


def _distinct(numbers: Sequence[float]) -> Verdict:
    return PASSED if len(set(numbers)) > 1 else broken("every pair has the same score")


def _same(together: float, alone: float) -> Verdict:
    if abs(together - alone) <= MAX_DIFFERENCE * max(1.0, abs(alone)):
        return PASSED
    return broken(f"{alone:.4f} expected, {together:.4f} observed")
