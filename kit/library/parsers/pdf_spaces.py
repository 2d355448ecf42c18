"""Blanks that PDFium makes up inside words whose letters are set wide apart.

A PDF has letters at places; PDFium puts a blank where it thinks the gap wide. In some files, as
where each letter is drawn by itself, it does so between the letters of a word. Knows one line at a
time. Invariant: blanks are taken back only where letters that PDFium joined stand about as far
apart, or nearly all letters stand alone and nearer than words do; every blank that stays is clearly
wider. No line of ordinary text is like that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

MIN_SINGLE = 2  # letters that stand alone; a line with fewer is not measured
MIN_SINGLE_SHARE = 0.2  # of the pieces between blanks
MIN_JOINED = 3  # gaps without a blank, by which the spacing of letters is known
MIN_SPACING = 0.06  # of the font's height, between letters; ordinary ones touch
EVEN = 2.5  # times the usual gap: a wider one between joined letters makes the line doubtful
ALIKE = 1.3  # times the widest gap between joined letters
CLEARLY_WIDER = 1.8  # times the widest false blank
MIN_ALONE = 8  # pieces of a line
MAX_ALONE_CHARS = 1.5  # of these pieces, on average
MAX_ALONE_GAP = 0.2  # of the font's height; a blank between words is 0.22 at least
MAX_SPREAD = 0.08  # of such gaps


def false_blanks(text_page: Any, kept: Sequence[str]) -> list[int]:
    """Places of blanks that stand inside words. `kept[i]` is PDFium's character i as it is kept."""
    found = []
    for first, last in _lines(kept):
        pieces = "".join(kept[first:last]).split()
        num_single = sum(len(piece) == 1 and piece.isalpha() for piece in pieces)
        if num_single >= max(MIN_SINGLE, MIN_SINGLE_SHARE * len(pieces)):
            num_chars = sum(map(len, pieces))
            are_alone = len(pieces) >= MIN_ALONE and num_chars <= MAX_ALONE_CHARS * len(pieces)
            joined, blanks = _gaps(text_page, kept, first, last)
            found += _narrow(blanks, _widest_false(joined, blanks, are_alone=are_alone))
    return found


def _lines(kept: Sequence[str]) -> Iterator[tuple[int, int]]:
    first = 0
    for index, character in enumerate(kept):
        if character == "\n":
            yield first, index
            first = index + 1
    yield first, len(kept)


def _gaps(
    text_page: Any, kept: Sequence[str], first: int, last: int
) -> tuple[list[float], dict[int, float]]:
    """In heights of the font: between letters that PDFium joined, and by place where it made up a
    blank. Nothing for letters that do not stand upright."""
    import pypdfium2.raw as pdfium

    letters = [index for index in range(first, last) if kept[index].strip()]
    boxes = [text_page.get_charbox(index, loose=True) for index in letters]
    joined: list[float] = []
    blanks: dict[int, float] = {}
    for a, b, box, after in zip(letters, letters[1:], boxes, boxes[1:], strict=False):
        height = box[3] - box[1]
        if height <= 0:
            return [], {}
        gap = (after[0] - box[2]) / height
        if b == a + 1:
            joined.append(gap)
        elif b == a + 2 and pdfium.FPDFText_IsGenerated(text_page, a + 1) == 1:
            blanks[a + 1] = gap
    return joined, blanks


def _widest_false(
    joined: Sequence[float], blanks: Mapping[int, float], *, are_alone: bool
) -> float:
    """The widest gap that may be inside a word; 0 if the line has no spacing of letters."""
    if len(joined) >= MIN_JOINED and median(joined) >= MIN_SPACING:
        widest = max(joined)
        return ALIKE * widest if widest <= EVEN * median(joined) else 0.0
    if not are_alone or any(gap < MIN_SPACING for gap in (*joined, *blanks.values())):
        return 0.0
    least = min((*joined, *blanks.values()), default=0.0)
    return min(MAX_ALONE_GAP, least + MAX_SPREAD)


def _narrow(blanks: Mapping[int, float], widest: float) -> list[int]:
    """The blanks up to that width, if all the others are clearly wider."""
    narrow = [place for place, gap in blanks.items() if gap <= widest]
    if not widest or not narrow:
        return []
    border = CLEARLY_WIDER * max(blanks[place] for place in narrow)
    are_apart = all(gap <= widest or gap >= border for gap in blanks.values())
    return narrow if are_apart else []
