"""A page as a picture: the mark lies on the passage and nowhere else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument, span_on_page
from kit.library.parsers.pdf import open_pdf, parse, read_page
from kit.library.reading import render
from kit.library.reading.render import draw_page, render_page

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
    page = next(s.page for s in parsed.sections if s.page and s.start <= start < s.end)
    span, quoted = span_on_page(parsed, page, start, start + len(passage))
    assert span is not None
    assert quoted == passage
    return page, span


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


def test_text_that_an_older_kit_read_otherwise_is_not_marked(policy: Path) -> None:
    """A mark on other words than the quoted ones is worse than none."""
    plain = pixels(draw_page(policy, 1, highlight=None, scale=1.0))
    document = open_pdf(policy)
    text = read_page(document[0].get_textpage()).text
    span = (5, 30)
    with_words = draw_page(policy, 1, highlight=span, quoted=text[5:30], scale=1.0)
    assert (pixels(with_words) != plain).any()
    recognised = text[5:] + "and what was recognised after it"
    longer = draw_page(policy, 1, highlight=(5, 999_999), quoted=recognised, scale=1.0)
    assert (pixels(longer) != plain).any()
    other = draw_page(policy, 1, highlight=span, quoted=text[6:31], scale=1.0)
    assert (pixels(other) == plain).all()


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


# Areas, and files of pictures ---------------------------------------------------------------------

AREA = (0.25, 0.5, 0.75, 0.55)


def assert_marked_there(
    plain: np.ndarray, marked: np.ndarray, area: tuple[float, float, float, float]
) -> None:
    """What differs is the area, padded by a part of its height."""
    height, width, _ = plain.shape
    found = box_of(np.abs(marked - plain).sum(axis=2) > 0)
    padding = 0.15 * (area[3] - area[1]) * height
    expected = (
        *(area[0] * width - padding, area[1] * height - padding),
        *(area[2] * width + padding, area[3] * height + padding),
    )
    assert found == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
@pytest.mark.parametrize(("rotate", "crop"), [(0, False), (90, False), (180, True)])
def test_an_area_is_marked_at_every_scale(
    tmp_path: Path, scale: float, rotate: int, crop: bool
) -> None:
    """It is a part of the page as it is shown, turned and cropped as that is."""
    path = write_pdf(tmp_path / "turned.pdf", three_lines, rotate=rotate, crop=crop)
    plain = pixels(draw_page(path, 1, highlight=None, scale=scale))
    marked = pixels(draw_page(path, 1, highlight=None, areas=[AREA], scale=scale))
    assert_marked_there(plain, marked, AREA)


def test_a_span_and_areas_are_marked_together(policy: Path) -> None:
    """A page with text of its own over a picture has both."""
    page, span = span_of(parse(policy), LINES[0])
    both = pixels(draw_page(policy, page, highlight=span, areas=[AREA], scale=1.0))
    text = pixels(draw_page(policy, page, highlight=span, scale=1.0))
    assert_marked_there(text, both, AREA)
    area = pixels(draw_page(policy, page, highlight=None, areas=[AREA], scale=1.0))
    assert (np.abs(both - area).sum(axis=2) > 0).any()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_picture_is_a_page(tmp_path: Path, mode: str) -> None:
    """Of any mode, as large as A4 at that scale at most, on white, marked where the area is."""
    path = tmp_path / "picture.png"
    size = (1240, 1754)
    sheet = (
        Image.new("L", size, 255).convert(mode) if mode != "I;16" else Image.new(mode, size, 65535)
    )
    sheet.save(path)
    plain = pixels(draw_page(path, 1, highlight=None, scale=1.0))
    assert plain.shape[:2] == (842, 595)
    assert (plain > 250).all()
    marked = pixels(draw_page(path, 1, highlight=(0, 9), areas=[AREA], scale=1.0))
    assert_marked_there(plain, marked, AREA)


def test_a_small_picture_is_not_enlarged(tmp_path: Path) -> None:
    """It has the pixels that it has."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (200, 90), "white").save(path)
    assert pixels(draw_page(path, 1, highlight=None, scale=3.0)).shape == (90, 200, 3)


def test_a_photograph_is_drawn_upright_and_marked_upright(tmp_path: Path) -> None:
    """A camera says in the file how to turn it; areas are of the picture as it is shown."""
    path = tmp_path / "photo.jpg"
    lying = Image.new("RGB", (2400, 1600), "white")
    lying.paste("black", (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    lying.save(path, exif=exif)
    plain = pixels(draw_page(path, 1, highlight=None, scale=1.0))
    height, width, _ = plain.shape
    assert height / width == pytest.approx(1.5, abs=0.01)
    assert plain[10, width - 10].sum() < 60  # what was at the upper left
    marked = pixels(draw_page(path, 1, highlight=None, areas=[AREA], scale=1.0))
    assert_marked_there(plain, marked, AREA)


def test_a_file_of_pictures_has_pages(tmp_path: Path) -> None:
    """Each is its own; one that is not there is refused."""
    path = tmp_path / "fax.tiff"
    first, second = (Image.new("1", (300, 400), colour) for colour in (1, 0))
    first.save(path, save_all=True, append_images=[second], compression="group4")
    assert pixels(draw_page(path, 1, highlight=None, scale=1.0)).min() == 255
    assert pixels(draw_page(path, 2, highlight=None, scale=1.0)).max() == 0
    with pytest.raises(DocumentRefused, match="has 2"):
        draw_page(path, 3, highlight=None, scale=1.0)


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    """Half a file is a DocumentRefused, not a crash of the reader."""
    path = tmp_path / "half.png"
    Image.effect_noise((300, 300), 90).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DocumentRefused, match="damaged"):
        draw_page(path, 1, highlight=None, scale=1.0)


# Through the child process ------------------------------------------------------------------------


def test_the_child_draws_the_same_picture(policy: Path, home: Path) -> None:
    """render_page, with its limits and its cage, returns what draw_page draws."""
    page, span = span_of(parse(policy), LINES[1])
    png = render_page(
        policy, page, highlight=span, areas=[AREA], scale=1.5, work_folder=home / "tmp"
    )
    assert png == draw_page(policy, page, highlight=span, areas=[AREA], scale=1.5)
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
