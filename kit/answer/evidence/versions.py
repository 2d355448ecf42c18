"""Whether two sentences are two versions of one rule: about the same thing, with another value.

Knows no model. Invariant: sentences that name different things, or do not both name what the
question names, are not versions of each other, however much of their form they share.
"""

from __future__ import annotations

import re

from kit.answer.evidence.calibration import MIN_ALIKE
from kit.answer.evidence.facts import facts, missing_values
from kit.answer.evidence.passages import Unit, label, without_columns
from kit.answer.evidence.questions import Kind, Question, gives_kind, measures
from kit.answer.evidence.words import content_stems

# What a value of each kind looks like; of another kind only sums and shares are compared.
_VALUES: dict[Kind, str] = {
    "time": r"(?:date|month|day|time|ord):.*|num:(?:1\d|20)\d\d",
    "money": r"(?:num|cur):.*",
    "number": r"(?:num|pct):.*",
    "phone": r"(?:num|id):.*",
    "email": r"id:.*",
    "link": r"id:.*",
}


def is_other_version(asked: Question, chosen: Unit, other: Unit) -> bool:
    """Whether `other`, of another document, answers as `chosen` does but with another value."""
    if other.hit.document_id == chosen.hit.document_id or other.is_lead:
        return False
    mine, theirs = (_values(asked, unit.text) for unit in (chosen, other))
    if not mine or not theirs or mine <= theirs or theirs <= mine:
        return False
    return (
        gives_kind(asked, other.text)
        and alike(chosen, other) >= MIN_ALIKE
        and _named(asked, chosen)
        and _named(asked, other)
        and _names_alike(chosen, other)
        and _asked_alike(asked, chosen, other)
    )


def alike(one: Unit, other: Unit) -> float:
    """The share of their words, numbers aside, that two sentences have in common."""
    mine, theirs = _plain_stems(one), _plain_stems(other)
    return len(mine & theirs) / (len(mine | theirs) or 1)


def _values(asked: Question, text: str) -> frozenset[str]:
    """What the question asks for, of what the sentence states and the question does not."""
    found = facts(text)
    if asked.kind not in _VALUES:
        has_value = any(value.startswith(("cur:", "pct:")) for value in found.values)
        return found.values - asked.facts.values if has_value else frozenset()
    counted = measures(text)  # '30 days' tells a time and no sum
    pattern = re.compile(_VALUES[asked.kind])
    of_kind = {value for value in found.values if pattern.fullmatch(value)}
    of_kind |= counted if asked.kind == "time" else set()
    of_kind -= counted if asked.kind == "money" else set()
    return frozenset(of_kind - asked.facts.values)


def _named(asked: Question, unit: Unit) -> bool:
    """Whether the sentence, its heading or its document has the question's names and numbers.

    Of a follow-up that asks about something else its own: 'South Africa', 'And in Europe?'.
    """
    named = facts(asked.text.strip().rpartition("\n")[2]) if asked.own else asked.facts
    beside = f"{unit.text}\n{unit.lead}\n{label(unit.hit)}"
    there = frozenset(content_stems(beside))
    return not missing_values(named, facts(beside)) and named.names <= there


def _names_alike(one: Unit, other: Unit) -> bool:
    """Whether neither names what the other does not say; the letter of a row is no name, nor are
    the names of its columns."""
    return all(
        {s for s in said.names | said.openers if s in a.stems and len(s) > 1} <= b.stems
        for a, b in ((one, other), (other, one))
        for said in (facts(without_columns(a.text)),)
    )


def _asked_alike(asked: Question, one: Unit, other: Unit) -> bool:
    """Whether what the question asks about and one says, heading included, the other says too.

    Of a follow-up that asks about something else only that: it leaves the rest unsaid.
    """
    stems = asked.own or set(asked.stems) - asked.asking
    about = {s for s in stems if not any(c.isdigit() for c in s)}
    mine, theirs = (about & (unit.stems | unit.context_stems) for unit in (one, other))
    return mine == theirs


def _plain_stems(unit: Unit) -> frozenset[str]:
    return frozenset(s for s in unit.stems if not any(c.isdigit() for c in s))
