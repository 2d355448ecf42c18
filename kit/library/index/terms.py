"""Text as the lexical index stores and asks for it: words, and character bigrams without spaces.

Knows scripts and FTS5's query syntax, not the database. Invariant: the same text gives the same
terms when it is stored and when it is asked for; a query never contains FTS5 operators of its own.
Stemming and the folding of accents are FTS5's work (porter over unicode61).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

MAX_QUERY_TERMS = 32

# Scripts written without spaces: Han (with extensions), Hiragana, Katakana, Thai, Lao, Khmer,
# Myanmar. Word search finds nothing in them; overlapping pairs of characters do (XQuAD zh: recall
# 0.121 with word tokens, 0.962 with bigrams).
_NO_SPACES = (
    "\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f"
)
_TOKEN = re.compile(rf"(?P<run>[{_NO_SPACES}]+)|(?P<word>(?:(?![{_NO_SPACES}])\w)+)")

# Words that are in almost every passage and ask for nothing.
_STOP_WORDS = (
    "a about all also an and any are as at be been but by can could did do does for from had "
    "has have he her his how i if in into is it its may me my no not of on or our shall she "
    "should so some such than that the their them then there these they this those to up us was "
    "we were what when where which who whom whose why will with would you your "
)
STOP_WORDS = frozenset(_STOP_WORDS.split())


def index_terms(text: str) -> str:
    """The terms of a passage, separated by spaces, in order."""
    return " ".join(_terms(text))


def query_terms(query: str) -> list[str]:
    """The query's terms without repeats, in order; stop words only if it has nothing else."""
    terms = list(dict.fromkeys(_terms(query, is_query=True)))
    telling = [term for term in terms if term not in STOP_WORDS] or terms
    return telling[:MAX_QUERY_TERMS]


def any_of(terms: Sequence[str]) -> str:
    """An FTS5 expression that finds passages with any of the terms; '' if there are none."""
    return " OR ".join(f'"{term}"' for term in terms)


def match_expression(query: str) -> str:
    """An FTS5 expression that finds passages with any of the query's terms; '' if it has none."""
    return any_of(query_terms(query))


def _terms(text: str, *, is_query: bool = False) -> Iterator[str]:
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).lower()):
        if match["word"]:
            yield match["word"].strip("_") or "_"
        else:
            yield from _run_terms(match["run"], is_query=is_query)


def _run_terms(run: str, *, is_query: bool) -> Iterator[str]:
    """Pairs of characters; stored runs keep their single characters too, so that one is found."""
    if not is_query or len(run) == 1:
        yield from run
    yield from (run[i : i + 2] for i in range(len(run) - 1))
