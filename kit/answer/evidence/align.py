"""Two documents sentence by sentence: what is the same, what changed, what only one of them says.

Knows words, meanings and places, no language model. Invariants: every sentence of both documents is
in exactly one of the four groups, none is in two pairs; sentences with equal words are the same.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kit.answer.evidence.calibration import ALIGNED, MEANING_SHARE
from kit.answer.evidence.facts import facts
from kit.answer.evidence.passages import Unit, rarity, unseen_rarity
from kit.answer.evidence.words import words
from kit.errors import EmbedError
from kit.library.index.embed import Embedder

MAX_EMBEDDED = 600  # sentences of both that meanings are compared of; about 6 s on two idle cores
PIECE = 24  # sentences that are embedded at once
MAX_LOOKED_UP = 4  # words of a sentence, the rarest, that others are looked up by
MAX_SHOWN_WORDS = 8  # of a stretch that is named as a difference
SAME_HEADING = 0.1  # what a common heading adds
_NUMBERING = re.compile(
    r"^\s*(?:[-*•‣▪–—]|\(?(?:\d+(?:\.\d+)*|[a-zA-Z]|[ivx]+)[.)]|\d+(?:\.\d+)*)\s+"
)
_NUMERIC = re.compile(r"\d")
_STOPS, _BAR = ".,;:", " |"
_CURRENCY = re.compile(r"(?:[$€£¥R]|ZAR|USD|EUR|GBP|CHF)", re.I)


@dataclass(frozen=True)
class Pair:
    """Two sentences about the same thing."""

    old: Unit
    new: Unit

    @property
    def differs_in_facts(self) -> bool:
        """Whether a number, sum, date or name stands in one and not in the other."""
        old, new = facts(self.old.text), facts(self.new.text)
        return old.values != new.values or old.names != new.names


@dataclass(frozen=True)
class Alignment:
    """Pairs in the order of the second document, single sentences in that of their own."""

    same: tuple[Pair, ...]
    changed: tuple[Pair, ...]
    only_old: tuple[Unit, ...]
    only_new: tuple[Unit, ...]
    is_by_meaning: bool
    """Whether meanings were compared too, not words alone."""


def align(old: Sequence[Unit], new: Sequence[Unit], embedder: Embedder | None) -> Alignment:
    """The sentences of two documents, paired one to one where they speak of the same.

    Headings are left out: they state nothing, and count as the context of what stands under them.
    """
    old, new = _stating(old), _stating(new)
    same = _equal(old, new)
    rest_old = _without(old, [pair.old for pair in same])
    rest_new = _without(new, [pair.new for pair in same])
    cosines = _cosines(rest_old, rest_new, embedder)
    changed = _alike(rest_old, rest_new, cosines)
    place = {id(unit): i for i, unit in enumerate(new)}
    return Alignment(
        tuple(sorted(same, key=lambda pair: place[id(pair.new)])),
        tuple(sorted(changed, key=lambda pair: place[id(pair.new)])),
        tuple(_without(rest_old, [pair.old for pair in changed])),
        tuple(_without(rest_new, [pair.new for pair in changed])),
        cosines is not None,
    )


def _stating(units: Sequence[Unit]) -> list[Unit]:
    return [unit for unit in units if unit.stems and not unit.is_lead]


def _without(units: Sequence[Unit], taken: Sequence[Unit]) -> list[Unit]:
    gone = {id(unit) for unit in taken}
    return [unit for unit in units if id(unit) not in gone]


def _equal(old: Sequence[Unit], new: Sequence[Unit]) -> list[Pair]:
    """Pairs with the same words in the same order, whatever their numbering and line breaks."""
    waiting: defaultdict[tuple[str, ...], deque[Unit]] = defaultdict(deque)
    for unit in old:
        waiting[_key(unit)].append(unit)
    return [Pair(waiting[key].popleft(), unit) for unit in new if waiting.get(key := _key(unit))]


def _key(unit: Unit) -> tuple[str, ...]:
    return tuple(words(_NUMBERING.sub("", unit.text)))


def _cosines(
    old: Sequence[Unit], new: Sequence[Unit], embedder: Embedder | None
) -> np.ndarray | None:
    """float32, shape (len(old), len(new)); None where meanings cannot be compared."""
    if embedder is None or not old or not new or len(old) + len(new) > MAX_EMBEDDED:
        return None
    texts = [unit.with_context for unit in (*old, *new)]
    try:  # in pieces: whoever asks a question meanwhile is served between two of them
        rows = np.concatenate(
            [embedder.embed_passages(texts[i : i + PIECE]) for i in range(0, len(texts), PIECE)]
        )
    except EmbedError:
        return None
    return np.asarray(rows[: len(old)] @ rows[len(old) :].T)  # (num_old, num_new)


def _alike(old: Sequence[Unit], new: Sequence[Unit], cosines: np.ndarray | None) -> list[Pair]:
    """The best pairs first, each sentence once."""
    scored = sorted(
        ((score, -i, -j) for i, j, score in _scores(old, new, cosines) if score >= ALIGNED),
        reverse=True,
    )
    pairs: list[Pair] = []
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    for _, i, j in scored:
        if i not in taken_old and j not in taken_new:
            taken_old.add(i)
            taken_new.add(j)
            pairs.append(Pair(old[-i], new[-j]))
    return pairs


def _scores(
    old: Sequence[Unit], new: Sequence[Unit], cosines: np.ndarray | None
) -> Iterator[tuple[int, int, float]]:
    """(place in old, place in new, score from 0 to 1.1) of sentences that share rare words;
    of all where meanings are known."""
    weights, unseen = rarity([*old, *new]), unseen_rarity([*old, *new])
    mine, theirs = [_plain(unit) for unit in old], [_plain(unit) for unit in new]

    def weight(stems: frozenset[str]) -> float:
        return sum(max(0.0, weights.get(stem, unseen)) for stem in stems)

    postings: defaultdict[str, list[int]] = defaultdict(list)
    for j, stems in enumerate(theirs):
        for stem in stems:
            postings[stem].append(j)
    for i, stems in enumerate(mine):
        rarest = sorted(stems, key=lambda stem: (-weights.get(stem, unseen), stem))[:MAX_LOOKED_UP]
        near = {j for stem in rarest for j in postings[stem]}
        for j in near if cosines is None else range(len(new)):
            shared = weight(stems & theirs[j]) / (weight(stems | theirs[j]) or 1.0)
            if cosines is None:
                score = shared
            else:
                meaning = max(0.0, float(cosines[i, j]))
                score = (1 - MEANING_SHARE) * shared + MEANING_SHARE * meaning
            yield i, j, score + SAME_HEADING * _is_same_heading(old[i], new[j])


def _plain(unit: Unit) -> frozenset[str]:
    """Its words without numbers, which are what may have changed."""
    return frozenset(stem for stem in unit.stems if not _NUMERIC.search(stem))


def _is_same_heading(one: Unit, other: Unit) -> bool:
    mine, theirs = (_heading(unit) for unit in (one, other))
    return bool(mine) and mine == theirs


def _heading(unit: Unit) -> tuple[str, ...]:
    heading = unit.lead or unit.hit.place.rpartition(">")[2]
    return tuple(words(_NUMBERING.sub("", heading)))


def differences(old: str, new: str) -> list[tuple[str, str]]:
    """The stretches in which two texts differ, ('R1 500', 'R1 800'); '' where one has nothing."""
    mine, theirs = _tokens(old), _tokens(new)
    matcher = difflib.SequenceMatcher(None, _bare(mine), _bare(theirs), autojunk=False)
    return [
        (" ".join(mine[a:b]), " ".join(theirs[c:d]))
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def differing_facts(old: str, new: str) -> list[tuple[str, str]]:
    """Of the differences those with a number, or a name that only one text has; but for whole
    clauses: those are better read where they stand. Rows of tables differ in their cells, not in
    the names of their columns."""
    names = facts(old).names ^ facts(new).names
    return [
        (before.strip(_BAR).rstrip(_STOPS), after.strip(_BAR).rstrip(_STOPS))
        for before, after in differences(_cells(old), _cells(new))
        if (_is_telling(before, names) or _is_telling(after, names))
        and max(len(before.split()), len(after.split())) <= MAX_SHOWN_WORDS
    ]


def _is_telling(stretch: str, names: frozenset[str]) -> bool:
    """Whether a number or one of the names is in it; no sentence begins with it."""
    found = facts(f"x {stretch}")
    return bool(found.values or found.names & names)


def _cells(text: str) -> str:
    """A row as its parsers write it, 'Name: value | Name: value', without the names; other text
    as it is."""
    cells = text.split(" | ")
    if len(cells) > 1 and all(": " in cell for cell in cells):
        return " | ".join(cell.partition(": ")[2] for cell in cells)
    return text


def _tokens(text: str) -> list[str]:
    """Words; a sum of several, 'R1 500' or 'USD 95', is one."""
    tokens: list[str] = []
    for token in text.split():
        if tokens and _continues_sum(tokens[-1], token):
            tokens[-1] += f" {token}"
        else:
            tokens.append(token)
    return tokens


def _continues_sum(before: str, token: str) -> bool:
    if _CURRENCY.fullmatch(before):
        return token[0].isdigit()
    is_group = re.match(r"\d{3}(?!\d)", token) is not None
    return is_group and re.fullmatch(r"\D?\d{1,3}(?: \d{3})*", before) is not None


def _bare(tokens: Sequence[str]) -> list[str]:
    """As they are compared: without case and the stops around them."""
    return [token.strip(".,;:!?()[]\"'“”‘’").lower() or token for token in tokens]
