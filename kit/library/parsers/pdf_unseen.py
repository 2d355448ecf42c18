"""Which text of a PDF page nobody sees: white or invisible over nothing, tiny, or off the page.

Threat: instructions to a language model hide there. Knows page objects, not text. Judges what is
drawn on the page itself, not inside its forms. Invariant: the text layer over a scan, invisible by
design, is seen, for its picture is.
"""

from __future__ import annotations

import ctypes
from typing import Any

MAX_OBJECTS = 100_000  # of one page
MAX_GROUNDS = 2_000  # areas that are looked at; on a page with more, white is not judged
MIN_POINTS = 2.0
_WHITE = 250  # of 255 in each colour
_INVISIBLE_MODE = 3
_FAR_POINTS = 72.0  # beyond the page's edge; nearer is a careless margin

Box = tuple[float, float, float, float]
"""(left, bottom, right, top) in points."""


def look_through(page: Any) -> tuple[frozenset[int], list[Any]]:
    """Addresses of the page's text objects that are not seen, and its objects that are no text."""
    import pypdfium2.raw as pdfium

    unseen: set[int] = set()
    doubtful: list[tuple[int, Any, bool]] = []  # position, object, whether it is invisible
    others: list[tuple[int, Any]] = []
    sheet = _reach(page)
    for position in range(min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)):
        one = pdfium.FPDFPage_GetObject(page, position)
        if pdfium.FPDFPageObj_GetType(one) != pdfium.FPDF_PAGEOBJ_TEXT:
            others.append((position, one))
        elif _points(one) < MIN_POINTS or _is_off(bounds(one), sheet):
            unseen.add(ctypes.addressof(one.contents))
        elif pdfium.FPDFTextObj_GetTextRenderMode(one) == _INVISIBLE_MODE:
            doubtful.append((position, one, True))
        elif is_white(one):
            doubtful.append((position, one, False))
    if doubtful:
        unseen |= _uncovered(doubtful, others)
    return frozenset(unseen), [one for _, one in others]


def _uncovered(doubtful: list[tuple[int, Any, bool]], others: list[tuple[int, Any]]) -> set[int]:
    """White letters need a ground drawn before them; a scan's picture may come after its text."""
    grounds = [(position, bounds(one)) for position, one in others if _gives_ground(one)]
    if len(grounds) > MAX_GROUNDS:
        return set()
    found = set()
    for position, one, is_invisible in doubtful:
        left, bottom, right, top = bounds(one)
        x, y = (left + right) / 2, (bottom + top) / 2
        is_covered = any(
            (is_invisible or place < position) and b[0] <= x <= b[2] and b[1] <= y <= b[3]
            for place, b in grounds
        )
        if not is_covered:
            found.add(ctypes.addressof(one.contents))
    return found


def _gives_ground(one: Any) -> bool:
    """A picture, a shading, a form, or an area that is filled with something else than white."""
    import pypdfium2.raw as pdfium

    if pdfium.FPDFPageObj_GetType(one) != pdfium.FPDF_PAGEOBJ_PATH:
        return True
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    if not pdfium.FPDFPath_GetDrawMode(one, mode, stroke):
        return True
    return mode.value != pdfium.FPDF_FILLMODE_NONE and not is_white(one)


def is_white(one: Any) -> bool:
    """Filled with white, or with nothing at all."""
    import pypdfium2.raw as pdfium

    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not pdfium.FPDFPageObj_GetFillColor(one, red, green, blue, alpha):
        return False
    return alpha.value == 0 or min(red.value, green.value, blue.value) >= _WHITE


def _points(one: Any) -> float:
    """The size of the letters as they are drawn."""
    import pypdfium2.raw as pdfium

    size, matrix = ctypes.c_float(), pdfium.FS_MATRIX()
    if not pdfium.FPDFTextObj_GetFontSize(one, size):
        return MIN_POINTS
    if not pdfium.FPDFPageObj_GetMatrix(one, matrix):
        return float(abs(size.value))
    return float(abs(size.value) * max(abs(matrix.d), abs(matrix.b), abs(matrix.c)))


def bounds(one: Any) -> Box:
    import pypdfium2.raw as pdfium

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(one, left, bottom, right, top)
    return left.value, bottom.value, right.value, top.value


def _reach(page: Any) -> Box:
    left, bottom, right, top = page.get_mediabox()
    return left - _FAR_POINTS, bottom - _FAR_POINTS, right + _FAR_POINTS, top + _FAR_POINTS


def _is_off(box: Box, sheet: Box) -> bool:
    return box[2] < sheet[0] or box[0] > sheet[2] or box[3] < sheet[1] or box[1] > sheet[3]
