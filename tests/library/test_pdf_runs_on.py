"""Tables over several pages: rows under the names of the page before, and no false name."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from kit.library.parsers.build import labelled
from kit.library.parsers.pdf import PageText, parse, read_page_of
from kit.library.parsers.pdf_tables.cells import MADE_UP
from kit.library.parsers.pdf_tables.runs_on import MAX_PAGES_ON
from kit.library.reading.render import draw_page, highlight_boxes
from tests.library.test_pdf_tables import COLUMN_POINTS, LEFT, PROSE, ROW_POINTS, Draw, say, table

HEAD = ["Item", "Limit", "Approval"]
FIRST = [HEAD, ["Hotel", "R1,900", "Head of unit"], ["Taxi", "R300", "None"]]
REST = [["Bus", "R40", "None"], ["Train", "R200", "Head of unit"], ["Ferry", "R90", "None"]]
HIGH = 780  # the top of a table at the head of a page
NAMED = [labelled(HEAD, row, " | ") for row in REST]
PLAIN = [" | ".join(row) for row in REST]


def document_of(*draws: Draw) -> tuple[pypdfium2.PdfDocument, bytes]:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(595, 842))
    for draw in draws:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return pypdfium2.PdfDocument(out.getvalue()), out.getvalue()


def at_foot(canvas: Canvas, rows: Sequence[Sequence[str]] = FIRST, left: float = LEFT) -> None:
    table(canvas, rows, top=80 + ROW_POINTS * len(rows), left=left)


def at_head(canvas: Canvas, rows: Sequence[Sequence[str]] = REST, left: float = LEFT) -> None:
    table(canvas, rows, top=HIGH, bold=False, left=left)


def over_the_page(canvas: Canvas, rows: Sequence[Sequence[str]] = REST) -> None:
    """From the head of the page to its foot."""
    height = 700 / len(rows)
    table(canvas, rows, top=HIGH, bold=False, height=height)


def lines(*draws: Draw) -> list[str]:
    """Of the last page."""
    document, _ = document_of(*draws)
    return read_page_of(document, len(draws)).text.strip().split("\n")


def test_rows_on_the_next_page_have_the_names_of_the_page_before(tmp_path: Path) -> None:
    """Page numbers and running heads between them are no hindrance; the marks lie on the row."""

    def first(canvas: Canvas) -> None:
        say(canvas, LEFT, 815, "Rules of 2025")
        at_foot(canvas)
        say(canvas, 290, 30, "7")

    def second(canvas: Canvas) -> None:
        say(canvas, LEFT, 815, "Rules of 2025")
        at_head(canvas)
        say(canvas, LEFT, 400, "All of this holds from May.")
        say(canvas, 290, 30, "8")

    document, data = document_of(first, second)
    page = read_page_of(document, 2)
    assert "\n".join(NAMED) in page.text
    assert "Rules of 2025" in page.text
    path = tmp_path / "file"
    path.write_bytes(data)
    parsed = parse(path)
    assert page.text in parsed.text
    start = page.text.index(NAMED[1])
    span = (start, start + len(NAMED[1]))
    assert {page.chars[span[0]], page.chars[page.text.index("Limit: R200")]} == {MADE_UP}
    boxes = highlight_boxes(document[1].get_textpage(), page, span, NAMED[1])
    assert {int((HIGH - (box[1] + box[3]) / 2) // ROW_POINTS) for box in boxes} == {1}
    assert {(box[side] - LEFT) // COLUMN_POINTS for box in boxes for side in (0, 2)} >= {0, 2}
    plain = draw_page(path, 2, highlight=None, scale=1)
    assert draw_page(path, 2, highlight=span, quoted=NAMED[1], scale=1) != plain
    assert draw_page(path, 2, highlight=span, quoted="something else", scale=1) == plain


def test_a_table_over_many_pages_keeps_its_names_up_to_a_limit(tmp_path: Path) -> None:
    """Every page is read for its picture as it was for its text."""
    num_pages = MAX_PAGES_ON + 4
    document, data = document_of(at_foot, *[over_the_page] * (num_pages - 1))
    path = tmp_path / "file"
    path.write_bytes(data)
    parsed = parse(path)
    for number, section in enumerate(parsed.sections, start=1):
        text = parsed.text[section.start : section.end].strip()
        assert text == read_page_of(document, number).text.strip()
        if number > 1:
            assert text.split("\n") == (NAMED if number <= MAX_PAGES_ON + 1 else PLAIN)


def test_left_and_right_pages_may_lie_differently() -> None:
    """A table that is moved as a whole is the same table."""
    assert lines(at_foot, lambda canvas: at_head(canvas, left=LEFT + 30)) == NAMED


def test_a_header_that_is_repeated_names_the_rows_itself() -> None:
    """In bold or not: nothing is named "Item: Item"."""
    again = [HEAD, *REST]
    assert lines(at_foot, lambda canvas: table(canvas, again, top=HIGH)) == [
        " | ".join(HEAD),
        *NAMED,
    ]
    text = "\n".join(lines(at_foot, lambda canvas: at_head(canvas, again)))
    assert "Item: Item" not in text
    assert text.count("Item") == 1


@pytest.mark.parametrize(
    "why",
    ["the first ends high", "words after it", "the second begins low", "words before it",
     "other columns", "fewer columns", "no figures", "a page between", "no names"],
)  # fmt: skip
def test_another_table_gets_no_false_names(why: str) -> None:
    """Where a page, words, place, columns or values speak against it, rows stay without names."""

    def first(canvas: Canvas) -> None:
        if why == "the first ends high":
            table(canvas, FIRST, top=HIGH)
        else:
            at_foot(canvas, FIRST if why != "no names" else [["Plane", "R9,000", "Dean"], *REST])
        if why == "words after it":
            say(canvas, LEFT, 72, "Other sums are set by the Dean.")

    def second(canvas: Canvas) -> None:
        if why == "words before it":
            say(canvas, LEFT, HIGH + 4 - 20, "Who travelled")
            table(canvas, REST, top=HIGH - 30, bold=False)
        elif why == "the second begins low":
            table(canvas, REST, top=500, bold=False)
        elif why == "fewer columns":
            at_head(canvas, [row[:2] for row in REST])
        elif why == "no figures":
            at_head(canvas, [["Ann", "Dean", "Wits"], ["Ben", "Chair", "UCT"]])
        elif why == "other columns":
            rows = [[row[0], row[1], row[2]] for row in REST]
            for number, row in enumerate(rows):
                for x, text in zip((78, 158, 318), row, strict=True):
                    say(canvas, x, HIGH - ROW_POINTS * number - 12, text)
            for n in range(len(rows) + 1):
                canvas.line(72, HIGH - ROW_POINTS * n, 432, HIGH - ROW_POINTS * n)
            for x in (72, 152, 312, 432):
                canvas.line(x, HIGH, x, HIGH - ROW_POINTS * len(rows))
        else:
            at_head(canvas)

    between = [lambda canvas: say(canvas, LEFT, 700, PROSE)] if why == "a page between" else []
    text = "\n".join(lines(first, *between, second))
    for name in HEAD:
        assert f"{name}: " not in text


def test_pages_that_lie_on_their_side_go_on_too() -> None:
    """What counts is which way is up for the words."""

    def turned(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.translate(0, -595)  # 842 points wide, 595 high

    def first(canvas: Canvas) -> None:
        turned(canvas)
        at_foot(canvas)

    def second(canvas: Canvas) -> None:
        turned(canvas)
        table(canvas, REST, top=540, bold=False)

    assert lines(first, second) == NAMED


def test_a_long_cell_is_no_prose_where_the_names_are_known() -> None:
    """What is a table with names on one page is one on the next."""
    long = " ".join(["see"] * 60)
    rows = [[f"Bus {long}", "R40", "None"], *REST[1:]]

    def second(canvas: Canvas) -> None:
        at_head(canvas, [["", *rows[0][1:]], *REST[1:]])
        canvas.setFont("Helvetica", 3)
        for number, line in enumerate(textwrap.wrap(rows[0][0], 70)):
            canvas.drawString(LEFT + 2, HIGH - 4 - 3 * number, line)

    assert lines(at_foot, second)[0] == labelled(HEAD, rows[0], " | ")


def test_the_page_itself_says_nothing_of_the_page_before() -> None:
    """Read alone it has no names, as before: only the document knows of them."""
    document, _ = document_of(at_head)
    page: PageText = read_page_of(document, 1)
    assert page.text.strip().split("\n") == PLAIN
