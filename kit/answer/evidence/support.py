"""Whether the passages support a generated sentence, and which of their sentences do.

Knows no language model. Invariant: a sentence with a number, date, sum or name that its evidence
does not hold is never supported, however alike the words and meanings are.
"""

# ruff: noqa: E501, SIM905 - word lists read better as text
from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kit.answer.evidence.calibration import COSINE_SHARE, FACT_SHARE, PARTLY, SUPPORTED, WINDOW_COST
from kit.answer.evidence.cite import Verdict
from kit.answer.evidence.facts import (
    Facts,
    currencies,
    facts,
    missing_names,
    missing_values,
    named_currencies,
)
from kit.answer.evidence.passages import Unit, rarity, span_text, unseen_rarity, windows
from kit.answer.evidence.words import NEGATIONS, content_stems, words
from kit.errors import EmbedError
from kit.library.index.embed import Embedder

UNSUPPORTED = Verdict("unsupported")
MAX_LATE = 8  # units embedded beside one sentence; about 0.07 s for the starter embedding model
_PLACE_NUMBERS = re.compile(r"^(?:page|slide) \d+|\brows? \d+(?:-\d+)?$")
_REFUSING = frozenset("prohibited forbidden excluded ineligible disallowed barred".split())
_NOT_NEGATIONS = re.compile(
    r"\b(?:no|not) (?:more|less|fewer|later|earlier|longer|sooner) than\b|\bnot exceed\w*\b|\bnot only\b"
    r"|\bno\.? ?\d+|\bwithout (?:delay|exception)\b|\bwhether or not\b",
    re.IGNORECASE,
)
_OPPOSITES = tuple(
    (frozenset(left.split()), frozenset(right.split()))
    for left, right in (
        ("minimum least", "maximum most"),
        ("before earlier", "after later"),
        ("increase increases increased", "decrease decreases decreased reduce reduced"),
        ("include includes included including", "exclude excludes excluded excluding except"),
        ("open opens opened", "close closes closed"),
        ("above over", "below under"),
        ("mandatory required compulsory", "optional voluntary"),
        ("earliest first", "latest last"),
    )
)


class SupportCheck:
    """Judges sentences against the units of one retrieval.

    `vectors` are the units' embeddings, shape (len(units), dim), zeros for those that have none
    yet, or None where there are none at all; `embedder` embeds the sentence then, and of the units
    without a vector those that share most of its words: a whole document has too many to embed
    them all, and the sentence may rest on another than the question does.
    """

    def __init__(
        self, units: Sequence[Unit], vectors: np.ndarray | None, embedder: Embedder | None
    ) -> None:
        self._units = list(units)
        self._runs = list(windows(self._units))
        self._place = {id(unit): i for i, unit in enumerate(self._units)}
        self._vectors = None if vectors is None else vectors.copy()
        self._embedder = embedder
        self._rarity = rarity(self._units)
        self._unseen = unseen_rarity(self._units)

    def __call__(self, sentence: str) -> Verdict:
        """The verdict by the run of sentences that supports most.

        Where a run that is as near as a supporting one denies the sentence, no lesser run counts.
        """
        stems = telling_stems(sentence)
        claimed = facts(sentence)
        if not stems and not claimed.claims:
            return UNSUPPORTED
        cosines = self._cosines(sentence, stems)
        scored = sorted(
            ((self._score(stems, run, cosines), -place) for place, run in enumerate(self._runs)),
            reverse=True,
        )
        for score, place in scored:
            if score < PARTLY:
                break
            run = self._runs[-place]
            if denies(sentence, stems, run):
                if score >= SUPPORTED:
                    break
            elif not lacks_facts(claimed, run) and self._joins(stems, claimed, run):
                is_whole = score >= SUPPORTED and not lacks_currency(claimed, run)
                return Verdict("supported" if is_whole else "partly", run)
        return UNSUPPORTED

    def score(self, sentence: str) -> float:
        """The best score before the hard rules, 0 to 1; what the thresholds are set on."""
        stems = telling_stems(sentence)
        cosines = self._cosines(sentence, stems)
        return max((self._score(stems, run, cosines) for run in self._runs), default=0.0)

    def _joins(self, stems: frozenset[str], claimed: Facts, run: Sequence[Unit]) -> bool:
        """Whether each fact stands beside what it is said of.

        In a run of several sentences, one that brings a number must share the sentence's words
        too; otherwise the price of one thing would support the price of another.
        """
        if len(run) == 1 or not claimed.claims:
            return True
        about = [sum(self._weight(stem) for stem in stems & unit.stems) for unit in run]
        bringing = [
            i
            for i, unit in enumerate(run)
            if any(c & facts(unit.text).values for c in claimed.claims)
        ]
        return all(about[i] >= FACT_SHARE * max(about) > 0 for i in bringing)

    def _score(
        self, stems: frozenset[str], run: Sequence[Unit], cosines: np.ndarray | None
    ) -> float:
        there = frozenset().union(*(unit.stems | unit.context_stems for unit in run))
        covered = sum(self._weight(stem) for stem in stems & there)
        coverage = covered / (sum(self._weight(stem) for stem in stems) or 1.0)
        score = coverage - WINDOW_COST * (len(run) - 1)
        if cosines is None:
            return score
        cosine = max(float(cosines[self._place[id(unit)]]) for unit in run)
        return (1 - COSINE_SHARE) * score + COSINE_SHARE * max(0.0, cosine)

    def _weight(self, stem: str) -> float:
        return self._rarity.get(stem, self._unseen)

    def _cosines(self, sentence: str, stems: frozenset[str]) -> np.ndarray | None:
        if self._vectors is None or self._embedder is None:
            return None
        late = self._without_vector(self._vectors, stems)
        texts = [sentence, *(self._units[i].with_context for i in late)]
        try:
            rows = self._embedder.embed_passages(texts)
        except EmbedError:
            self._vectors = None
            return None
        self._vectors[late] = rows[1:]
        return np.asarray(self._vectors @ rows[0])  # (num_units,)

    def _without_vector(self, vectors: np.ndarray, stems: frozenset[str]) -> list[int]:
        """Places of at most MAX_LATE units without a vector that have some of these words."""
        shares = {
            i: sum(self._weight(stem) for stem in stems & self._units[i].stems)
            for i in map(int, np.flatnonzero(~vectors.any(axis=1)))
            if not self._units[i].is_lead
        }
        return sorted((i for i in shares if shares[i]), key=lambda i: (-shares[i], i))[:MAX_LATE]


def lacks_facts(claimed: Facts, run: Sequence[Unit]) -> bool:
    """Whether a number, date, sum or name of the sentence is missing from the evidence.

    Numbers and dates must stand in the run itself or in its heading, names and currencies in its
    passage, which may name no currency at all. The numbers of pages, slides and rows are the
    program's own and state nothing.
    """
    label = _label(run)
    if missing_values(claimed, facts(f"{span_text(run)}\n{run[0].lead}\n{label}")):
        return True
    there = named_currencies(_passage(run))
    if there and currencies(claimed) - there:
        return True
    return bool(missing_names(claimed, _passage(run)))


def lacks_currency(claimed: Facts, run: Sequence[Unit]) -> bool:
    """Whether the sentence names a currency and the passage none: the number may be of another."""
    return bool(currencies(claimed)) and not named_currencies(_passage(run))


def _passage(run: Sequence[Unit]) -> str:
    """The whole passage, and what it is called."""
    return f"{run[0].hit.text}\n{_label(run)}"


def _label(run: Sequence[Unit]) -> str:
    hit = run[0].hit
    return f"{hit.document}\n{_PLACE_NUMBERS.sub(' ', hit.place)}"


def denies(sentence: str, stems: frozenset[str], run: Sequence[Unit]) -> bool:
    """Whether one of sentence and run denies what the other says, or says its opposite."""
    text = span_text(run)
    return is_denied(sentence, stems, text) or has_opposite(sentence, text)


def telling_stems(sentence: str) -> frozenset[str]:
    """The content words that are not numbers: those are compared as facts."""
    return frozenset(s for s in content_stems(sentence) if not any(c.isdigit() for c in s))


def is_denied(sentence: str, stems: frozenset[str], evidence: str) -> bool:
    """Whether one of the two denies what the other affirms."""
    denials = [
        clause
        for clause in re.split(r"[;\n]|\bbut\b|(?<=[.!?])\s", evidence)
        if is_negative(clause)
    ]
    about_it = [clause for clause in denials if stems & set(content_stems(clause))]
    return bool(about_it) != is_negative(sentence)


def is_negative(text: str) -> bool:
    plain = _NOT_NEGATIONS.sub(" ", text.replace("’", "'"))
    return any(
        word in NEGATIONS or word in _REFUSING or word.endswith("n't") for word in words(plain)
    )


def has_opposite(sentence: str, evidence: str) -> bool:
    """Whether the sentence says 'maximum' where the evidence says only 'minimum', and the like."""
    said, there = set(words(sentence)), set(words(evidence))
    return any(
        (said & one and not there & one and there & other and not said & other)
        for pair in _OPPOSITES
        for one, other in (pair, pair[::-1])
    )
