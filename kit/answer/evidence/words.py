"""Texts to comparable words: stems without stop words, character bigrams where no spaces are written.

Knows nothing of passages or questions. Invariant: equal words give equal stems whatever their case,
plural or tense, so two texts can be compared by the sets of their stems.
"""

# ruff: noqa: E501, SIM905 - word lists read better as text
from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Scripts written without spaces: kana, Han, Thai, Lao, Khmer, Myanmar.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_RUN = re.compile(rf"[{UNSPACED}]+|(?:(?![{UNSPACED}])[^\W_])+(?:['’](?![{UNSPACED}])[^\W_]+)*")
_UNSPACED_START = re.compile(rf"[{UNSPACED}]")

STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being between both but by can
    could did do does doing done each for from further get gets give given gives had has have having he
    her here hers him his how i if in into is it its itself just kind let like list many may me might more
    most much must my near need of off on once one only onto or other our out over own per please said same say says
    shall she should show since so some such tell than that the their them then there these they this those
    through to too type under until up upon us use used using very via was way we were what when where which
    while who whom whose why will with within without would you your yours yes no not nor never none cannot
    im ive id dont doesnt didnt isnt arent wasnt werent wont cant couldnt shouldnt whats whos wheres
    actually exactly find know want wants happen happens there's anything something anyone someone
    make makes made making take takes took taken go goes went come comes came put puts
    explain describe mean means called named regarding concerning according
    """.split()
)
NEGATIONS = frozenset("no not never none nor neither cannot without".split())


def words(text: str) -> Iterator[str]:
    """The words of `text` in lower case, in order; an unspaced run yields its character bigrams."""
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text)):
        run = match.group().lower().replace("’", "'")
        if not _UNSPACED_START.match(run):
            yield run.removesuffix("'s")
        elif len(run) == 1:
            yield run
        else:
            yield from (run[i : i + 2] for i in range(len(run) - 1))


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order, repeats kept."""
    stems = (stem(word) for word in words(text) if word.replace("'", "") not in STOP_WORDS)
    return [_SAME.get(found, found) for found in stems]


def stem(word: str) -> str:
    """The word without its English inflection and its commonest endings.

    A light stemmer: it joins 'reimburse', 'reimbursed' and 'reimbursement', and leaves short words
    and other scripts alone.
    """
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return _fold(word)
    word = _without_plural(word)
    for suffix in ("ing", "ed"):
        base = word.removesuffix(suffix)
        if base != word and len(base) >= 3 and re.search(r"[aeiouy]", base):
            word = _undouble(base)
            break
    for suffix, least in _ENDINGS:
        base = word.removesuffix(suffix)
        if base != word and len(base) >= least:
            word = base
            break
    if len(word) > 3:
        word = word.removesuffix("e")
    word = _undouble(word)
    return word[:-1] + "i" if len(word) > 2 and word.endswith("y") else word


# Words of office life that say the same, by their stems.
_SAME = {
    "telephon": "phon",
    "pric": "cost",
    "fee": "cost",
    "due": "deadlin",
    "begin": "start",
    "began": "start",
    "commenc": "start",
    "purchas": "buy",
    "reimburs": "refund",
    "permit": "allow",
    "permitt": "allow",
    "forbidden": "prohibit",
}

_ENDINGS = (
    ("isation", 3),
    ("ization", 3),
    ("ation", 4),
    ("ment", 4),
    ("ness", 4),
    ("able", 4),
    ("ible", 4),
    ("ise", 4),
    ("ize", 4),
    ("ion", 4),
    ("ive", 4),
    ("ful", 4),
    ("al", 5),
    ("ly", 4),
)


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _undouble(word: str) -> str:
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou":
        return word[:-1]
    return word


def _fold(word: str) -> str:
    """Without accents, so that 'café' and 'cafe' are one word."""
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(char for char in decomposed if not unicodedata.combining(char)) or word
