"""Which sentence of the passages answers the question best, and whether any does.

Knows no language model. Invariant: the decision rests on the retrieved passages alone, so a
document that the reader may not see cannot turn an answer into a refusal or back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.answer.passages import Unit, cut_passages, rarity, unseen_rarity
from kit.answer.questions import Question, gives_kind, read_question
from kit.answer.words import content_stems
from kit.errors import EmbedError
from kit.library.documents import Hit
from kit.library.embed import Embedder

MAX_EMBEDDED = 40  # sentences; about 0.3 s for the starter embedding model on two cores


@dataclass(frozen=True)
class Evidence:
    """The sentences of the passages, and what they say to the question.

    ``best`` is the run that opens the answer, empty where the passages do not answer. `vectors` has
    shape (len(units), dim), or is None where search was lexical only. `score` is the probability,
    as calibrated, that the best run answers.
    """

    units: tuple[Unit, ...]
    vectors: np.ndarray | None
    best: tuple[Unit, ...]
    score: float

    @property
    def is_answered(self) -> bool:
        return bool(self.best)


def find_evidence(question: str, hits: Sequence[Hit], embedder: Embedder | None) -> Evidence:
    """The evidence in `hits`. Without an embedder, or where it fails, by words only."""
    asked = read_question(question)
    units = cut_passages(hits)
    if not units:
        return Evidence((), None, (), 0.0)
    weights = question_weights(asked, units)
    units = prefilter(units, weights)
    cosines, vectors = None, None
    if embedder is not None:
        try:
            vectors = embedder.embed_passages([unit.with_context for unit in units])
            cosines = vectors @ embedder.embed_queries([question])[0]
        except EmbedError:
            vectors = None
    scores = [
        coverage(weights, unit.stems | unit.context_stems)
        + (0.0 if cosines is None else float(cosines[i]))
        + (0.15 if gives_kind(asked.kind, unit.text, asked.facts) else 0.0)
        for i, unit in enumerate(units)
    ]
    top = int(np.argmax(scores))
    enough = scores[top] >= (0.75 if cosines is None else 1.2)
    return Evidence(tuple(units), vectors, (units[top],) if enough else (), scores[top])


def question_weights(asked: Question, units: Sequence[Unit]) -> dict[str, float]:
    """How much each telling word of the question counts."""
    known, unseen = rarity(units), unseen_rarity(units)
    return {stem: known.get(stem, unseen) for stem in asked.stems}


def coverage(weights: dict[str, float], stems: frozenset[str]) -> float:
    """The share of the question's words, by weight, that are among `stems`."""
    total = sum(weights.values())
    return sum(w for stem, w in weights.items() if stem in stems) / total if total else 0.0


def prefilter(units: list[Unit], weights: dict[str, float]) -> list[Unit]:
    """At most MAX_EMBEDDED units: those with most of the question's words, in their old order."""
    if len(units) <= MAX_EMBEDDED:
        return units
    ranked = sorted(
        range(len(units)),
        key=lambda i: (
            -coverage(weights, units[i].stems | frozenset(content_stems(units[i].before))),
            units[i].hit.rank,
            i,
        ),
    )
    return [units[i] for i in sorted(ranked[:MAX_EMBEDDED])]
