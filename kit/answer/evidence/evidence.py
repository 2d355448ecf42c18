"""Which sentence of the passages answers the question best, and whether any does.

Knows no language model. Invariant: the decision rests on the retrieved passages alone, so a
document that the reader may not see cannot turn an answer into a refusal or back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.answer.evidence.calibration import (
    ANSWERED,
    ANSWERED_LEXICAL,
    ASKING_SHARE,
    CONTEXT_SHARE,
    EARLIER_SHARE,
    MEASURED_MODELS,
    MIN_ANSWERED,
    MIN_ANSWERED_LEXICAL,
    MIN_UNSPACED,
    OWN_WEIGHT,
    SELECT,
    SELECT_LEXICAL,
    Weights,
)
from kit.answer.evidence.facts import facts, missing_values
from kit.answer.evidence.newest import (
    Ground,
    asked_days,
    is_named,
    is_of_series,
    precedes,
    says_day,
    without_time,
)
from kit.answer.evidence.passages import Unit, cut_passages, label, rarity, unseen_rarity
from kit.answer.evidence.questions import Question, kind_given, read_question
from kit.answer.evidence.sides import is_other_side
from kit.answer.evidence.unspaced import UnspacedQuestion, covered, read_unspaced
from kit.answer.evidence.versions import alike, is_other_version
from kit.answer.evidence.words import content_stems, stem, words
from kit.errors import EmbedError
from kit.library.documents import Hit
from kit.library.index.embed import Embedder

MAX_EMBEDDED = 24  # sentences; about 0.2 s for the starter embedding model on two idle cores


@dataclass(frozen=True)
class Features:
    """What speaks for one sentence as the answer; each 0 to 1 but `num_missing_names`."""

    coverage: float
    """Share of the question's words, by weight, in the sentence; half of it for its context."""
    passage_coverage: float
    """The same share for the whole passage."""
    cosine: float
    kind: float
    """1 if it holds the kind of thing asked for: a date, a sum, a name."""
    num_missing_names: int
    """Names and numbers of the question that the passage does not have."""
    first: float
    """1 / rank of the passage."""
    whole: float
    """1 for a sentence or a labelled row, 0 for a fragment of a table or a line."""


@dataclass(frozen=True)
class Evidence:
    """The sentences of the passages, and what they say to the question.

    ``best`` is the run that opens the answer, empty where the passages do not answer. `vectors` has
    shape (len(units), dim), or is None where there is no embedder. `score` is the probability, as
    calibrated, that the best sentence answers; `closest` is that sentence either way.
    """

    units: tuple[Unit, ...]
    vectors: np.ndarray | None
    best: tuple[Unit, ...]
    closest: Unit | None
    score: float
    differing: Unit | None = None
    """A sentence of another document that says the same with other numbers or dates."""
    ground: Ground | None = None
    """Why the one is quoted and the other differs; None if nothing tells which is newer."""

    @property
    def is_answered(self) -> bool:
        return bool(self.best)


def find_evidence(question: str, hits: Sequence[Hit], embedder: Embedder | None) -> Evidence:
    """The evidence in `hits`. Without an embedder, or where it fails, by words only."""
    days, question = asked_days(question), without_time(question)
    asked = read_question(question)
    units = cut_passages(hits)
    weights = question_weights(asked, units)
    chosen = prefilter(units, weights)
    if not chosen:
        return Evidence(tuple(units), None, (), None, 0.0)
    vectors, cosines, is_measured = _embed(question, units, chosen, embedder)
    unspaced = read_unspaced(question)
    if unspaced is not None:  # a script that the measured models do not know
        top, score, enough = _choose_unspaced(unspaced, units, weights)
    else:
        seen = features(asked, units, weights, cosines)
        own = own_shares(asked, units, weights)
        others = frozenset(i for i in chosen if is_other_side(asked, units[i].text))
        top, score, enough = _choose(
            days, units, seen, chosen, own, others, cosines is not None, is_measured
        )
    if not enough:
        return Evidence(tuple(units), vectors, (), units[top], score)
    top, other, ground = _choose_version(asked, days, units, top)
    differing = None if other is None else units[other]
    best = _with_antecedent(units, top)
    return Evidence(tuple(units), vectors, best, units[top], score, differing, ground)


def _choose(
    days: frozenset[str],
    units: Sequence[Unit],
    seen: Sequence[Features],
    chosen: Sequence[int],
    own: Sequence[float] | None,
    others: frozenset[int],
    has_cosines: bool,
    is_measured: bool,
) -> tuple[int, float, bool]:
    """(place of the best unit, the probability that it answers, whether that is enough).

    A follow-up that brings words of its own asks about them: a sentence that has none of them says
    again what the question before it asked. One of `others` speaks of the other side of a limit
    and answers nothing. Where documents differ by the year in their names, the latest that answers
    is quoted; where the question names a year, the document that is named so.
    """
    select = SELECT if has_cosines else SELECT_LEXICAL
    added = [OWN_WEIGHT * share for share in own] if own else [0.0] * len(seen)
    answered = ANSWERED if is_measured else ANSWERED_LEXICAL
    least = MIN_ANSWERED if is_measured else MIN_ANSWERED_LEXICAL
    scores = {i: probability(weigh(answered, seen[i])) for i in chosen}
    able = {i for i in chosen if scores[i] >= least and (own is None or own[i] > 0)} - others
    best_first = sorted(chosen, key=lambda i: (i in others, -weigh(select, seen[i]) - added[i], i))
    top = best_first[0]
    if top in able:
        top = _of_time_asked(days, units, [i for i in best_first if i in able])
    return top, scores[top], top in able


def _of_time_asked(days: frozenset[str], units: Sequence[Unit], able: Sequence[int]) -> int:
    """The best of those that answer, best first; of its series the one that is asked for."""
    top = able[0]
    if days and not says_day(units[top], days):
        top = next((i for i in able if is_named(units[i].hit, days)), top)
    for i in able:
        series = is_of_series(units[i], units[top])
        if series and precedes(days, units[i].hit, units[top].hit):
            top = i
    return top


def own_shares(
    asked: Question, units: Sequence[Unit], weights: dict[str, float]
) -> list[float] | None:
    """Per unit, the share of the words that a follow-up brings itself; None if it brings none."""
    own = {stem: weights[stem] for stem in asked.own}
    return [coverage(own, unit.stems | unit.context_stems) for unit in units] if own else None


def _choose_unspaced(
    asked: UnspacedQuestion, units: Sequence[Unit], weights: dict[str, float]
) -> tuple[int, float, bool]:
    """The same by character pairs alone; where nothing answers, the unit with most words asked."""
    shares = {
        i: covered(asked, unit.text, f"{unit.lead}\n{unit.hit.place}\n{unit.hit.document}")
        for i, unit in enumerate(units)
        if not unit.is_lead
    }
    top = max(shares, key=lambda i: (shares[i], coverage(weights, units[i].stems), -i))
    return top, shares[top], shares[top] >= MIN_UNSPACED


def _choose_version(
    asked: Question, days: frozenset[str], units: Sequence[Unit], top: int
) -> tuple[int, int | None, Ground | None]:
    """(place of the version that opens the answer, of one that says otherwise, why not that).

    The latter is None where there is none, and where the question names the time of the former.
    """
    best, versions = top, _versions(asked, units, top)
    for i in versions:
        if precedes(days, units[i].hit, units[best].hit):
            best = i
    if not versions:
        return top, None, None
    other = versions[0] if best == top else top
    ground = precedes(days, units[best].hit, units[other].hit)
    return best, None if ground == "asked" else other, ground


def _versions(asked: Question, units: Sequence[Unit], top: int) -> list[int]:
    """Of each other document the unit most like this one that gives the same with another value,
    the most alike first."""
    others = sorted(
        (-alike(units[top], unit), i)
        for i, unit in enumerate(units)
        if is_other_version(asked, units[top], unit)
    )
    first: dict[str, int] = {}
    for _, i in others:
        first.setdefault(units[i].hit.document_id, i)
    return list(first.values())


def features(
    asked: Question,
    units: Sequence[Unit],
    weights: dict[str, float],
    cosines: np.ndarray | None,
) -> list[Features]:
    """One row of features per unit."""
    passages: dict[int, tuple[float, int]] = {}
    for unit in units:
        if unit.hit.chunk_id not in passages:
            passages[unit.hit.chunk_id] = _of_passage(asked, unit, weights)
    return [
        Features(
            coverage=(1 - CONTEXT_SHARE) * coverage(weights, unit.stems)
            + CONTEXT_SHARE * coverage(weights, unit.stems | unit.context_stems),
            passage_coverage=passages[unit.hit.chunk_id][0],
            cosine=0.0 if cosines is None else max(0.0, float(cosines[i])),
            kind=kind_given(asked, unit.text),
            num_missing_names=passages[unit.hit.chunk_id][1],
            first=1.0 / unit.hit.rank,
            whole=float(unit.is_whole),
        )
        for i, unit in enumerate(units)
    ]


def _of_passage(asked: Question, unit: Unit, weights: dict[str, float]) -> tuple[float, int]:
    """(coverage by the whole passage, names and numbers of the question that it lacks)."""
    text = f"{unit.hit.document}\n{label(unit.hit)}\n{unit.hit.text}"
    there = {stem(word) for word in words(text)}
    missing = missing_values(asked.facts, facts(text))
    stems = frozenset(content_stems(text)) | unit.context_stems
    return coverage(weights, stems), len(asked.facts.names - there) + len(missing)


def weigh(weights: Weights, seen: Features) -> float:
    """The log-odds of one sentence."""
    return (
        weights.bias
        + weights.coverage * seen.coverage
        + weights.passage_coverage * seen.passage_coverage
        + weights.cosine * seen.cosine
        + weights.kind * seen.kind
        + weights.missing_name * seen.num_missing_names
        + weights.first * seen.first
        + weights.whole * seen.whole
    )


def probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-500.0, log_odds)))


def question_weights(asked: Question, units: Sequence[Unit]) -> dict[str, float]:
    """How much each telling word of the question counts."""
    known, unseen = rarity(units), unseen_rarity(units)
    return {
        stem: known.get(stem, unseen)
        * (EARLIER_SHARE if stem in asked.earlier else 1.0)
        * (ASKING_SHARE if stem in asked.asking else 1.0)
        for stem in asked.stems
    }


def coverage(weights: dict[str, float], stems: frozenset[str]) -> float:
    """The share of the question's words, by weight, that are among `stems`."""
    total = sum(weights.values())
    return sum(w for stem, w in weights.items() if stem in stems) / total if total else 0.0


def prefilter(units: Sequence[Unit], weights: dict[str, float]) -> list[int]:
    """Places of at most MAX_EMBEDDED units that may answer: those with most of the words asked."""
    able = [i for i, unit in enumerate(units) if not unit.is_lead]
    able.sort(
        key=lambda i: (
            -coverage(weights, units[i].stems | frozenset(content_stems(units[i].before))),
            units[i].hit.rank,
            i,
        )
    )
    return sorted(able[:MAX_EMBEDDED])


def _embed(
    question: str, units: Sequence[Unit], chosen: Sequence[int], embedder: Embedder | None
) -> tuple[np.ndarray | None, np.ndarray | None, bool]:
    """(vectors of the units, their cosines with the question, whether these were calibrated).

    Units that were not chosen have zeros.
    """
    if embedder is None:
        return None, None, False
    try:
        rows = embedder.embed_passages([units[i].with_context for i in chosen])
        # A follow-up counts as itself and as what it follows: the mean of both.
        asked = list(dict.fromkeys([question, question.strip().rpartition("\n")[2]]))
        query = embedder.embed_queries(asked).mean(axis=0)
        is_measured = embedder.model.lower() in MEASURED_MODELS
    except EmbedError:
        return None, None, False
    vectors = np.zeros((len(units), rows.shape[1]), np.float32)
    vectors[list(chosen)] = rows
    return vectors, vectors @ query, is_measured  # (num_units, dim), (num_units,)


def _with_antecedent(units: Sequence[Unit], top: int) -> tuple[Unit, ...]:
    """The sentence, with the one before it if it begins by pointing back ('It meets …')."""
    unit = units[top]
    if not unit.points_back or top == 0:
        return (unit,)
    before = units[top - 1]
    joined = before.hit.chunk_id == unit.hit.chunk_id and before.text == unit.before
    return (before, unit) if joined and not before.is_lead else (unit,)
