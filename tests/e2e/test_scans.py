"""The distribution's tesseract reads scans in the cage, in the languages chosen."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import ParsedDocument, span_on_page
from kit.library.reading.ingest import Ingestor
from kit.library.reading.read_file import parse_in_child
from kit.library.reading.render import render_page
from kit.library.store import Library
from kit.library.word_boxes import areas_of
from kit.testing import FakeEmbedder

LIMITS = {"timeout_s": 60.0, "memory_mb": 2048}


def page_picture(text: str):  # type: ignore[no-untyped-def]
    from PIL import ImageDraw, ImageFont

    page = Image.new("L", (1240, 500), 255)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(text.split("\n")):
        draw.text((90, 60 + 70 * number), line, font=ImageFont.load_default(40), fill=0)
    return page


def test_scans_are_read_where_there_is_no_text(tmp_path: Path) -> None:
    """Of a PDF with one scanned page only that page is recognised; its text is page 2's."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(595, 842))
    canvas.drawString(72, 700, "The first page is text.")
    canvas.showPage()
    picture = page_picture("Overhead is 15 per cent\nof all direct costs.")
    canvas.drawImage(ImageReader(picture), 0, 300, 595, 240)
    canvas.showPage()
    canvas.save()
    path = tmp_path / "scan"
    path.write_bytes(out.getvalue())
    parsed = parse_in_child(
        path, "a.pdf", work_folder=tmp_path / "work", ocr_languages=("eng", "afr"), **LIMITS  # type: ignore[arg-type]
    )  # fmt: skip
    first, second = parsed.sections
    assert parsed.text[first.start : first.end].strip() == "The first page is text."
    said = " ".join(parsed.text[second.start : second.end].split())
    assert said == "Overhead is 15 per cent of all direct costs."
    assert second.page == 2
    assert parsed.notes == ("page 2 was read by text recognition",)


def test_a_scan_in_a_message_is_read(tmp_path: Path) -> None:
    """A picture that came with a message is a section of it."""
    from email.message import EmailMessage

    out = io.BytesIO()
    page_picture("Kamer veertien\nis bespreek.").save(out, "TIFF")
    message = EmailMessage()
    message["From"] = "Ann"
    message.set_content("See the scan.")
    message.add_attachment(out.getvalue(), maintype="image", subtype="tiff", filename="scan.tiff")
    path = tmp_path / "mail"
    path.write_bytes(bytes(message))
    parsed = parse_in_child(
        path, "a.eml", work_folder=tmp_path / "work", ocr_languages=("afr",), **LIMITS  # type: ignore[arg-type]
    )  # fmt: skip
    [section] = [s for s in parsed.sections if s.label == "attachment scan.tiff > page 1"]
    said = " ".join(parsed.text[section.start : section.end].split())
    assert said == "Kamer veertien is bespreek."


def test_a_language_that_is_not_there_is_said(tmp_path: Path) -> None:
    """No text is made up; the reason names the language, the hint the package."""
    path = tmp_path / "scan"
    page_picture("Hello").save(path, "PNG")
    parsed = parse_in_child(
        path, "a.png", work_folder=tmp_path / "work", ocr_languages=("xho",), **LIMITS  # type: ignore[arg-type]
    )  # fmt: skip
    assert parsed.text == ""
    assert "no data for the language xho" in parsed.notes[0]
    assert "tesseract-ocr-xho" in parsed.hint


# The passage on the picture of its page -----------------------------------------------------------

LINES = (
    "The travel policy of the office",
    "Overhead is 15 per cent of costs.",
    "Keep every receipt for a year.",
)
SHEET = (1240, 1754)  # A4 at 150 dots per inch
LEFT, TOP, STEP, SIZE = 120, 300, 90, 40
Box = tuple[float, float, float, float]


def scanned_sheet() -> Image.Image:
    from PIL import ImageDraw, ImageFont

    sheet = Image.new("L", SHEET, 255)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(LINES):
        at = (LEFT, TOP + STEP * number)
        draw.text(at, line, font=ImageFont.load_default(SIZE), fill=0)
    return sheet


def drawn_at(line: int, words: str) -> Box:
    """Where the words' ink is on the sheet, as parts of it."""
    from PIL import ImageFont

    font = ImageFont.load_default(SIZE)
    before = font.getlength(LINES[line][: LINES[line].index(words)])
    left, top, right, bottom = font.getbbox(words)
    across, down = SHEET
    left, right = LEFT + before + left, LEFT + before + right
    top, bottom = TOP + STEP * line + top, TOP + STEP * line + bottom
    return left / across, top / down, right / across, bottom / down


def pdf_of(sheet: Image.Image, *, rotate: int = 0, stamp: str = "") -> bytes:
    """A page that is a picture; one that lies is shown turned, as scanners have it."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(595, 842))
    canvas.setPageRotation(rotate)  # swaps the sides of the page
    size = (842, 595) if rotate else (595, 842)
    picture = sheet.transpose(Image.Transpose.ROTATE_90) if rotate else sheet
    canvas.drawImage(ImageReader(picture), 0, 0, *size)
    if stamp:
        canvas.drawString(400, 60, stamp)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def picture_of(sheet: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    sheet.save(out, kind)
    return out.getvalue()


def read(home: Path, database: Database, data: bytes, name: str) -> tuple[Library, str]:
    """A library with the file in it, read as any other."""
    library = Library(home, database)
    record = library.add(io.BytesIO(data), name, added_by="local", is_private=True)
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    ingestor.close()
    return library, record.id


def span_of(parsed: ParsedDocument, words: str) -> tuple[int, int]:
    start = parsed.text.index(words)
    found, quoted = span_on_page(parsed, 1, start, start + len(words))
    assert quoted == words
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("scan.pdf", pdf_of(scanned_sheet())),
        ("lying.pdf", pdf_of(scanned_sheet(), rotate=90)),
        ("stamped.pdf", pdf_of(scanned_sheet(), stamp="RECEIVED 7 MAY")),
        ("scan.png", picture_of(scanned_sheet(), "PNG")),
        ("photo.jpg", picture_of(scanned_sheet(), "JPEG")),
        ("small.gif", picture_of(scanned_sheet().resize((620, 877)), "GIF")),
    ],
    ids=["PDF", "turned", "stamped", "PNG", "JPEG", "small"],
)
def test_a_passage_of_a_scan_is_marked_where_it_stands(
    home: Path, database: Database, name: str, data: bytes
) -> None:
    """The mark on the page's picture lies over the words' ink, whatever the scale and the line."""
    library, document_id = read(home, database, data, name)
    parsed, words = library.text(document_id, "local"), library.words(document_id, "local", 1)
    path = library.original(document_id, "local")
    asked = ((1, "15 per cent", 0.5), (2, "receipt", 1.5), (0, LINES[0], 3.0))
    for line, passage, scale in asked:
        span = span_of(parsed, passage)
        expected = drawn_at(line, passage)
        [area] = areas_of(words, span)
        assert area == pytest.approx(expected, abs=0.006)  # 7 of 1240 dots; a letter is 20
        marked = marks_on(path, span, [area], scale)
        height = expected[3] - expected[1]
        assert marked == pytest.approx(expected, abs=0.2 * height + 0.006)


def test_a_passage_over_lines_has_a_mark_on_each(home: Path, database: Database) -> None:
    """From its first word to the line's end, and from the next line's beginning to its last."""
    library, document_id = read(home, database, pdf_of(scanned_sheet()), "scan.pdf")
    parsed, words = library.text(document_id, "local"), library.words(document_id, "local", 1)
    start, end = parsed.text.index("per cent"), parsed.text.index("every") + len("every")
    first, second = areas_of(words, (start, end))
    assert first == pytest.approx(drawn_at(1, "per cent of costs."), abs=0.006)
    assert second == pytest.approx(drawn_at(2, "Keep every"), abs=0.006)


def marks_on(path: Path, span: tuple[int, int], areas: list[Box], scale: float) -> Box:
    """What the mark covers of the page's picture, as parts of it."""
    plain, marked = (
        np.asarray(Image.open(io.BytesIO(render_page(path, 1, scale=scale, **marks)))).astype(int)  # type: ignore[arg-type]
        for marks in ({}, {"highlight": span, "areas": areas})
    )
    changed = np.abs(plain - marked).sum(axis=2) > 0
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    height, width = changed.shape
    return (
        *(columns[0] / width, rows[0] / height),
        *((columns[-1] + 1) / width, (rows[-1] + 1) / height),
    )  # type: ignore[return-value]
