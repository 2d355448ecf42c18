"""Which of two versions is quoted: the one of the time that the question names, else the newer.

Knows names and dates of documents, nothing of what they say; that two passages are versions of one
rule is decided elsewhere (kit.answer.evidence.versions). Invariant: where nothing tells which is
newer, neither takes the other's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from kit.answer.evidence.facts import MONEY_SIGN
from kit.answer.evidence.passages import Unit
from kit.library.dates import is_later, name_day, name_days, text_days
from kit.library.documents import Hit

Ground = Literal["asked", "in force", "name", "date"]
"""What decided: the question names that document's time; of two dated before and after the time it
names the earlier was in force; the dates in the names; the dates that the files say of themselves.
"""

_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_SUM = re.compile(rf"{MONEY_SIGN}\s?\d[\d ,.]*", re.IGNORECASE)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DAY = rf"(?:(?:\d\d?(?:st|nd|rd|th)? )?{_MONTH} )?(?:19|20)\d\d(?:-\d\d){{0,2}}(?!\d)"
_TIME = re.compile(rf"(?<![\w-])(?:(?:in|on|of|from|for|during) )?(?:the year )?{_DAY}", re.I)
_IN_FORCE = re.compile(
    r"\b(?:(?:that|which) (?:was|were|is|are) )?(?:in force|in effect|valid|effective|applicable)"
    rf" (?:in|on|during|from|for|by|at) (?:the (?:year|end of) )?{_DAY}",
    re.IGNORECASE,
)
_REASONS: dict[Ground, str] = {
    "asked": "it is of the time that the question names",
    "in force": "of the two it was in force at the time that the question names, by their dates",
    "name": "it is newer, by the dates in their names",
    "date": "it is newer, by what the files say of themselves; such dates can be wrong",
}
_UNDECIDED = "{one} and {other} disagree, and no date tells which of them is newer."
_DECIDED = "{one} is quoted before {other}: {reason}."


def asked_days(question: str) -> frozenset[str]:
    """The years, months and days that the question names; a follow-up's own before those of the
    question that it follows."""
    text = _SUM.sub(" ", question.strip())
    return text_days(text.rpartition("\n")[2]) or text_days(text)


def without_time(question: str) -> str:
    """The question without a time that chooses among documents and stands in none: 'in force in
    2024'; and without that of the question before it, if a follow-up names another."""
    before, line, last = question.strip().rpartition("\n")
    if before and text_days(_SUM.sub(" ", last)):
        before = _TIME.sub("", before)
    return _IN_FORCE.sub("", f"{before}{line}{last}")


def is_named(hit: Hit, days: Iterable[str]) -> bool:
    """Whether the document's name carries one of these days, as far as both are known."""
    return _share(name_days(hit.document), days)


def is_of(hit: Hit, days: Iterable[str]) -> bool:
    """Whether the document is of one of these days, by its name or else by itself."""
    own = {hit.dated.day} if hit.dated and not name_day(hit.document) else set()
    return _share(name_days(hit.document) | own, days)


def says_day(unit: Unit, days: Iterable[str]) -> bool:
    """Whether the sentence, its heading or its document is of one of these days."""
    said = text_days(f"{unit.text}\n{unit.lead}\n{unit.hit.place}")
    return _share(said, days) or is_of(unit.hit, days)


def is_of_series(unit: Unit, other: Unit) -> bool:
    """Whether their documents differ only by the year in their names: 'policy-2025.pdf',
    'policy-2023.pdf'. A document without a year in its name is of no series."""
    mine, theirs = (_YEAR.sub("#", one.hit.document).lower() for one in (unit, other))
    return mine == theirs and "#" in mine


def precedes(days: frozenset[str], one: Hit, other: Hit) -> Ground | None:
    """Why the first is quoted and the second is not; None if nothing says so.

    `days` are those that the question names.
    """
    if days:
        mine, theirs = (is_of(hit, days) for hit in (one, other))
        if mine != theirs:
            return "asked" if mine else None
        ends = _day_of(one), _day_of(other)
        if all(ends) and not mine:
            later = [is_later(day, max(days)) for day in ends]
            if later[0] != later[1]:
                return "in force" if later[1] else None
    return _newer(one, other)


def _newer(one: Hit, other: Hit) -> Ground | None:
    """By the dates in both names; else by what is known of both; else the one that has a date in
    its name before one of unknown age.

    A message is no newer version of a document, nor the reverse: it only speaks of it.
    """
    mine, theirs = name_day(one.document), name_day(other.document)
    if mine and theirs and is_later(mine, theirs):
        return "name"
    if mine and theirs and is_later(theirs, mine):
        return None
    if _are_comparable(one, other):
        return "date" if is_later(_day_of(one), _day_of(other)) else None
    return "name" if mine and not theirs else None


def _are_comparable(one: Hit, other: Hit) -> bool:
    kinds = [hit.dated is not None and hit.dated.by == "sent" for hit in (one, other)]
    return bool(_day_of(one) and _day_of(other)) and kinds[0] == kinds[1]


def _day_of(hit: Hit) -> str:
    return hit.dated.day if hit.dated else name_day(hit.document)


def _share(known: Iterable[str], days: Iterable[str]) -> bool:
    return any(one.startswith(day) or day.startswith(one) for one in known for day in days)


def explain(ground: Ground | None, quoted: Hit, other: Hit) -> str:
    """Both versions with their dates, and what decided between them."""
    one, two = _named_with_date(quoted), _named_with_date(other)
    if ground is None:
        return _UNDECIDED.format(one=one, other=two)
    return _DECIDED.format(one=one, other=two, reason=_REASONS[ground])


def _named_with_date(hit: Hit) -> str:
    return f"{hit.document} ({hit.dated.words if hit.dated else 'no date known'})"
