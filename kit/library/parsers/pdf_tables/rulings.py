"""The straight lines that are drawn on a PDF page: rules, frames, the edges of filled cells.

Knows page objects, not text and not tables. Looks at what is drawn on the page itself, not inside
its forms, where figures are. Invariant: every line is level or upright, and two that continue one
another are one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kit.library.parsers.pdf_unseen import Box, bounds, is_white

MAX_SEGMENTS = 20_000  # of all paths of a page; one with more is a map or a plot
MAX_LINES = 400  # of each direction; tables have fewer, hatchings more
MIN_LENGTH = 4.0  # points
MAX_THICKNESS = 3.0  # a filled area that is thinner is drawn as a line
SNAP = 2.5  # lines nearer to one another are one, as a double rule is
GAP = 3.0  # between two pieces of one line
RECTANGLE_SEGMENTS = 5

Point = tuple[float, float]
Edge = tuple[Point, Point]


@dataclass(frozen=True)
class Rule:
    """`at` is the height of a level line or the place of an upright one; `start` < `end`."""

    at: float
    start: float
    end: float


@dataclass(frozen=True)
class Rulings:
    level: tuple[Rule, ...] = ()
    upright: tuple[Rule, ...] = ()

    def turned(self, quarters: int) -> Rulings:
        """As `turned` turns each point of them."""
        if not quarters:
            return self
        level = [((line.start, line.at), (line.end, line.at)) for line in self.level]
        upright = [((line.at, line.start), (line.at, line.end)) for line in self.upright]
        edges = [(turned(a, quarters), turned(b, quarters)) for a, b in (*level, *upright)]
        return _merged(edges)


def turned(point: Point, quarters: int) -> Point:
    """The point after that many quarter turns to the right about the page's corner."""
    x, y = point
    return ((x, y), (y, -x), (-x, -y), (-y, x))[quarters % 4]


def read_rulings(objects: Iterable[Any]) -> Rulings:
    """The lines among a page's objects; none if there are more than tables would have."""
    import pypdfium2.raw as pdfium

    edges: list[Edge] = []
    num_segments = 0
    for one in objects:
        if pdfium.FPDFPageObj_GetType(one) == pdfium.FPDF_PAGEOBJ_PATH:
            size = pdfium.FPDFPath_CountSegments(one)
            num_segments += size
            if num_segments > MAX_SEGMENTS:
                return Rulings()
            edges += _edges(one, size)
    return _merged(edges)


def _edges(path: Any, num_segments: int) -> Iterator[Edge]:
    """The ends of each straight line that the path draws, as points of the page."""
    import pypdfium2.raw as pdfium

    mode, is_stroked = ctypes.c_int(), ctypes.c_int()
    if not pdfium.FPDFPath_GetDrawMode(path, mode, is_stroked):
        return
    is_filled = mode.value != pdfium.FPDF_FILLMODE_NONE and not is_white(path)
    if not is_filled and not is_stroked.value:
        return
    is_rectangle = num_segments == RECTANGLE_SEGMENTS and not is_stroked.value
    outlines = [_corners(bounds(path))] if is_rectangle else _outlines(path, num_segments)
    for points in outlines:
        left, right = min(x for x, _ in points), max(x for x, _ in points)
        bottom, top = min(y for _, y in points), max(y for _, y in points)
        if min(right - left, top - bottom) <= MAX_THICKNESS:
            x, y = (left + right) / 2, (bottom + top) / 2
            is_level = right - left > top - bottom
            yield ((left, y), (right, y)) if is_level else ((x, bottom), (x, top))
        elif is_stroked.value or _is_box(points):
            yield from pairwise(points)


def _corners(box: Box) -> list[Point]:
    left, bottom, right, top = box
    return [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]


def _outlines(path: Any, num_segments: int) -> Iterator[list[Point]]:
    """Each part of the path as its corners, closed where it is filled; none that has curves."""
    import pypdfium2.raw as pdfium

    matrix, x, y = pdfium.FS_MATRIX(), ctypes.c_float(), ctypes.c_float()
    if not pdfium.FPDFPageObj_GetMatrix(path, matrix):
        return
    points: list[Point] = []
    is_straight = True
    for index in range(num_segments):
        segment = pdfium.FPDFPath_GetPathSegment(path, index)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            if is_straight and len(points) > 1:
                yield points
            points, is_straight = [], True
        is_straight = is_straight and kind != pdfium.FPDF_SEGMENT_BEZIERTO
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        points.append(
            (
                matrix.a * x.value + matrix.c * y.value + matrix.e,
                matrix.b * x.value + matrix.d * y.value + matrix.f,
            )
        )
        if pdfium.FPDFPathSegment_GetClose(segment):
            points.append(points[0])
    if is_straight and len(points) > 1:
        yield points


def _is_box(points: Sequence[Point]) -> bool:
    """Every side level or upright, and not more of them than a rectangle has."""
    sides = list(pairwise(points))
    return 3 <= len(sides) <= 5 and all(
        abs(a[0] - b[0]) < 1 or abs(a[1] - b[1]) < 1 for a, b in sides
    )


def _merged(edges: Sequence[Edge]) -> Rulings:
    """Slanted lines left out, pieces of one line joined, nothing if too many are left."""
    level, upright = [], []
    for (x0, y0), (x1, y1) in edges:
        if abs(y0 - y1) < 1 <= abs(x0 - x1):
            level.append(Rule((y0 + y1) / 2, min(x0, x1), max(x0, x1)))
        elif abs(x0 - x1) < 1 <= abs(y0 - y1):
            upright.append(Rule((x0 + x1) / 2, min(y0, y1), max(y0, y1)))
    level, upright = _joined(level), _joined(upright)
    if max(len(level), len(upright)) > MAX_LINES:
        return Rulings()
    return Rulings(tuple(level), tuple(upright))


def _joined(lines: list[Rule]) -> list[Rule]:
    """In order of `at`; lines of one height or place share the same `at`."""
    joined: list[Rule] = []
    lines.sort(key=lambda line: line.at)
    first = 0
    for index in range(1, len(lines) + 1):
        if index == len(lines) or lines[index].at - lines[first].at > SNAP:
            joined += _chained(lines[first:index])
            first = index
    return [line for line in joined if line.end - line.start >= MIN_LENGTH]


def _chained(lines: list[Rule]) -> list[Rule]:
    at = sum(line.at for line in lines) / len(lines)
    chains: list[Rule] = []
    for line in sorted(lines, key=lambda line: line.start):
        if chains and line.start <= chains[-1].end + GAP:
            last = chains.pop()
            chains.append(Rule(at, last.start, max(last.end, line.end)))
        else:
            chains.append(Rule(at, line.start, line.end))
    return chains
