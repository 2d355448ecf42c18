"""Where the words of a recognised page stand on it, small enough to be kept for every page.

Knows words as spans of the page's text and areas of its picture; no program that recognises, no
table and no pixels. Invariant: what is unpacked is what was packed, to 1/10,000 of the page.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

PARTS = 10_000  # of the page's width and height; one is a third of a dot of A4 at 300 dpi
MAX_RISE = 1.4  # of the tallest word; 'Th' and 'gy' side by side are 1.3 times as high as 'Th'

Area = tuple[float, float, float, float]
"""(left, top, right, bottom) as parts of the width and height of the page as it is shown: 0 to 1
from its upper left corner, whatever the scale it is drawn at."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word, ``text[start:end]`` of a page's text, in line number `line` of it."""

    start: int
    end: int
    line: int
    area: Area


def pack_words(words: Sequence[Word]) -> bytes:
    """The words as the library keeps them: a column for each number, counted from the word before
    as far as that makes it small, deflated."""
    rows, before = list[tuple[int, ...]](), (0, 0, 0, 0)
    for word in words:
        left, top, right, bottom = (_whole(edge) for edge in word.area)
        end, line, beside, above = before
        rows.append(
            (
                *(word.start - end, word.end - word.start, word.line - line),
                *(left - beside, top - above, right - left, bottom - top),
            )
        )
        before = word.end, word.line, right, top
    columns = list(zip(*rows, strict=True))
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 9)


def unpack_words(packed: bytes, *, start: int = 0) -> tuple[Word, ...]:
    """The words again, their spans moved by `start`."""
    words, (end, line, right, top) = list[Word](), (start, 0, 0, 0)
    for gap, length, down, aside, below, width, height in zip(
        *json.loads(zlib.decompress(packed)), strict=True
    ):
        first, left = end + gap, right + aside
        end, line, right, top = first + length, line + down, left + width, top + below
        edges = left / PARTS, top / PARTS, right / PARTS, (top + height) / PARTS
        words.append(Word(first, end, line, edges))
    return tuple(words)


def areas_of(words: Sequence[Word], span: tuple[int, int]) -> list[Area]:
    """One area for each line over the words that the span touches, from the page's start; several
    where the line goes up or down on a crooked scan."""
    lines: dict[int, list[Area]] = {}
    for word in words:
        if max(word.start, span[0]) < min(word.end, span[1]):
            lines.setdefault(word.line, []).append(word.area)
    return [area for line in lines.values() for area in _joined(line)]


def _joined(line: Sequence[Area]) -> list[Area]:
    """The words of a line together, as far as they do not reach into the lines beside it."""
    max_height = MAX_RISE * max(bottom - top for _, top, _, bottom in line)
    joined = [line[0]]
    for area in line[1:]:
        both = union(joined[-1], area)
        if both[3] - both[1] <= max_height:
            joined[-1] = both
        else:
            joined.append(area)
    return joined


def union(a: Area, b: Area) -> Area:
    """The smallest area that holds both; of boxes with the lower left corner first as well."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _whole(edge: float) -> int:
    """In parts of the page, on it."""
    return round(min(max(edge, 0.0), 1.0) * PARTS)
