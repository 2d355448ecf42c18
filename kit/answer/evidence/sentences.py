"""Passages to sentences, each with its exact offsets.

Knows layout (lines, list items, numbered rules, 'A: b; C: d' rows) and abbreviations, no meaning.
Invariant: spans are in order, do not overlap, hold no white space at their ends, and every
character that is not white space lies in exactly one of them.
"""

# ruff: noqa: E501, SIM905 - word lists read better as text
from __future__ import annotations

import re

# A full stop after one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof profs rev hon st mt no nos nr art sec sect fig figs tab eq eqs par para ch vol
    pp ed eds al e.g i.e eg ie etc cf viz vs approx ca ext tel dept univ inc ltd co corp jan feb mar apr
    jun jul aug sep sept oct nov dec mon tue wed thu fri u.s u.k u.n ph ph.d d.phil b.sc m.sc m.a b.a
    bzw z.b d.h u.a usw
    """.split()
)
_END = re.compile(
    r"""(?P<stop>[.!?…]+)(?P<close>["'”’»)\]]*)(?=\s|$|\[\d)|[。！？｡]+[」』”’）]*""",
    re.VERBOSE,
)
_ITEM = re.compile(
    r"[ \t]*(?:[-*•‣▪–—]\s+|\(?(?:\d+(?:\.\d+)*|[a-z]|[ivx]+)[.)]\s+|\d+(?:\.\d+)+\s+|#{1,6}\s+|\|)",
    re.I,
)
_ROW = re.compile(
    r"[^:;]{1,60}:\s[^;]*;\s*[^:;]{1,60}:\s|.*\S\s*[|\t]\s*\S"
)  # 'A: b; C: d' or cells
_SHORT_LINE_CHARS = 60  # a line this much shorter than the text's widest does not run on


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Half-open character spans of the sentences of `text`.

    A line that begins a list item, a numbered rule, a table row or a heading begins a sentence; a
    line that was merely wrapped does not.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _blocks(text):
        spans += _split_block(text, start, end)
    return spans


def sentence_texts(text: str) -> list[str]:
    """The sentences themselves, white space inside a sentence kept as it is."""
    return [text[start:end] for start, end in split_sentences(text)]


def _blocks(text: str) -> list[tuple[int, int]]:
    """Runs of lines that belong together."""
    lines = [(m.start(), m.end()) for m in re.finditer(r"[^\n]+", text)]
    widest = max((end - start for start, end in lines), default=0)
    blocks: list[tuple[int, int]] = []
    for start, end in lines:
        if not text[start:end].strip():
            continue
        if blocks and _runs_on(text, blocks[-1], start, end, widest):
            blocks[-1] = (blocks[-1][0], end)
        else:
            blocks.append((start, end))
    return blocks


def _runs_on(text: str, block: tuple[int, int], start: int, end: int, widest: int) -> bool:
    """Whether the line at start:end continues the block before it."""
    if text[block[1] : start].count("\n") > 1 or _ITEM.match(text, start, end):
        return False
    last = text[text.rfind("\n", 0, block[1]) + 1 : block[1]].rstrip()
    following = text[start:end].lstrip()
    if _ROW.match(last) or _ROW.match(following):
        return False
    if following[0].islower() or last.endswith((",", ";", "-")):
        return True
    is_full = len(last) >= max(_SHORT_LINE_CHARS, widest - 20)
    return is_full and not re.search(r"[.!?:。！？]$", last)


def _split_block(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    begin = start
    for match in _END.finditer(text, start, end):
        if match.group("stop") and not _ends_sentence(text, match, begin, end):
            continue
        spans.append((begin, match.end()))
        begin = match.end()
    spans.append((begin, end))
    return [_trim(text, *span) for span in spans if text[span[0] : span[1]].strip()]


def _ends_sentence(text: str, match: re.Match[str], begin: int, end: int) -> bool:
    """Whether the stop at `match` ends the sentence that began at `begin`."""
    rest = text[match.end() : end].lstrip()
    if match.group("stop") != ".":
        return not rest[:1].islower()
    before = text[begin : match.start()].split()
    word = before[-1].lstrip("(\"'“‘[").lower() if before else ""
    if len(before) <= 1 and re.fullmatch(r"\(?(\d+(\.\d+)*|[a-z]|[ivx]+)\)?", word):
        return False  # the number of a rule: '3. Meals are …'
    if word in _ABBREVIATIONS or re.fullmatch(r"[a-z](\.[a-z])*", word):
        return not rest or (word in ("etc", "al") and rest[:1].isupper())
    if word.isdigit() and len(word) <= 2 and re.match(r"[A-ZÄÖÜ][a-zäöü]+ \d{4}", rest):
        return False  # a German date: '3. März 2025'
    return not rest[:1].islower()


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    return start, end
