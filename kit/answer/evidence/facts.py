"""The checkable facts of a text: numbers, sums, dates, times, names; each in one normal form.

Knows nothing of passages or models. Invariant: two ways of writing one fact ('R1 500', '1,500';
'12 March', '2025-03-12') give equal values, and a fact that `missing_facts` does not return is there.
"""

# ruff: noqa: E501, SIM905 - patterns read better on one line
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from kit.answer.evidence.words import STOP_WORDS, stem, words

_MONTH_NAMES = (
    "january february march april may june july august september october november december".split()
)
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, start=1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: n for n, word in enumerate(_SMALL)}
_NUMBER_WORDS |= {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_SCALE_SIGNS = {"k": 1_000, "m": 1_000_000, "mn": 1_000_000, "bn": 1_000_000_000}
_ORDINALS = {
    word: n
    for n, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth".split(), start=1
    )
}
_CURRENCIES = {"r": "zar", "zar": "zar", "rand": "zar", "rands": "zar"}
_CURRENCIES |= {"$": "usd", "usd": "usd", "dollar": "usd", "dollars": "usd"}
_CURRENCIES |= {"€": "eur", "eur": "eur", "euro": "eur", "euros": "eur"}
_CURRENCIES |= {"£": "gbp", "gbp": "gbp", "pound": "gbp", "pounds": "gbp"}
_CURRENCIES |= {"¥": "jpy", "jpy": "jpy", "yen": "jpy", "chf": "chf"}

MONEY_SIGN = r"(?:[$€£¥]|\b(?:R|ZAR|USD|EUR|GBP|CHF))"
"""A currency as it stands before its sum."""

# A currency beside no number, as the name of a column has it: "Rate (R)", "in rand".
_NAMED_CURRENCY = re.compile(
    r"[$€£¥]|(?<=\()R(?=\))|\b(?:(?i:rands?|dollars?|euros?|pounds?|yen)|ZAR|USD|EUR|GBP|JPY|CHF)\b"
)
SPOKEN_NUMBER = rf"(?:{'|'.join([*_SMALL[1:], *_TENS, *_SCALES])})\b"
"""A word that is a number or a part of one, zero aside."""

# Words that open a sentence with a capital and name nothing.
OPENERS = frozenset(
    """
    additionally afterwards again although another anyone approximately based because below besides
    consequently currently depending due during either every everyone except finally following
    furthermore generally given hence however importantly including indeed instead last lastly later
    meanwhile moreover nevertheless next nonetheless normally note often otherwise overall people perhaps
    please previously regarding second secondly sometimes specifically still subsequently
    sure therefore third thus today two typically unfortunately unless unlike usually whenever
    whereas whether yet answer question sentence
    document documents passage passages text information source sources staff person
    """.split()
)

_MONTH = r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_NUMBER = r"[1-9]\d{0,2}(?:[,'’ \u00a0\u2009\u202f]\d{3})+(?:\.\d+)?(?![\d])|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?(?!\d)|\d+(?:[.,]\d+)?"
_PATTERNS = (
    ("iso", re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")),
    ("slashed", re.compile(r"(?<![\d/])(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?![\d/])")),
    ("chinese", re.compile(r"(?:(\d{4})年)?(\d{1,2})月(\d{1,2})[日号]")),
    (
        "day_month",
        re.compile(
            rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH.format('m')}(?![a-z])(?:,? (\d{{4}}))?",
            re.I,
        ),
    ),
    (
        "month_day",
        re.compile(
            rf"(?<![a-z]){_MONTH.format('m')} (\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?!:)(?:,? (\d{{4}}))?",
            re.I,
        ),
    ),
    ("month_year", re.compile(rf"(?<![a-z]){_MONTH.format('m')},? (\d{{4}})(?!\d)", re.I)),
    (
        "clock",
        re.compile(r"(?<!\d)(\d{1,2})(?:[:h.]([0-5]\d))? ?([ap])\.?m\b\.?|(?<!\d)(\d{1,2})[:h]([0-5]\d)(?!\d)", re.I),
    ),
    ("identifier", re.compile(r"(?<![\w@])(?:(?=[\w/.-]*[A-Za-z])(?=[\w/.-]*\d)(?![R$]?\d+(?:st|nd|rd|th|k|m|mn|bn|s|%)?\b)[A-Za-z0-9]+(?:[-/._][A-Za-z0-9]+)*|\d+(?:\.\d+){2,})(?![\w])|[\w.+-]+@[\w.-]+\w|https?://\S+")),
    ("ordinal", re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th)\b", re.I)),
    (
        "number",
        re.compile(
            rf"(?P<cur>[$€£¥]|(?<![A-Za-z])(?:R|ZAR|USD|EUR|GBP|CHF)(?=[ \u00a0]?\d))?[ \u00a0]?(?<![\d.,])(?P<num>{_NUMBER})"
            r"(?:[ \u00a0-]?(?P<scale>k|mn|m|bn|hundred|thousand|million|billion)\b)?"
            r"(?:[ \u00a0]?(?P<pct>%|per ?cent\b))?(?:[ \u00a0](?P<after>rands?|ZAR|dollars?|USD|euros?|EUR|pounds?|GBP|yen|CHF)\b)?",
            re.I,
        ),
    ),
)  # fmt: skip
_WORD_NUMBER = re.compile(
    r"\b(?:(?:" + "|".join([*_SMALL, *_TENS, *_SCALES, "and"]) + r")(?:[ -]|\b))+", re.I
)
_ORDINAL_WORD = re.compile(r"\b(" + "|".join(_ORDINALS) + r")\b(?!,)", re.I)
_WEEKDAY = re.compile(r"\b(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b", re.I)
_BARE_MONTH = re.compile(
    r"\b(January|February|March|April|June|July|August|September|October|November|December)\b"
    r"|(?<=\b(?:in|of|by|to) )(May)\b|(?<=\b(?:until|after|since|early|every) )(May)\b|(?<=\b(?:before|during) )(May)\b"
)
_TOKEN = re.compile(r"[^\W\d_][\w'’]*(?:-[^\W\d_][\w'’]*)*")
_STARTS = re.compile(
    r"(?:^|[.!?:;]\s+|[\n•–—]\s*|[\"“‘(\[]\s*|^\s*(?:[-*]|\(?[\d\x00]+(?:\.\d+)*[.)]?)\s+)$"
)


@dataclass(frozen=True)
class Facts:
    """What a text states. `claims` holds, per fact, the values any of which would be it."""

    claims: tuple[frozenset[str], ...]
    values: frozenset[str]
    """Every value that the text lets one say, the parts of its dates included."""
    names: frozenset[str]
    """Stems of the words written as names in the middle of a sentence, acronyms, identifiers."""
    openers: frozenset[str]
    """Stems of the words with a capital that a sentence begins with: names or not."""


@lru_cache(maxsize=256)
def facts(text: str) -> Facts:
    """The facts of `text`."""
    claims: list[frozenset[str]] = []
    implied: set[str] = set()
    rest = text
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(rest):
            claim, more = _READ[kind](match)
            claims += claim
            implied |= more
        rest = pattern.sub(lambda found: "\x00" * len(found.group()), rest)
    for match in _WORD_NUMBER.finditer(rest):
        number = _spoken(match.group())
        if number is not None:
            implied |= {f"num:{number}", f"sum:{number}"}
            claims += [frozenset({f"num:{number}"})] if number > 1 else []
    claims += [
        frozenset({f"ord:{_ORDINALS[m.group().lower()]}"}) for m in _ORDINAL_WORD.finditer(rest)
    ]
    claims += [
        frozenset({f"day:{[d[:3] for d in _DAYS].index(m.group()[:3].lower())}"})
        for m in _WEEKDAY.finditer(rest)
    ]
    claims += [
        frozenset({f"month:{_MONTHS[m.group().lower()]}"}) for m in _BARE_MONTH.finditer(rest)
    ]
    names, openers = _names(rest)
    values = frozenset(implied.union(*claims)) if claims else frozenset(implied)
    return Facts(tuple(dict.fromkeys(claims)), values, names, openers)


def missing_values(claimed: Facts, evidence: Facts) -> list[frozenset[str]]:
    """The numbers, sums, dates and times of `claimed` that `evidence` does not state.

    A currency is not missing where the evidence names none: a table's stands in its heading.
    """
    unsaid = frozenset() if currencies(evidence) else currencies(claimed)
    return [
        claim for claim in claimed.claims if not claim & evidence.values and not claim <= unsaid
    ]


def currencies(stated: Facts) -> frozenset[str]:
    """The currencies that are named."""
    return frozenset(value for value in stated.values if value.startswith("cur:"))


@lru_cache(maxsize=256)  # of one passage it is asked for each of its sentences
def named_currencies(text: str) -> frozenset[str]:
    """The currencies that a text names, beside a number or alone, as the name of a column does."""
    alone = {f"cur:{_CURRENCIES[m.group().lower()]}" for m in _NAMED_CURRENCY.finditer(text)}
    return currencies(facts(text)) | alone


def missing_names(
    claimed: Facts, evidence_text: str, known: frozenset[str] = frozenset()
) -> set[str]:
    """The names of `claimed` that occur nowhere in `evidence_text`.

    A sentence's first word counts as a name unless it is a common opener or a word of `known`.
    """
    there = {stem(word) for word in words(evidence_text)} | _initials(evidence_text)
    return set((claimed.names - there) | (claimed.openers - there - known))


def _read_iso(match: re.Match[str]) -> _Read:
    year, month, day = (int(part) for part in match.groups())
    return _date(day, month, year)


def _read_slashed(match: re.Match[str]) -> _Read:
    """Either order of day and month, where both could be."""
    first, second, year = (int(part) for part in match.groups())
    orders = {(first, second), (second, first)}
    days = frozenset(f"date:{month}-{day}" for day, month in orders if month <= 12 and day <= 31)
    return [days or frozenset({"date:?"}), frozenset({f"num:{year}"})], set()


def _read_chinese(match: re.Match[str]) -> _Read:
    year, month, day = match.groups()
    return _date(int(day), int(month), int(year) if year else None)


def _read_day_month(match: re.Match[str]) -> _Read:
    day, month, year = match.group(1), match.group("m"), match.group(3)
    return _date(int(day), _MONTHS[month.lower()], int(year) if year else None)


def _read_month_day(match: re.Match[str]) -> _Read:
    month, day, year = match.group("m"), match.group(2), match.group(3)
    return _date(int(day), _MONTHS[month.lower()], int(year) if year else None)


def _read_month_year(match: re.Match[str]) -> _Read:
    month = _MONTHS[match.group("m").lower()]
    return [frozenset({f"month:{month}"}), frozenset({f"num:{int(match.group(2))}"})], set()


def _date(day: int, month: int, year: int | None) -> _Read:
    claims = [frozenset({f"date:{month}-{day}"})]
    claims += [frozenset({f"num:{year}"})] if year else []
    return claims, {f"month:{month}"}


def _read_clock(match: re.Match[str]) -> _Read:
    hour, minute, half, plain_hour, plain_minute = match.groups()
    if half:
        hours = int(hour) % 12 + (12 if half.lower() == "p" else 0)
        return [frozenset({f"time:{60 * hours + int(minute or 0)}"})], set()
    return [frozenset({f"time:{60 * int(plain_hour) + int(plain_minute)}"})], set()


def _read_identifier(match: re.Match[str]) -> _Read:
    return [frozenset({"id:" + match.group().rstrip(".,;:)").lower()})], set()


def _read_ordinal(match: re.Match[str]) -> _Read:
    return [frozenset({f"ord:{int(match.group(1))}"})], set()


def _read_number(match: re.Match[str]) -> _Read:
    scale = (match.group("scale") or "").lower()
    factor = _SCALES.get(scale) or _SCALE_SIGNS.get(scale, 1)
    numbers = {_plain(value * factor) for value in _parse_number(match.group("num"))}
    if match.group("pct"):
        return [frozenset(f"pct:{n}" for n in numbers)], {f"num:{n}" for n in numbers}
    claims, sums = [frozenset(f"num:{n}" for n in numbers)], {f"sum:{n}" for n in numbers}
    currency = match.group("cur") or match.group("after")
    if currency:  # '15 per cent' lets one say 15, and not R15
        claims += [frozenset(sums), frozenset({f"cur:{_CURRENCIES[currency.lower()]}"})]
    return claims, sums


_Read = tuple[list[frozenset[str]], set[str]]
_READ = {
    "iso": _read_iso,
    "slashed": _read_slashed,
    "chinese": _read_chinese,
    "day_month": _read_day_month,
    "month_day": _read_month_day,
    "month_year": _read_month_year,
    "clock": _read_clock,
    "identifier": _read_identifier,
    "ordinal": _read_ordinal,
    "number": _read_number,
}


def _parse_number(written: str) -> set[float]:
    """What a written number may mean: '1.500' is 1.5 in one country and 1500 in another."""
    digits = re.sub(r"['’ \u00a0\u2009\u202f]", "", written)
    if digits.count(".") > 1:
        return {float(digits.replace(".", "").replace(",", "."))}
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits):
        return {float(digits.replace(",", ""))}
    if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", digits):
        return {float(digits), float(digits.replace(".", ""))}
    return {float(digits.replace(",", "."))}


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:.6g}"


def _spoken(phrase: str) -> int | None:
    """The number that a run of number words says; None for a bare 'hundred' or 'and'."""
    total, current, seen = 0, 0, False
    for word in re.findall(r"[a-z]+", phrase.lower()):
        if word in _NUMBER_WORDS:
            current, seen = current + _NUMBER_WORDS[word], True
        elif word in _SCALES and seen:
            current *= _SCALES[word]
            if word != "hundred":
                total, current = total + current, 0
    return total + current if seen else None


def _names(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Words written as names: (in the middle of a sentence or in capitals, at its beginning)."""
    names: set[str] = set()
    openers: set[str] = set()
    for match in _TOKEN.finditer(text):
        token = match.group()
        if not token[0].isupper() or token in ("I", "A"):
            continue
        parts = [part.removesuffix("'s").removesuffix("’s") for part in token.split("-")]
        plain = {
            stem(p.lower())
            for p in parts
            if p.lower() not in STOP_WORDS and p.lower() not in OPENERS
        }
        plain -= _CALENDAR
        if len(token) > 1 and token.isupper():
            names |= plain
        elif _STARTS.search(text[max(0, match.start() - 8) : match.start()]):
            openers |= plain
        else:
            names |= plain
    return frozenset(names), frozenset(openers)


_CALENDAR = {stem(word) for word in [*_DAYS, *_MONTH_NAMES, *(day + "s" for day in _DAYS)]} - {
    "march",
    "may",
}


def _initials(text: str) -> set[str]:
    """Acronyms that runs of capitalised words in `text` stand for ('nrf')."""
    found: set[str] = set()
    for run in re.findall(r"[A-Z][\w'’]*(?:(?: (?:of|for|and|the))* [A-Z][\w'’]*)+", text):
        letters = "".join(word[0] for word in run.split() if word[0].isupper()).lower()
        found |= {letters[i:j] for i in range(len(letters)) for j in range(i + 2, len(letters) + 1)}
    return found


def iter_claims(claimed: Facts) -> Iterator[str]:
    """The claims as one readable string each, for reports and tests."""
    return (" or ".join(sorted(claim)) for claim in claimed.claims)
