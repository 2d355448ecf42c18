"""Pictures: a page each, whose text is to be recognised.

Knows what a picture holds in pages and pixels; recognising is another's work. Invariant: nothing is
unpacked before its size in pixels is known to be bearable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder

MAX_PICTURE_PIXELS = 120_000_000  # an A0 sheet at 280 dots per inch; 120 MB in shades of grey
MAX_PICTURE_PAGES = 1_000
MIN_SIDE_PIXELS = 24  # smaller ones are ornaments
_SHAPES = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")


def parse(path: Path) -> ParsedDocument:
    """One page per picture in the file, all of them scans. Raises: DocumentRefused."""
    builder = TextBuilder()
    with open_picture(path) as picture:
        num_pages = count_pages(picture)
        for number in range(1, min(num_pages, MAX_PICTURE_PAGES) + 1):
            if min(picture.size) >= MIN_SIDE_PIXELS:
                builder.scan(f"page {number}", number)
    notes = []
    if num_pages > MAX_PICTURE_PAGES:
        notes.append(f"only the first {MAX_PICTURE_PAGES:,} pictures in the file were read")
    return builder.finish(num_pages=num_pages, notes=notes)


def open_picture(path: Path) -> Any:
    """The picture, not unpacked yet. Threat: a small file that unpacks to gigabytes."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit refuses instead, in our own words
    try:
        picture = Image.open(path, formats=_SHAPES)
    except Exception as problem:  # every format of Pillow has errors of its own
        raise DocumentRefused(
            f"the picture is damaged ({str(problem)[:100]})",
            hint="open it in a viewer, save it again as PNG, and add that",
        ) from problem
    try:
        refuse_vast(picture)
    except DocumentRefused:
        picture.close()
        raise
    return picture


@contextlib.contextmanager
def open_page(path: Path, number: int) -> Iterator[Any]:
    """A page (1-based) of a file of pictures, not unpacked yet.

    Raises: DocumentRefused, also for whatever goes wrong while it is used.
    """
    with open_picture(path) as picture:
        try:
            picture.seek(number - 1)
            refuse_vast(picture)
            yield picture
        except (DocumentRefused, MemoryError):
            raise
        except Exception as problem:  # every format of Pillow has errors of its own
            raise DocumentRefused(f"the picture is damaged ({str(problem)[:100]})") from problem


def on_white(picture: Any, mode: Literal["L", "RGB"]) -> Any:
    """In shades of grey or in colours; what is transparent is white, as on a page."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert(mode)
    if picture.mode.startswith("I"):  # 16 bits a pixel
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert(mode)
    return picture.convert(mode)


def refuse_vast(picture: Any) -> None:
    """Raises: DocumentRefused if the picture (or the page of it that is open) is too large."""
    width, height = picture.size
    if width * height > MAX_PICTURE_PIXELS:
        raise DocumentRefused(
            f"the picture is {width:,} by {height:,} pixels; at most "
            f"{MAX_PICTURE_PIXELS // 10**6} million are read",
            hint="save it smaller, and add that",
        )


def count_pages(picture: Any) -> int:
    """A TIFF may hold many pages; the pictures of an animation are one page."""
    if picture.format != "TIFF":
        return 1
    try:
        return int(picture.n_frames)
    except Exception as problem:  # a chain of pages that is damaged
        raise DocumentRefused(
            f"the picture is damaged ({str(problem)[:100]})",
            hint="open it in a viewer, save it again as PNG, and add that",
        ) from problem
