"""Hits cut into sentences that can be quoted, each with its words and the context it stands in.

Knows no question and no model. Invariant: `Unit.start` and `Unit.end` are offsets into the
document, and the text between them is `Unit.text`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.answer.evidence.sentences import split_sentences
from kit.answer.evidence.words import UNSPACED, content_stems, words
from kit.library.dates import day_words, name_day
from kit.library.documents import Hit

MAX_WINDOW = 3  # sentences that may support a statement together
MAX_LEAD_WORDS = 8
MAX_LEAD_CHARS = 13  # in a script without spaces
_CAPTION = re.compile(
    r"(?:table|figure|fig\.?|chart|box|tabelle|abbildung|tabla|tableau)"
    r" ?[a-z]?\d+(?:[.-]\d+)*(?:[.:]| [–—-]) \S"
    r"|[表图圖] ?\d+(?:[.-]\d+)*[.:： ]",
    re.IGNORECASE,
)
_POINTERS = frozenset({"it", "they", "this", "these", "that", "those", "he", "she", "its", "their"})
_WHOLE = re.compile(
    r"[.!。！…][\"'”’»)\]]*$|[^:;|]{1,60}:\s[^;|]*[;|]\s*[^:;|]{1,60}:\s|^[^:]{1,60}:\s"
)
_COLUMN = re.compile(r"(?:^|(?<=[;|]\s))[^:;|]{1,60}:\s")
_NUMBERING = re.compile(r"^\s*(?:[-*•‣▪–—]|\(?(?:\d+(?:\.\d+)*|[a-zA-Z]|[ivx]+)[.)]?)\s+")


@dataclass(frozen=True)
class Unit:
    """A sentence of a passage."""

    hit: Hit
    start: int
    end: int
    text: str
    before: str
    """The sentence before it in the passage, '' for the first."""
    lead: str
    """The heading or question that it stands under within the passage, '' if none."""
    stems: frozenset[str]
    context_stems: frozenset[str]
    """Of its lead, its document's name and place: what a reader sees beside the sentence."""

    @property
    def with_context(self) -> str:
        """As it is embedded: after the heading or sentence that names its subject."""
        if self.points_back:
            return f"{self.before} {self.text}"
        context = self.lead or self.hit.place.split(">")[-1].strip()
        return f"{context}: {self.text}" if context and context not in self.text else self.text

    @property
    def points_back(self) -> bool:
        """Whether it begins with 'It', 'They' and the like, and something stands before it."""
        return points_back(self.text) and bool(self.before)

    @property
    def is_lead(self) -> bool:
        """A heading, a title or a question: it announces something and states nothing."""
        return is_lead(self.text) or self.text in self.hit.place

    @property
    def is_whole(self) -> bool:
        """A sentence with its stop, or a row that names its columns."""
        return bool(_WHOLE.search(self.text))


def without_columns(text: str) -> str:
    """A row without the names of its columns; other text as it is."""
    bare, num_columns = _COLUMN.subn("", text)
    return bare if num_columns > 1 else text


def cut_passages(hits: Sequence[Hit]) -> list[Unit]:
    """The sentences of all hits, best passage first; one that two hits share comes once."""
    units: list[Unit] = []
    seen: set[tuple[str, int, int]] = set()
    for hit in hits:
        beside = frozenset(content_stems(label(hit)))
        before, lead = "", ""
        for start, end in split_sentences(hit.text):
            text = hit.text[start:end]
            key = (hit.document_id, hit.start + start, hit.start + end)
            if key not in seen:
                seen.add(key)
                antecedent = before if points_back(text) else ""
                context = beside | frozenset(content_stems(f"{lead} {antecedent}"))
                stems = frozenset(content_stems(text))
                units.append(Unit(hit, key[1], key[2], text, before, lead, stems, context))
            before = text
            lead = (
                text if is_lead(text) and not _CAPTION.match(text) else lead
            )  # it may close a table
    return units


def points_back(text: str) -> bool:
    return next(iter(words(text)), "") in _POINTERS


def is_lead(text: str) -> bool:
    """Whether a sentence is a question, the caption of a table or figure, or a short line.

    Such a line has no stop, colon pair or number.
    """
    if text.endswith(("?", "？")) or text.startswith("#") or _CAPTION.match(text):
        return True
    body = _NUMBERING.sub("", text)
    is_plain = not re.search(r"[.!;。！；|]$|:\s|\d", body)
    is_short = len(body.split()) <= MAX_LEAD_WORDS
    is_short = is_short and len(re.findall(f"[{UNSPACED}]", body)) <= MAX_LEAD_CHARS
    return is_plain and is_short and "\n" not in body.strip()


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


def label(hit: Hit) -> str:
    """What a reader sees beside a passage: its document's name as words, its date, its place."""
    named = name_day(hit.document)
    day = hit.dated.day if hit.dated and not named else named
    parts = (_spaced(hit.document), day_words(day) if day else "", hit.place)
    return " ".join(filter(None, parts))


def _spaced(name: str) -> str:
    """A file name as words: 'travel_policy-2024.pdf' -> 'travel policy 2024'."""
    stem, dot, suffix = name.rpartition(".")
    name = stem if dot and len(suffix) <= 5 else name
    return name.replace("_", " ").replace("-", " ").replace("/", " ")
