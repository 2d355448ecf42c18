"""Which side of a limit a text speaks of: 'above R5,000' or 'up to R5,000', 'with' or 'without'.

Knows English words for limits; of other languages it claims nothing. Invariant: a sentence is on
the other side only if it names a limit itself, in the unit that the question names, and nothing of
what the question asks about lies within it.
"""

# ruff: noqa: E501 - patterns read better on one line
from __future__ import annotations

import math
import re
from dataclasses import dataclass

from kit.answer.evidence.facts import MONEY_SIGN, SPOKEN_NUMBER, facts
from kit.answer.evidence.questions import Question
from kit.answer.evidence.words import STOP_WORDS, stem

_QUANTITY = re.compile(
    rf"(?P<money>{MONEY_SIGN}[ \u00a0]?)?"
    rf"(?P<number>(?<![\w.,])\d[\d,.'’ \u00a0]*(?<=\d)(?!\d)|(?<=[A-Z$€£¥])\d[\d,.'’ \u00a0]*(?<=\d)"
    rf"|\b{SPOKEN_NUMBER}(?:[ -](?:and )?{SPOKEN_NUMBER})*)"
    r"(?P<scale>[ \u00a0]?(?:hundred|thousand|million|billion|bn|mn|m|k)\b)?"
    r"(?: (?:or|and) (?:(?P<more>more|over|above|longer|older)|(?P<less>less|fewer|under|below|shorter)))?"
    r"(?P<rest>[ \u00a0-]?(?:working |calendar |business |full |whole |square |further )?"
    r"(?:%|[A-Za-z]+))?",
)
_OVER = re.compile(
    r"(?<!not )(?<!no )\b(?:above|over|beyond|exceed(?:s|ed|ing)?|(?:more|greater|larger|longer|higher"
    r"|older|later|bigger|further|costlier) than)\s+(?:the )?(?:sum of )?$",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"\b(?:at least|not less than|no less than|no fewer than|not fewer than|a minimum of)\s+$",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"(?<!not )(?<!no )\b(?:below|under|(?:less|fewer|smaller|shorter|lower|younger|earlier) than)"
    r"\s+(?:the )?(?:sum of )?$",
    re.IGNORECASE,
)
_UP_TO = re.compile(
    r"\b(?:up to|at most|within|at the most|not exceeding|a maximum of|not exceed"
    r"|(?:not|no) (?:above|over|beyond|(?:more|greater|larger|longer|higher|older|later) than))"
    r"\s+(?:the )?(?:sum of )?$",
    re.IGNORECASE,
)
_OR_MORE = re.compile(
    r"^ (?:(?:or|and) (?:more|above|over|longer|older)|at least)\b", re.IGNORECASE
)
_OR_LESS = re.compile(
    r"^ (?:(?:or|and) (?:less|fewer|below|under|shorter|younger)|at (?:the )?most)\b", re.IGNORECASE
)
_TO = re.compile(
    r"^\W{0,2}(?:(?:and|but) )?(?:up to|(?:but )?not (?:more than|above|over))\W+\S*$",
    re.IGNORECASE,
)
_BEFORE_CHARS = 32
_ASKS_WHICH = re.compile(r"\b(?:who|whom|whose|which|what|where|when|how|why)\b", re.IGNORECASE)
_TIMES = frozenset(
    stem(word)
    for word in "second minute hour day week month year night".split()  # noqa: SIM905
)
_WITH = r"\b{0}\s+(?:an?\s+|any\s+|the\s+)?(?P<of>[\w-]+)"
_WITHOUT = re.compile(_WITH.format("without"), re.IGNORECASE)
_HAVING = re.compile(_WITH.format("with"), re.IGNORECASE)
_NONE = re.compile(r"\b(?:without|no|not|neither)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Range:
    """What a text says of one quantity: the values it speaks of, ends included if closed."""

    unit: str
    """A currency, 'pct', or the stem of the thing that is counted."""
    low: float
    high: float
    is_limit: bool
    """Whether the text sets a limit; else it names one value."""
    is_open: bool = False
    """Whether the limit itself is outside: 'above' and 'below'; of two limits, the lower one."""

    def meets(self, other: Range) -> bool:
        """Whether a value lies in both."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return low < high or (low == high and not self._leaves_out(low, other))

    def _leaves_out(self, value: float, other: Range) -> bool:
        return any(
            one.is_open and value == (one.low if math.isfinite(one.low) else one.high)
            for one in (self, other)
        )


def is_other_side(asked: Question, text: str) -> bool:
    """Whether the sentence answers for what the question just does not ask about.

    Of a question that can be answered by yes or no it is never said: there the limit answers.
    """
    question = asked.text.strip().rpartition("\n")[2]
    if not _ASKS_WHICH.search(question):
        return False
    return _beyond_limits(asked, question, text) or _with_for_without(question, text)


def ranges(text: str) -> list[Range]:
    """Every quantity with a unit that the text names, with its limits where it has them."""
    found: list[Range] = []
    last_end = 0
    for match in _QUANTITY.finditer(text):
        if (read := _read(match)) is None:
            continue
        unit, value, end = read
        one = _with_limit(match, unit, value, text[end:])
        last = found[-1] if found else None
        is_rest = last is not None and last.unit == unit and last.high == math.inf
        if last and is_rest and one.low == -math.inf and _TO.match(text[last_end : match.start()]):
            found[-1] = Range(unit, last.low, value, True, last.is_open)  # above R5 and up to R9
        else:
            found.append(one)
        last_end = end
    return found


def _with_limit(match: re.Match[str], unit: str, value: float, after: str) -> Range:
    before = match.string[max(0, match.start() - _BEFORE_CHARS) : match.start()]
    if match["less"] or _UP_TO.search(before) or _OR_LESS.search(after):
        return Range(unit, -math.inf, value, True)
    if _BELOW.search(before):
        return Range(unit, -math.inf, value, True, is_open=True)
    if match["more"] or _FROM.search(before) or _OR_MORE.search(after):
        return Range(unit, value, math.inf, True)
    if _OVER.search(before):
        return Range(unit, value, math.inf, True, is_open=True)
    return Range(unit, value, value, False)


def _read(match: re.Match[str]) -> tuple[str, float, int] | None:
    """(unit, value, where the quantity ends); None without a unit or with two possible values."""
    rest, end = match["rest"] or "", match.end()
    written = (match["money"] or "") + match["number"] + (match["scale"] or "")
    numbers = {float(v[4:]) for v in facts(written).values if v.startswith("num:")}
    if len(numbers) != 1:
        return None
    value, found = numbers.pop(), facts(written + rest).values
    currency = [v[4:] for v in found if v.startswith("cur:")]
    if currency:
        return currency[0], value, end - len(rest) if match["money"] else end
    if any(v.startswith("pct:") for v in found):
        return "pct", value, end
    word = rest.strip(" \u00a0-").rpartition(" ")[2].lower()
    is_thing = word.isalpha() and word not in STOP_WORDS
    return (stem(word), value, end) if is_thing else None


def _beyond_limits(asked: Question, question: str, text: str) -> bool:
    stated = list(ranges(text))
    for wanted in ranges(question):
        if not wanted.is_limit and asked.kind in ("money", "number", "time"):
            continue  # 'how much of R60,000': the limit may be the answer
        if asked.kind == ("time" if wanted.unit in _TIMES else "money"):
            continue
        same = [one for one in stated if one.unit == wanted.unit]
        if any(one.is_limit for one in same) and not any(one.meets(wanted) for one in same):
            return True
    return False


def _with_for_without(question: str, text: str) -> bool:
    for one, other in ((_WITHOUT, _HAVING), (_HAVING, _WITHOUT)):
        asked_of = {stem(match["of"].lower()) for match in one.finditer(question)}
        said_of = {stem(match["of"].lower()) for match in other.finditer(text)}
        if one is _HAVING:
            said_of -= {stem(match["of"].lower()) for match in _HAVING.finditer(text)}
        elif _NONE.search(text):
            continue
        if asked_of & said_of:
            return True
    return False
