"""Hits cut into sentences that can be quoted, each with its words and the context it stands in.

Knows no question and no model. Invariant: `Unit.start` and `Unit.end` are offsets into the
document, and the text between them is `Unit.text`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.answer.sentences import split_sentences
from kit.answer.words import content_stems
from kit.library.documents import Hit

MAX_WINDOW = 3  # sentences that may support a statement together


@dataclass(frozen=True)
class Unit:
    """A sentence of a passage."""

    hit: Hit
    start: int
    end: int
    text: str
    before: str
    """The sentence before it in the passage, '' for the first."""
    stems: frozenset[str]
    context_stems: frozenset[str]
    """Of the document's name and the heading or place, which the reader sees beside the quote."""

    @property
    def with_context(self) -> str:
        """As it is embedded: its heading first, which often alone names the subject of a rule."""
        place = self.hit.place.strip()
        return f"{place}: {self.text}" if place and place not in self.text else self.text


def cut_passages(hits: Sequence[Hit]) -> list[Unit]:
    """The sentences of all hits, best passage first; one that two hits share comes once."""
    units: list[Unit] = []
    seen: set[tuple[str, int, int]] = set()
    for hit in hits:
        context = frozenset(content_stems(f"{_spaced(hit.document)} {hit.place}"))
        before = ""
        for start, end in split_sentences(hit.text):
            text = hit.text[start:end]
            key = (hit.document_id, hit.start + start, hit.start + end)
            if key not in seen:
                seen.add(key)
                stems = frozenset(content_stems(text))
                units.append(Unit(hit, key[1], key[2], text, before, stems, context))
            before = text
    return units


def windows(units: Sequence[Unit]) -> Iterable[tuple[Unit, ...]]:
    """Every run of one to three neighbouring sentences of one passage."""
    for i, first in enumerate(units):
        for j in range(i + 1, min(i + MAX_WINDOW, len(units)) + 1):
            if units[j - 1].hit.chunk_id != first.hit.chunk_id:
                break
            yield tuple(units[i:j])


def span_text(run: Sequence[Unit]) -> str:
    """The exact text of the passage from the first to the last of these sentences."""
    hit = run[0].hit
    return hit.text[run[0].start - hit.start : run[-1].end - hit.start]


def rarity(units: Sequence[Unit]) -> dict[str, float]:
    """How much a word tells among these sentences: log((n + 1) / (df + 0.5)).

    Counted only in what was retrieved for this reader, so no other document weighs in.
    """
    counts = Counter(stem for unit in units for stem in unit.stems)
    return {stem: math.log((len(units) + 1) / (df + 0.5)) for stem, df in counts.items()}


def unseen_rarity(units: Sequence[Unit]) -> float:
    """The weight of a word that none of these sentences has."""
    return math.log((len(units) + 1) / 0.5)


def _spaced(name: str) -> str:
    """A file name as words: 'travel_policy-2024.pdf' -> 'travel policy 2024'."""
    stem, dot, suffix = name.rpartition(".")
    name = stem if dot and len(suffix) <= 5 else name
    return name.replace("_", " ").replace("-", " ").replace("/", " ")
