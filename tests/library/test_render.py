"""A page as a picture: the mark lies on the passage and nowhere else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.errors import DocumentRefused, NotFound
from kit.library import render
from kit.library.documents import ParsedDocument
from kit.library.parsers.pdf import parse
from kit.library.render import draw_page, page_span, render_page

HEIGHT_PT = 842  # A4
TOP_PT = 500  # base line of the first line; reportlab swaps the sides of a page that it turns
LINES = ("Travel policy of the office", "The per diem is 1,900 rand.", "Keep every receipt.")


def write_pdf(
    path: Path, draw: Callable[..., None], *, rotate: int = 0, crop: bool = False
) -> Path:
    """Two pages, the first drawn by `draw(canvas)`."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), pagesize=A4)
    if crop:
        canvas.setCropBox((50, 380, 500, 560))
    canvas.setPageRotation(rotate)
    draw(canvas)
    canvas.showPage()
    canvas.drawString(72, 700, "The second page.")
    canvas.showPage()
    canvas.save()
    return path


def three_lines(canvas: object) -> None:
    for number, line in enumerate(LINES):
        canvas.drawString(72, TOP_PT - 40 * number, line)  # type: ignore[attr-defined]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "policy.pdf", three_lines)


def span_of(parsed: ParsedDocument, passage: str) -> tuple[int, tuple[int, int]]:
    """Page and span within it, found in the stored text as a hit's span is."""
    start = parsed.text.index(passage)
    return page_span(parsed, start, start + len(passage))


def pixels(png: bytes) -> np.ndarray:
    """int16, shape (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int16)


def mark_on(path: Path, passage: str, *, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """(plain picture, mask of the pixels that the mark changes)."""
    page, span = span_of(parse(path), passage)
    plain = pixels(draw_page(path, page, highlight=None, scale=scale))
    marked = pixels(draw_page(path, page, highlight=span, scale=scale))
    assert plain.shape == marked.shape
    return plain, np.abs(marked - plain).sum(axis=2) > 0


def ink(picture: np.ndarray) -> np.ndarray:
    return picture.sum(axis=2) < 3 * 200


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels that are set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@pytest.mark.parametrize("line", [0, 1, 2])
def test_the_mark_covers_its_line_and_no_other(policy: Path, line: int) -> None:
    """All ink of the passage is under the mark, no ink of another line is."""
    plain, mask = mark_on(policy, LINES[line])
    top, bottom = (
        int(2 * (HEIGHT_PT - y)) for y in (TOP_PT + 12 - 40 * line, TOP_PT - 6 - 40 * line)
    )
    strip = np.zeros_like(mask)
    strip[top:bottom] = True
    left, upper, right, lower = box_of(mask)
    assert not (mask & ~strip).any()
    inked = box_of(ink(plain) & strip)
    assert inked[0] - 12 < left <= inked[0]
    assert inked[2] <= right < inked[2] + 12
    assert upper <= inked[1]
    assert lower >= inked[3]


def test_the_mark_keeps_to_the_words(policy: Path) -> None:
    """A passage inside a line is marked from its first letter to its last."""
    _, whole = mark_on(policy, LINES[1])
    _, part = mark_on(policy, "1,900 rand")
    assert not (part & ~whole).any()
    assert 0.2 < part.sum() / whole.sum() < 0.6
    assert box_of(part)[0] > box_of(whole)[0] + 100


def test_a_passage_over_lines_has_one_box_on_each(policy: Path) -> None:
    """What lies between the lines stays white."""
    _, mask = mark_on(policy, "per diem is 1,900 rand.\n\nKeep every")
    rows = mask.any(axis=1).astype(int)
    assert (np.diff(rows) == 1).sum() == 2


def test_text_under_the_mark_can_be_read(policy: Path) -> None:
    """The mark is a tint: the ink beneath it is still dark."""
    page, span = span_of(parse(policy), LINES[0])
    plain = pixels(draw_page(policy, page, highlight=None, scale=2.0))
    marked = pixels(draw_page(policy, page, highlight=span, scale=2.0))
    darkest = plain.sum(axis=2) < 60
    assert darkest.any()
    assert marked[darkest].sum(axis=1).max() < 3 * 120


@pytest.mark.parametrize(
    ("rotate", "crop"), [(90, False), (180, False), (270, False), (0, True), (90, True)]
)
def test_turned_and_cropped_pages_are_marked_in_place(
    tmp_path: Path, rotate: int, crop: bool
) -> None:
    """On a rotated or cropped page the mark still covers the ink of its line and of no other."""
    path = write_pdf(tmp_path / "turned.pdf", three_lines, rotate=rotate, crop=crop)
    plain, mask = mark_on(path, LINES[1])
    _, others = mark_on(path, LINES[0])
    left, upper, right, lower = box_of(mask)
    under = np.zeros_like(mask)
    under[upper : lower + 1, left : right + 1] = True
    assert not (mask & others).any()
    # The same words, drawn upright alone, have about as much ink as lies under the mark.
    alone = write_pdf(tmp_path / "alone.pdf", lambda canvas: canvas.drawString(72, 660, LINES[1]))
    ink_alone = ink(pixels(draw_page(alone, 1, highlight=None, scale=2.0))).sum()
    assert (ink(plain) & under).sum() == pytest.approx(ink_alone, rel=0.1)
    sides = (right - left, lower - upper)
    assert (sides[0] < sides[1]) == (rotate in (90, 270))


def test_a_word_broken_at_a_line_end_is_marked_on_both_lines(tmp_path: Path) -> None:
    """The stored text has the word whole; both of its halves are marked."""

    def broken(canvas: object) -> None:
        text = canvas.beginText(72, 700)  # type: ignore[attr-defined]
        text.textLine("the reimburse-")
        text.textLine("ment of costs")
        canvas.drawText(text)  # type: ignore[attr-defined]

    path = write_pdf(tmp_path / "broken.pdf", broken)
    text = parse(path).text
    found = re.search(r"reimburse\S*\s*ment", text)
    assert found
    _, mask = mark_on(path, found.group())
    left, top, right, bottom = box_of(mask)
    assert bottom - top > 40  # two lines of 12 points at scale 2
    assert right > left


def test_the_second_page_is_the_second_page(policy: Path) -> None:
    """Pages are 1-based, and a span is taken from its own page's start."""
    assert span_of(parse(policy), "second page") == (2, (4, 15))
    _, mask = mark_on(policy, "second page")
    assert mask.any()


@pytest.mark.parametrize("page", [0, 3, -1])
def test_a_page_that_is_not_there_is_refused(policy: Path, page: int) -> None:
    """A page out of range is a DocumentRefused that says how many there are."""
    with pytest.raises(DocumentRefused, match="has 2"):
        draw_page(policy, page, highlight=None, scale=1.0)


@pytest.mark.parametrize("span", [(10_000, 10_100), (-50, -1), (20, 10), (0, 0)])
def test_a_span_that_is_not_on_the_page_marks_nothing(policy: Path, span: tuple[int, int]) -> None:
    """An impossible span gives the plain page, not an error: the text beside it still serves."""
    plain = draw_page(policy, 1, highlight=None, scale=1.0)
    assert (pixels(draw_page(policy, 1, highlight=span, scale=1.0)) == pixels(plain)).all()


def test_a_span_outside_every_page_is_not_found(policy: Path) -> None:
    """page_span says NotFound for a span that no page holds."""
    with pytest.raises(NotFound):
        page_span(parse(policy), 10_000, 10_010)


def test_a_span_over_two_pages_is_marked_on_its_first(policy: Path) -> None:
    """The part on the page where the span begins is given, cut at that page's end."""
    parsed = parse(policy)
    start, end = parsed.text.index("receipt"), parsed.text.index("second")
    page, (first, last) = page_span(parsed, start, end)
    assert page == 1
    assert parsed.text[first:last].startswith("receipt.")
    assert "second" not in parsed.text[first:last]


def test_a_huge_page_or_scale_stays_within_the_limit(tmp_path: Path) -> None:
    """Whatever size is asked for, a picture has at most MAX_PIXELS."""
    from reportlab.pdfgen.canvas import Canvas

    path = tmp_path / "huge.pdf"
    canvas = Canvas(str(path), pagesize=(14_400, 14_400))
    canvas.drawString(72, 72, "poster")
    canvas.save()
    page, span = span_of(parse(path), "poster")
    for scale in (0.0, 1e9):
        picture = pixels(draw_page(path, page, highlight=span, scale=scale))
        assert picture.shape[0] * picture.shape[1] <= render.MAX_PIXELS * 1.01


def test_the_scale_is_pixels_per_point(policy: Path) -> None:
    """At scale 1.5 an A4 page of 595 x 842 points has 893 x 1263 pixels."""
    height, width, _ = pixels(draw_page(policy, 1, highlight=None, scale=1.5)).shape
    assert (width, height) == (
        pytest.approx(595.28 * 1.5, abs=1),
        pytest.approx(841.89 * 1.5, abs=1),
    )


# Through the child process ------------------------------------------------------------------------


def test_the_child_draws_the_same_picture(policy: Path, home: Path) -> None:
    """render_page, with its limits and its cage, returns what draw_page draws."""
    page, span = span_of(parse(policy), LINES[1])
    png = render_page(policy, page, highlight=span, scale=1.5, work_folder=home / "tmp")
    assert png == draw_page(policy, page, highlight=span, scale=1.5)
    assert list((home / "tmp").iterdir()) == []


def test_the_child_refuses_in_words(policy: Path, home: Path) -> None:
    """A page out of range and a file that is no PDF come back as DocumentRefused."""
    with pytest.raises(DocumentRefused, match="there is no page 7"):
        render_page(policy, 7, work_folder=home / "tmp")
    cut = policy.with_name("cut.pdf")
    cut.write_bytes(policy.read_bytes()[:200])
    with pytest.raises(DocumentRefused, match="damaged"):
        render_page(cut, 1, work_folder=home / "tmp")


def test_a_page_that_pdfium_cannot_load_is_refused(policy: Path) -> None:
    """One broken page is a DocumentRefused, not a crash of the reader."""
    data = policy.read_bytes()
    broken = policy.with_name("broken.pdf")
    broken.write_bytes(re.sub(rb"/Type /Page\b(?!s)", b"/Type /Pagf", data, count=1))
    with pytest.raises(DocumentRefused, match="page 1 is damaged"):
        draw_page(broken, 1, highlight=None, scale=1.0)
