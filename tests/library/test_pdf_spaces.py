"""Letters set wide apart are words again, and no other line of a page is touched."""

from __future__ import annotations

import io
from collections.abc import Callable

import pypdfium2
import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from kit.library.parsers.pdf import read_page
from kit.library.parsers.pdf_spaces import false_blanks
from kit.library.reading.render import highlight_boxes

TEXT = "Here is some formatted text"
POINTS = 12


def page(*draws: Callable[[Canvas], None]) -> pypdfium2.PdfTextPage:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(595, 842))
    for draw in draws:
        draw(canvas)
    canvas.showPage()
    canvas.save()
    return pypdfium2.PdfDocument(out.getvalue())[0].get_textpage()


def apart(canvas: Canvas, text: str = TEXT, *, y: float = 700, spacing: float = 1.7) -> None:
    """Each letter drawn by itself in a scaled font of one point, `spacing` points apart."""
    x = 72.0
    for character in text:
        canvas.saveState()
        canvas.transform(POINTS, 0, 0, POINTS, x, y)
        canvas.setFont("Helvetica", 1)
        canvas.drawString(0, 0, character)
        canvas.restoreState()
        x += stringWidth(character, "Helvetica", POINTS) + spacing


def raw(text_page: pypdfium2.PdfTextPage) -> str:
    return str(text_page.get_text_range()).strip()


def test_letters_drawn_one_by_one_are_words() -> None:
    """PDFium puts blanks into the words; those are taken back, and the places stay right."""
    text_page = page(apart)
    assert raw(text_page) != TEXT  # or this test would prove nothing
    read = read_page(text_page)
    assert read.text == TEXT
    assert highlight_boxes(text_page, read, (5, 12), "is some")


@pytest.mark.parametrize("spacing", [0.9, 1.2, 1.5, 2.0, 2.4])
def test_whatever_the_spacing_no_letter_and_no_true_blank_is_lost(spacing: float) -> None:
    """Either the words are whole, or the line is as PDFium gives it."""
    text_page = page(lambda canvas: apart(canvas, spacing=spacing))
    assert read_page(text_page).text in (TEXT, raw(text_page))
    assert read_page(text_page).text.replace(" ", "") == TEXT.replace(" ", "")


@pytest.mark.parametrize(
    "line",
    [
        "a b c d e f g h",
        "x = a + b * c - d / e",
        "I am at my job, so am I: we do it",
        "1 2 3 4 5 6 7 8 9",
        "A 1 B 2 C 3 yes no",
    ],
)
def test_short_words_stay_apart(line: str) -> None:
    """Lines of short words, of figures and of formulas, also where they are set word by word."""

    def words(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        canvas.drawString(72, 700, line)
        x = 72.0
        for word in line.split():
            canvas.drawString(x, 600, word)
            x += stringWidth(word + " ", "Helvetica", 10)
        canvas.setFont("Courier", 10)
        canvas.drawString(72, 500, line)

    assert read_page(page(words)).text.split() == (line + " " + line + " " + line).split()


def test_blanks_that_are_wider_than_between_letters_stay() -> None:
    """Where gaps do not fall into two kinds nothing is joined."""

    def uneven(canvas: Canvas) -> None:
        x = 72.0
        for number, character in enumerate("abcdefghijklmnop"):
            canvas.setFont("Helvetica", POINTS)
            canvas.drawString(x, 700, character)
            x += stringWidth(character, "Helvetica", POINTS) + 0.7 + 0.35 * (number % 12)

    text_page = page(uneven)
    kept = [chr(code) for code in map(ord, raw(text_page))]
    assert false_blanks(text_page, kept) == []
