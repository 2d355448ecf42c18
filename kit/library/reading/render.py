"""A page of a PDF or of a file of pictures as a picture, with a passage marked on it.

Knows PDFium pages, character boxes and areas of a page, not the store. Offsets within the page are
those of `read_page_of`, which reads it as it was read when its text was stored, so the mark is
where the passage is; where the words of a recognised page stand was kept
(kit.library.word_boxes).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.library.parsers.detect import detect_format
from kit.library.parsers.image import count_pages, on_white, open_page, open_picture
from kit.library.parsers.pdf import PageText, open_pdf, read_page_of
from kit.library.parsers.pdf_tables.cells import MADE_UP
from kit.library.reading.read_file import render_in_child
from kit.library.word_boxes import Area, union

MAX_PIXELS = 12_000_000  # of one picture; larger pages are drawn at a smaller scale
HIGHLIGHT_RGBA = (255, 214, 10, 96)
RENDER_TIMEOUT_S = 20.0
RENDER_MEMORY_MB = 1024
_PADDING_PT = 1.0
_PADDING_PART = 0.15  # of a recognised line's height
_SMOOTH_MODES = ("L", "LA", "RGB", "RGBA")  # that Pillow makes smaller by averaging

Box = tuple[float, float, float, float]
"""(left, bottom, right, top) in points, origin at the lower left of the page."""
Pixels = tuple[int, int, int, int]
"""(left, top, right, bottom)."""
A4_PT = (595, 842)


def render_page(
    original: Path,
    page: int,
    *,
    highlight: tuple[int, int] | None = None,
    quoted: str = "",
    areas: Sequence[Area] = (),
    scale: float = 1.5,
    work_folder: Path | None = None,
) -> bytes:
    """PNG of a page (1-based) of a PDF or a file of pictures, `scale` pixels per point.

    Marked are the span `highlight` of the text that a PDF's page has, and `areas` of the page.
    With `quoted` that span is only marked if this stands there: a kit before this one may have
    read the page otherwise.
    Drawn in a child process, because the file may be hostile. Raises DocumentRefused, NotFound.
    """
    return render_in_child(
        original, page, highlight=highlight, quoted=quoted, areas=areas, scale=scale,
        timeout_s=RENDER_TIMEOUT_S, memory_mb=RENDER_MEMORY_MB,
        work_folder=work_folder or original.parents[2] / "tmp",
    )  # fmt: skip


def draw_page(
    path: Path,
    page: int,
    *,
    highlight: tuple[int, int] | None,
    quoted: str = "",
    areas: Sequence[Area] = (),
    scale: float,
) -> bytes:
    """As `render_page`, in this process. Not thread safe (PDFium is not)."""
    boxes: list[Pixels] = []
    if detect_format(path, path.name).format == "image":
        picture = _draw_picture(path, page, scale)
    else:
        picture, boxes = _draw_sheet(path, page, highlight, quoted, scale)
    boxes += [_area_pixels(area, picture.size) for area in areas]
    out = io.BytesIO()
    _marked(picture, boxes).save(out, format="PNG", compress_level=6)
    return out.getvalue()


def _draw_sheet(
    path: Path, page: int, highlight: tuple[int, int] | None, quoted: str, scale: float
) -> tuple[Any, list[Pixels]]:
    """The page of a PDF, and where its own text is to be marked."""
    document = open_pdf(path)
    _require_page(page, len(document))
    sheet = _load_page(document, page)
    scale = _safe_scale(sheet.get_size(), scale)
    picture = sheet.render(scale=scale, may_draw_forms=False).to_pil().convert("RGB")
    boxes: list[Box] = []
    if highlight:
        text = read_page_of(document, page)
        boxes = highlight_boxes(sheet.get_textpage(), text, highlight, quoted)
    return picture, [_pixels(sheet, box, picture.size) for box in boxes]


def _draw_picture(path: Path, page: int, scale: float) -> Any:
    """The page of a file of pictures. It has no points: it is drawn as large as A4 at most."""
    from PIL import Image, ImageOps

    max_pixels = A4_PT[0] * A4_PT[1] * _safe_scale(A4_PT, scale) ** 2
    with open_picture(path) as picture:
        _require_page(page, count_pages(picture))
    with open_page(path, page) as picture:
        if picture.format == "JPEG":
            picture.draft("RGB", _within(picture.size, max_pixels))
        ImageOps.exif_transpose(picture, in_place=True)  # a copy would be a second one in memory
        smooth = picture if picture.mode in _SMOOTH_MODES else on_white(picture, "RGB")
        small = smooth.resize(_within(smooth.size, max_pixels), Image.Resampling.LANCZOS)
        return on_white(small, "RGB")


def _within(size: tuple[int, int], max_pixels: float) -> tuple[int, int]:
    """The size, or a smaller one of the same shape."""
    factor = min(1.0, (max_pixels / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _marked(picture: Any, boxes: Sequence[Pixels]) -> Any:
    from PIL import Image, ImageDraw

    if not boxes:
        return picture
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for box in boxes:
        draw.rectangle(box, fill=HIGHLIGHT_RGBA)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _area_pixels(area: Area, size: tuple[int, int]) -> Pixels:
    """The area in pixels of a picture of `size`, padded a little: it ends where the ink does."""
    left, top, right, bottom = area
    padding = _PADDING_PART * (bottom - top) * size[1]
    left, right = left * size[0] - padding, right * size[0] + padding
    top, bottom = top * size[1] - padding, bottom * size[1] + padding
    return round(left), round(top), round(right), round(bottom)


def _require_page(page: int, num_pages: int) -> None:
    if not 1 <= page <= num_pages:
        raise DocumentRefused(f"there is no page {page}; the document has {num_pages}")


def _load_page(document: Any, page: int) -> Any:
    import pypdfium2

    try:
        return document[page - 1]
    except pypdfium2.PdfiumError as problem:
        raise DocumentRefused(
            f"page {page} is damaged", hint="open the document in another viewer"
        ) from problem


def _safe_scale(size: tuple[float, float], scale: float) -> float:
    """Threat: a page of enormous size, or a request for one."""
    scale = min(max(scale, 0.2), 4.0)
    pixels = max(size[0] * size[1], 1.0) * scale * scale
    return float(scale * min(1.0, (MAX_PIXELS / pixels) ** 0.5))


def highlight_boxes(
    text_page: Any, page: PageText, span: tuple[int, int], quoted: str = ""
) -> list[Box]:
    """One rectangle per line over the characters of `span`, padded a little; none where something
    else than `quoted` stands there. Recognised text may follow what the page has itself."""
    boxes: list[Box] = []
    if quoted and not quoted.startswith(page.text[slice(*span)].rstrip()):
        return boxes
    for offset in range(max(span[0], 0), min(span[1], len(page.chars))):
        if page.chars[offset] != MADE_UP and not page.text[offset].isspace():
            box = text_page.get_charbox(page.chars[offset], loose=True)
            if boxes and _same_line(boxes[-1], box):
                boxes[-1] = union(boxes[-1], box)
            else:
                boxes.append(box)
    return [(x0 - _PADDING_PT, y0, x1 + _PADDING_PT, y1) for x0, y0, x1, y1 in boxes]


def _same_line(line: Box, box: Box) -> bool:
    """The character's middle lies within the line's height, and it goes on to the right."""
    middle = (box[1] + box[3]) / 2
    return line[1] <= middle <= line[3] and box[0] >= line[0] - 1


def _pixels(sheet: Any, box: Box, size: tuple[int, int]) -> Pixels:
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
