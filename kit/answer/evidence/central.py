"""The most central sentences of a text, word for word: a summary that needs no model.

Knows no question. Invariant: what is chosen are sentences of the text itself, in its order.
Source: SumBasic (Vanderwende, Suzuki, Brockett and Nenkova, Information Processing & Management
43, 2007): a sentence is as central as its words are frequent, and a word that was said counts less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kit.answer.evidence.passages import Unit

MIN_STEMS = 4
MAX_CHARS = 400
SAID = 0.1  # of a word's weight once a chosen sentence has it


def central_sentences(units: Sequence[Unit], limit: int) -> list[Unit]:
    """At most `limit` units, in their order; whole sentences if there are any."""
    able = [unit for unit in units if _stands_alone(unit)]
    able = able or [unit for unit in units if not unit.is_lead] or list(units)
    chosen = most_central([unit.stems for unit in able], limit)
    return [able[i] for i in chosen]


def most_central(texts: Sequence[frozenset[str]], limit: int) -> list[int]:
    """The places, in order, of at most `limit` texts, given as the stems of each."""
    weights: dict[str, float] = dict(Counter(stem for text in texts for stem in text))
    rest, chosen = list(range(len(texts))), list[int]()
    while rest and len(chosen) < limit:
        best = max(rest, key=lambda i: (_weight(texts[i], weights), -i))
        rest.remove(best)
        chosen.append(best)
        for stem in texts[best]:
            weights[stem] *= SAID
    return sorted(chosen)


def _weight(text: frozenset[str], weights: dict[str, float]) -> float:
    """The mean weight of its words; short texts count as longer ones, which a mean would not."""
    return sum(weights[stem] for stem in text) / max(len(text), MIN_STEMS)


def _stands_alone(unit: Unit) -> bool:
    """Whether a reader understands it without what stands around it."""
    is_sentence = unit.text.rstrip("\"'”’»)]").endswith((".", "!", "。", "！"))
    is_row = "|" in unit.text or "\t" in unit.text or len(unit.text.split("\n")) > 6
    fits = len(unit.stems) >= MIN_STEMS and len(unit.text) <= MAX_CHARS
    return is_sentence and fits and not (is_row or unit.is_lead or unit.points_back)
