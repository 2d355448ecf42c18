"""A page without text as a picture that text recognition can read. Runs in the cage.

Knows PDFs, pictures, and messages that hold them. Invariant: the picture is grey, upright as the
file shows it, and of bounded size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import NotFound
from kit.library.documents import Scan
from kit.library.parsers.detect import detect_format
from kit.library.parsers.image import on_white, open_page

DPI = 300  # what tesseract's models were trained for
MAX_SCAN_PIXELS = 40_000_000  # A3 at 300 dpi is 17 million
_MIN_TEXT_SIDE = 1_000  # smaller pictures (screenshots) are enlarged: small letters are misread


def draw_scan(path: Path, name: str, scan: Scan, target: Path) -> None:
    """Write the page as a PGM picture to `target`. Raises: DocumentRefused, NotFound."""
    path, name = _unpack(path, name, scan.part)
    format = detect_format(path, name).format
    if format == "pdf":
        picture = _pdf_page(path, scan.source_page)
    elif format == "image":
        picture = _picture_page(path, scan.source_page)
    else:
        raise NotFound(f"{name} has no pages that are pictures")
    picture.save(target, format="PPM")


def _unpack(path: Path, name: str, part: tuple[int, ...]) -> tuple[Path, str]:
    """The file itself, or the attachment that `part` leads to: (first attachment, its third …)."""
    from kit.library.parsers.mail import Mail
    from kit.library.parsers.open_mail import open_mail

    content: Mail | bytes | None = None
    for position in part:
        mail = content if isinstance(content, Mail) else open_mail(path, name)
        attachment = mail.attachments[position]
        content, name = attachment.load(), attachment.name
        if isinstance(content, bytes):
            path = Path.cwd() / f"part-{position}"
            path.write_bytes(content)
    return path, name


def _pdf_page(path: Path, number: int) -> Any:
    from kit.library.parsers.pdf import open_pdf

    page = open_pdf(path)[number - 1]
    width, height = page.get_size()
    scale = min(DPI / 72, (MAX_SCAN_PIXELS / max(width * height, 1.0)) ** 0.5)
    return page.render(scale=scale, grayscale=True).to_pil().convert("L")


def _picture_page(path: Path, number: int) -> Any:
    from PIL import Image, ImageOps

    with open_page(path, number) as picture:
        if picture.format == "JPEG":
            picture.draft("L", picture.size)
        page = on_white(ImageOps.exif_transpose(picture), "L")
    pixels = page.width * page.height
    factor = min(_enlargement(page.size), (MAX_SCAN_PIXELS / pixels) ** 0.5)
    if not 0.99 < factor < 1.01:
        size = (max(1, round(page.width * factor)), max(1, round(page.height * factor)))
        page = page.resize(size, Image.Resampling.LANCZOS)
    return page


def _enlargement(size: tuple[int, int]) -> float:
    return min(3.0, max(1.0, _MIN_TEXT_SIDE / max(1, min(size))))
