"""The value inside a sentence that a field asks for: the date, the sum, what stands after a label.

Knows kinds of values and labels, no model. Invariant: what is returned is a span of the text given.
"""

# ruff: noqa: E501 - patterns and word lists read better on one line
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kit.answer.evidence.questions import Kind
from kit.answer.evidence.words import content_stems, stem, words

Span = tuple[int, int]

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = (
    rf"\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? \d{{4}})?"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:,? \d{{4}})?|{_MONTH},? \d{{4}}"
    r"|\d{1,2}[/.]\d{1,2}[/.]\d{4}|(?:\d{4}年)?\d{1,2}月\d{1,2}[日号]"
)
_DURATION = r"\d+(?:\.\d+)? (?:(?:working|calendar|business) )?(?:minutes?|hours?|days?|weeks?|months?|years?)"
_AMOUNT = r"\d{1,3}(?:[,'’ \u00a0]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?"
_CURRENCY = r"(?:[$€£¥]|R|ZAR|USD|EUR|GBP|CHF)"
_SUM = (
    rf"{_CURRENCY} ?(?:{_AMOUNT})(?: ?(?:million|billion|thousand|bn|mn|m|k)\b)?"
    rf"|(?:{_AMOUNT})(?: (?:million|billion|thousand))? (?:rands?|dollars?|euros?|pounds?|ZAR|USD|EUR|GBP|CHF)\b"
)
_PATTERNS: dict[Kind, tuple[str, ...]] = {
    "time": (_DATE, _DURATION, r"(?<!\d)\d{1,2}[:h]\d{2}(?!\d)|\b(?:19|20)\d\d\b"),
    "money": (_SUM, rf"(?:{_AMOUNT}) ?(?:%|per cent\b)", _AMOUNT),
    "number": (_SUM, rf"(?:{_AMOUNT}) ?(?:%|per ?cent\b)", _DURATION, _AMOUNT),
    "phone": (r"\+?\(?\d[\d ()/-]{5,}\d", r"extension \d+", r"\b\d{3,6}\b"),
    "email": (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",),
    "link": (r"https?://[^\s)>\]]+", r"www\.[^\s)>\]]+"),
}  # fmt: skip
_KIND_WORDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("email", frozenset({"email", "mail", "e-mail"})),
    ("phone", frozenset({"phone", "telephone", "fax", "mobile"})),
    ("link", frozenset({"url", "website", "link"})),
    ("time", frozenset({"date", "deadline", "day", "closes", "start", "end", "due", "year", "until"})),
    ("money", frozenset({"budget", "cost", "price", "fee", "salary", "grant", "award", "funding"})),
    ("number", frozenset({"amount", "number", "rate", "share", "maximum", "minimum", "limit", "total"})),
)  # fmt: skip
_LABELLED = re.compile(r"(?:^|(?<=[;|\n]))\s*([^:;|\n]{1,60}?)\s*[:|]\s+([^;|\n]+)")


def kind_of(name: str, asked: Kind) -> Kind:
    """The kind of value that a field's name asks for, where its question does not say."""
    if asked in _PATTERNS:
        return asked
    there = set(words(name.replace("-", "")))
    return next((kind for kind, known in _KIND_WORDS if there & known), asked)


def is_telling(kind: Kind) -> bool:
    """Whether a value of this kind can be told from the words around it: a date, a sum, an address."""
    return kind in _PATTERNS


def value_span(text: str, name: str, kind: Kind, asked: Sequence[str]) -> Span | None:
    """Where in `text` the value stands; None if only the whole sentence tells it.

    `asked` are the stems of the field's question: of several values the nearest to them counts.
    """
    within = _labelled(text, name) or (0, len(text))
    spans = list(_of_kind(text, kind, within))
    if not spans:
        return within if within != (0, len(text)) else None
    return min(spans, key=lambda span: _distance(text, span, frozenset(asked)))


def _labelled(text: str, name: str) -> Span | None:
    """What stands after 'Name:', in the cell after 'Name |', or after a name that opens a row."""
    opens = re.match(rf"\W*(?i:{re.escape(name)})\s+(?=[^\s_a-z])", text)
    wanted = frozenset(content_stems(name))
    for match in _LABELLED.finditer(text):
        if wanted and wanted <= frozenset(content_stems(match[1])):
            value = match[2].rstrip(" .")
            return match.start(2), match.start(2) + len(value)
    return (opens.end(), len(text.rstrip())) if opens else None


def _of_kind(text: str, kind: Kind, within: Span) -> Iterator[Span]:
    """All values by the first pattern of the kind that finds any."""
    for pattern in _PATTERNS.get(kind, ()):
        found = [m.span() for m in re.compile(pattern, re.I).finditer(text, *within)]
        if found:
            yield from found
            return


def _distance(text: str, span: Span, asked: frozenset[str]) -> tuple[float, int]:
    """Letters between the value and the nearest word asked for; one in another clause is far."""
    gaps = []
    for match in re.finditer(r"[^\W_]+", text):
        if stem(match.group().lower()) in asked:
            gap_text = text[min(match.end(), span[1]) : max(match.start(), span[0])]
            gaps.append(len(gap_text) + 100 * len(re.findall(r"[;.]\s", gap_text)))
    return min(gaps, default=0), span[0]
