"""The questions for models that embed text, judged from their vectors.

Vectors are plain lists of numbers, one a text, in the order of `texts`. Invariant: what is judged
broken cannot come from a sound model, whatever it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.supply.smoke.report import SmokeAnswer, by_numbers
from kit.supply.smoke.verdict import PASSED, Verdict, broken, passed_if

MAX_NORM_ERROR = 1e-3
SAME = 0.999  # cosine of two vectors that count as one
Vector = Sequence[float]


@dataclass(frozen=True)
class Pair:
    """A question and the passage that must be nearest to it."""

    name: str
    query: str
    passage: str
    language: str = ""
    """Asked only of models that claim it; empty = of all."""


PAIRS: Sequence[Pair] = (
    Pair(
        "finds-money",
        "How much does the university pay for a day of travel?",
        "Staff receive an allowance of R 650 for each day away.",
    ),
    Pair(
        "finds-water",
        "Why do wells in the Karoo run dry?",
        "Groundwater in arid regions sinks when more is pumped than rain brings back.",
    ),
    Pair(
        "finds-health",
        "What should I do about a fever?",
        "A patient with a high temperature should drink a lot and rest.",
    ),
    Pair(
        "finds-music",
        "Who conducts the orchestra?",
        "The symphony was played under the new maestro.",
    ),
    Pair(
        "finds-law",
        "May my landlord raise the rent?",
        "A tenancy agreement sets out when the owner can ask for more money.",
    ),
    Pair(
        "finds-cooking",
        "How long does bread stay in the oven?",
        "Bake the loaf for forty minutes until the crust is brown.",
    ),
    Pair("finds-chinese", "图书馆几点开门？", "图书馆每天早上九点开放。", "zh"),
    Pair(
        "finds-afrikaans",
        "Wanneer reën dit in die Kaap?",
        "Die Kaap kry sy reën in die winter.",
        "af",
    ),
)


def pairs_for(languages: Sequence[str]) -> list[Pair]:
    """Those that a model of these languages is asked; "multilingual" claims every language."""
    claimed = {"", *languages}
    return [p for p in PAIRS if p.language in claimed or "multilingual" in claimed]


def judge_vectors(
    pairs: Sequence[Pair],
    queries: Sequence[Vector],
    passages: Sequence[Vector],
    alone: Vector,
    *,
    dim: int | None,
) -> list[SmokeAnswer]:
    """Every question's answer. `alone` is the first passage by itself, `dim` the card's."""
    vectors = [*queries, *passages]
    sizes = sorted({len(vector) for vector in [*vectors, alone]})
    answers = [
        _health("finite", "every number is finite", "", _all_finite(vectors)),
        _health("dimension", "as many numbers as the card says", str(sizes), _of_size(sizes, dim)),
    ]
    if any(answer.outcome == "broken" for answer in answers):
        return answers  # nothing more can be calculated
    norms = [math.sqrt(dot(vector, vector)) for vector in vectors]
    spread = f"{min(norms):.4f} to {max(norms):.4f}"
    same = f"cosine {cosine(passages[0], alone):.3f}"
    return [
        *answers,
        _health("unit-norm", "every vector has length 1", spread, _unit(norms)),
        _health("distinct", "different texts have different vectors", "", _distinct(vectors)),
        _health("batch", "a text alone has the vector it has among others", same,
                _same(passages[0], alone)),
        *_nearest(pairs, queries, passages),
    ]  # fmt: skip


def _nearest(
    pairs: Sequence[Pair], queries: Sequence[Vector], passages: Sequence[Vector]
) -> Iterator[SmokeAnswer]:
    for at, (pair, query) in enumerate(zip(pairs, queries, strict=True)):
        scores = [cosine(query, passage) for passage in passages]
        best = max(range(len(scores)), key=lambda number: scores[number])
        verdict = passed_if(best == at, f"the passage of {pairs[best].name!r} is nearer")
        answer = f"{pairs[best].passage} (cosine {scores[best]:.2f})"
        criterion = "the passage that answers it is the nearest"
        yield by_numbers(pair.name, "sense", pair.query, criterion, answer, verdict)


def _all_finite(vectors: Sequence[Vector]) -> Verdict:
    if all(math.isfinite(number) for vector in vectors for number in vector):
        return PASSED
    return broken("a vector holds what is no number")


def _of_size(sizes: Sequence[int], dim: int | None) -> Verdict:
    if len(sizes) != 1 or not sizes[0]:
        return broken(f"vectors of one size expected, {sizes} observed")
    if dim is not None and sizes[0] != dim:
        return broken(f"dimension {dim} expected, {sizes[0]} observed")
    return PASSED


def _unit(norms: Sequence[float]) -> Verdict:
    worst = max(norms, key=lambda norm: abs(norm - 1))
    if abs(worst - 1) <= MAX_NORM_ERROR:
        return PASSED
    return broken(f"a vector of length {worst:.4f}")


def _distinct(vectors: Sequence[Vector]) -> Verdict:
    for at, one in enumerate(vectors):
        if any(cosine(one, other) >= SAME for other in vectors[at + 1 :]):
            return broken("two different texts have the same vector")
    return PASSED


def _same(together: Vector, alone: Vector) -> Verdict:
    found = cosine(together, alone)
    return PASSED if found >= SAME else broken(f"cosine 1 expected, {found:.3f} observed")


def dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def cosine(one: Vector, other: Vector) -> float:
    """0 if one of them is zero."""
    norms = math.sqrt(dot(one, one) * dot(other, other))
    return dot(one, other) / norms if norms else 0.0


def _health(name: str, criterion: str, answer: str, verdict: Verdict) -> SmokeAnswer:
    return by_numbers(name, "health", "", criterion, answer, verdict)
