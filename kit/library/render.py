"""A PDF page as a picture, with a passage marked on it.

Knows PDFium pages and character boxes, not the store. Offsets within the page are those of
`read_page`, the same function that made the stored text, so the mark is where the passage is.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused, NotFound
from kit.library.documents import ParsedDocument
from kit.library.parsers.pdf import PageText, open_pdf, read_page
from kit.library.read_file import render_in_child

MAX_PIXELS = 12_000_000  # of one picture; larger pages are drawn at a smaller scale
HIGHLIGHT_RGBA = (255, 214, 10, 96)
RENDER_TIMEOUT_S = 20.0
RENDER_MEMORY_MB = 1024
_PADDING_PT = 1.0

Box = tuple[float, float, float, float]
"""(left, bottom, right, top) in points, origin at the lower left of the page."""


def render_page(
    original: Path,
    page: int,
    *,
    highlight: tuple[int, int] | None = None,
    scale: float = 1.5,
    work_folder: Path | None = None,
) -> bytes:
    """PNG of a page (1-based), `scale` pixels per point, the span `highlight` of its text marked.

    Drawn in a child process, because the file may be hostile. Raises DocumentRefused, NotFound.
    """
    return render_in_child(
        original, page, highlight=highlight, scale=scale, timeout_s=RENDER_TIMEOUT_S,
        memory_mb=RENDER_MEMORY_MB, work_folder=work_folder or original.parents[2] / "tmp",
    )  # fmt: skip


def page_span(parsed: ParsedDocument, start: int, end: int) -> tuple[int, tuple[int, int]]:
    """The page a document span begins on, and the part of the span on it, from the page's start.

    Raises: NotFound if the span is not on a page.
    """
    for section in parsed.sections:
        if section.page is not None and section.start <= start < section.end:
            return section.page, (start - section.start, min(end, section.end) - section.start)
    raise NotFound("that passage is not on a page")


def draw_page(path: Path, page: int, *, highlight: tuple[int, int] | None, scale: float) -> bytes:
    """As `render_page`, in this process. Not thread safe (PDFium is not)."""
    from PIL import Image, ImageDraw

    document = open_pdf(path)
    if not 1 <= page <= len(document):
        raise DocumentRefused(f"there is no page {page}; the document has {len(document)}")
    sheet = _load_page(document, page)
    scale = _safe_scale(sheet, scale)
    picture = sheet.render(scale=scale, may_draw_forms=False).to_pil().convert("RGB")
    if highlight:
        layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        for box in highlight_boxes(sheet.get_textpage(), highlight):
            draw.rectangle(_pixels(sheet, box, picture.size), fill=HIGHLIGHT_RGBA)
        picture = Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=6)
    return out.getvalue()


def _load_page(document: Any, page: int) -> Any:
    import pypdfium2

    try:
        return document[page - 1]
    except pypdfium2.PdfiumError as problem:
        raise DocumentRefused(
            f"page {page} is damaged", hint="open the document in another viewer"
        ) from problem


def _safe_scale(sheet: Any, scale: float) -> float:
    """Threat: a page of enormous size, or a request for one."""
    width, height = sheet.get_size()
    scale = min(max(scale, 0.2), 4.0)
    pixels = max(width * height, 1.0) * scale * scale
    return float(scale * min(1.0, (MAX_PIXELS / pixels) ** 0.5))


def highlight_boxes(text_page: Any, span: tuple[int, int]) -> list[Box]:
    """One rectangle per line over the characters of `span`, padded a little."""
    page: PageText = read_page(text_page)
    boxes: list[Box] = []
    for offset in range(max(span[0], 0), min(span[1], len(page.chars))):
        if not page.text[offset].isspace():
            box = text_page.get_charbox(page.chars[offset], loose=True)
            if boxes and _same_line(boxes[-1], box):
                boxes[-1] = _union(boxes[-1], box)
            else:
                boxes.append(box)
    return [(x0 - _PADDING_PT, y0, x1 + _PADDING_PT, y1) for x0, y0, x1, y1 in boxes]


def _same_line(line: Box, box: Box) -> bool:
    """The character's middle lies within the line's height, and it goes on to the right."""
    middle = (box[1] + box[3]) / 2
    return line[1] <= middle <= line[3] and box[0] >= line[0] - 1


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _pixels(sheet: Any, box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Page points to pixels of a picture of `size`, by PDFium itself: it knows about rotation and
    crop boxes."""
    import ctypes

    import pypdfium2.raw as pdfium

    corners = []
    for x, y in ((box[0], box[1]), (box[2], box[3])):
        left, top = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(sheet, 0, 0, *size, 0, x, y, left, top)
        corners.append((left.value, top.value))
    (x0, y0), (x1, y1) = corners
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
