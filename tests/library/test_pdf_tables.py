"""Tables of PDF pages: rows that name their columns, nothing lost, and no table where none is."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from kit.answer.evidence.passages import cut_passages
from kit.library.documents import Hit
from kit.library.parsers.build import table_lines
from kit.library.parsers.pdf import PageText, read_page
from kit.library.parsers.pdf_tables import find, rulings
from kit.library.parsers.pdf_tables.cells import MADE_UP
from kit.library.parsers.pdf_tables.grids import find_grids
from kit.library.parsers.pdf_tables.rulings import Rule, Rulings
from kit.library.reading.render import highlight_boxes

LIMITS = [
    ["Item", "Limit", "Approval"],
    ["Hotel", "R1,900", "Head of unit"],
    ["Taxi", "R300", "None"],
]
ROW_POINTS, COLUMN_POINTS = 20, 120
LEFT, TOP = 72, 700

Draw = Callable[[Canvas], None]

PROSE = "\n".join(f"line {n} of prose that goes on to the edge" for n in range(40))


def pages_of(*draws: Draw, rotate: int = 0) -> pypdfium2.PdfDocument:
    """A document with a page for each."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(595, 842))
    for draw in draws:
        canvas.setPageRotation(rotate)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return pypdfium2.PdfDocument(out.getvalue())


def read(*draws: Draw, rotate: int = 0) -> PageText:
    """The first of the pages."""
    return read_page(pages_of(*draws, rotate=rotate)[0].get_textpage())


def say(canvas: Canvas, x: float, y: float, text: str, *, bold: bool = False) -> None:
    canvas.setFont("Helvetica-Bold" if bold else "Helvetica", 10)
    for number, line in enumerate(text.split("\n")):
        canvas.drawString(x, y - 12 * number, line)


def cells(
    canvas: Canvas,
    rows: Sequence[Sequence[str]],
    *,
    left: float = LEFT,
    top: float = TOP,
    height: float = ROW_POINTS,
    bold: bool = True,
) -> None:
    """The words of a table, row by row as programs write them, the first row in bold."""
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            x, y = left + COLUMN_POINTS * column + 6, top - height * number - 12
            say(canvas, x, y, text, bold=bold and not number)


def borders(rows: Sequence[Sequence[str]], *, left: float = LEFT, top: float = TOP,
            height: float = ROW_POINTS) -> Iterator[tuple[float, float, float, float]]:  # fmt: skip
    """The lines of the table's grid."""
    right, bottom = left + COLUMN_POINTS * len(rows[0]), top - height * len(rows)
    for number in range(len(rows) + 1):
        yield left, top - height * number, right, top - height * number
    for column in range(len(rows[0]) + 1):
        yield left + COLUMN_POINTS * column, bottom, left + COLUMN_POINTS * column, top


def table(canvas: Canvas, rows: Sequence[Sequence[str]] = LIMITS, **options: Any) -> None:
    cells(canvas, rows, **options)
    options.pop("bold", None)
    canvas.lines(list(borders(rows, **options)))


def words_once(page: PageText) -> Counter[str]:
    """The words of the page, each letter of it counted once: header names that rows repeat, and
    the marks between cells, are left out."""
    seen, text = set[int](), []
    for character, place in zip(page.text, page.chars, strict=True):
        is_new = place != MADE_UP and place not in seen and not character.isspace()
        text.append(character if is_new else " ")
        if is_new:
            seen.add(place)
    return Counter("".join(text).split())


# -- Rows -----------------------------------------------------------------------------------------


def test_each_row_names_its_columns() -> None:
    """A ruled table is written as the tables of other formats are."""
    assert read(table).text.split("\n") == table_lines(LIMITS)
    assert "Item: Hotel | Limit: R1,900 | Approval: Head of unit" in read(table).text


def test_the_table_is_a_paragraph_of_its_own() -> None:
    """Text before and after it stays where it was, a blank line away."""

    def draw(canvas: Canvas) -> None:
        say(canvas, LEFT, TOP + 20, "These are the limits.")
        table(canvas)
        say(canvas, LEFT, TOP - 80, "They change\nin May.")

    assert read(draw).text.split("\n\n") == [
        "These are the limits.", "\n".join(table_lines(LIMITS)), "They change\nin May.",
    ]  # fmt: skip


def test_a_row_is_a_sentence_that_can_be_quoted_whole() -> None:
    """The answer room takes each row for a statement, not for a heading."""
    text = read(table).text
    hit = Hit(1, 1.0, 1, "d", "d.pdf", 1, "page 1", 0, len(text), text, 1)
    header, *rows = cut_passages([hit])
    assert [row.text for row in rows] == table_lines(LIMITS)[1:]
    assert all(row.is_whole and not row.is_lead for row in rows)
    assert not header.is_whole


def test_the_lines_of_a_cell_are_joined() -> None:
    """A broken line in a cell becomes a blank; the cells beside it stay whole."""
    rows = [
        ["Item", "Approval", "Note"],
        ["Hotel", "Head of unit,\nin writing", "Keep the\nreceipt"],
        ["Taxi", "None", "Any"],
    ]
    text = read(lambda canvas: table(canvas, rows, height=40)).text
    assert text.split("\n") == table_lines(rows)


WRAPPED = {
    "two of five cells": (
        ["Group", "Number", "Done", "Accuracy", "Time"],
        ["Low vision", "5", "2", "98.3\n97.7", "1716\n1934"],
    ),
    "for want of room": (
        ["Item", "Approval", "Note"],
        ["Guest houses and\nothers there",
         "The head of the unit\nand the dean", "As the rules\nof the faculty"],
    ),
    "not side by side": (
        ["Item", "First", "Second"],
        ["Hotel", "12\n13", "14\n15\n16"],
    ),
    "in the header": (
        ["The\nitem", "Its\nlimit", "Its\napproval"],
        ["Hotel", "R1,900", "Dean"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRAPPED)
def test_lines_of_one_row_stay_together(kind: str) -> None:
    """Broken lines are rows only if they go across and were not broken for want of room."""
    rows = [*WRAPPED[kind], ["x"] * len(WRAPPED[kind][0])]
    text = read(lambda canvas: table(canvas, rows, left=20, height=60)).text
    assert text.split("\n") == table_lines(rows)


def test_three_columns_of_words_that_had_room_are_rows() -> None:
    """Under one rule, each line that goes across all of three columns is a row."""
    rows = [["Data", "Model", "Note"], ["Old", "None", "Scans"], ["New", "Large", "Pages"]]

    def draw(canvas: Canvas) -> None:
        cells(canvas, rows, height=14)
        canvas.grid([LEFT, LEFT + 120, LEFT + 240, LEFT + 360], [TOP, TOP - 16, TOP - 46])

    assert read(draw).text.split("\n") == table_lines(rows)


def test_lines_that_nearly_meet_are_borders() -> None:
    """Lines that stop two points short of one another, or are pieced together, part cells."""

    def draw(canvas: Canvas) -> None:
        cells(canvas, LIMITS)
        for x0, y0, x1, y1 in borders(LIMITS):
            for part in range(3):
                across, down = (x1 - x0) / 3, (y1 - y0) / 3
                gap_x, gap_y = (2 if across else 0), (2 if down else 0)
                canvas.line(
                    x0 + across * part + gap_x, y0 + down * part + gap_y,
                    x0 + across * (part + 1), y0 + down * (part + 1),
                )  # fmt: skip

    assert read(draw).text.split("\n") == table_lines(LIMITS)


@pytest.mark.parametrize("rule", [True, False])
def test_rows_without_rules_between_them_are_rows(rule: bool) -> None:
    """Under one rule, with lines between the columns only, each line of figures is a row; an
    outer frame may be missing."""
    rows = [["Model", "Precision", "Recall"], ["First", "0.81", "0.75"], ["Second", "0.79", "0.77"]]

    def draw(canvas: Canvas) -> None:
        cells(canvas, rows)
        bottom, right = TOP - 60, LEFT + 360
        for y in (TOP, TOP - 20, bottom):
            canvas.line(LEFT, y, right, y)
        for x in (LEFT, LEFT + 120, LEFT + 240, right)[::1] if rule else (LEFT + 120, LEFT + 240):
            canvas.line(x, bottom, x, TOP)

    assert read(draw).text.split("\n") == table_lines(rows)


def test_filled_cells_are_cells() -> None:
    """Coloured rectangles side by side make a table as drawn lines do; white ones are not seen."""

    def draw(canvas: Canvas, grey: float) -> None:
        canvas.setFillGray(grey)
        for row in range(3):
            for column in range(3):
                canvas.rect(LEFT + 120 * column, TOP - 20 * row - 20, 120, 20, stroke=0, fill=1)
        canvas.setFillGray(0)
        cells(canvas, LIMITS)

    assert read(lambda canvas: draw(canvas, 0.8)).text.split("\n") == table_lines(LIMITS)
    assert read(lambda canvas: draw(canvas, 1)).text == read(cells_alone).text


def cells_alone(canvas: Canvas) -> None:
    cells(canvas, LIMITS)


def level_rules(canvas: Canvas, rows: Sequence[Sequence[str]], **options: Any) -> None:
    """A table with a rule above its names, one under them and one at its end."""
    cells(canvas, rows, **options)
    right = LEFT + COLUMN_POINTS * len(rows[0])
    for y in (TOP, TOP - ROW_POINTS, TOP - ROW_POINTS * len(rows)):
        canvas.line(LEFT, y, right, y)


@pytest.mark.parametrize("bold", [True, False])
def test_level_rules_around_figures_make_a_table(bold: bool) -> None:
    """As papers set them: three rules, figures in half of the columns or more."""
    rows = [
        ["Country", "Population", "Area", "Capital"],
        ["Austria", "8.9", "83,879", "Vienna"],
        ["Belgium", "11.5", "30,689", "Brussels"],
        ["Denmark", "5.8", "-", "Copenhagen"],
    ]
    text = read(lambda canvas: level_rules(canvas, rows, bold=bold)).text
    assert text.split("\n") == table_lines(rows)


NOT_RULED = {
    "words": [["Name", "Head", "Room"], ["Hall", "Dlamini", "Hall"], ["Archive", "Naidoo", "Loft"]],
    "two columns": [["Name", "Rooms"], ["Library", "12"], ["Archive", "3"]],
    "data above": [["Library", "12 m", "300 m"], ["Archive", "3", "20"], ["Studio", "4", "16"]],
    "one row": [["Name", "Rooms", "Seats"], ["Library", "12", "300"]],
    "gaps": [["Name", "Rooms", "Seats"], ["Library", "", "300"], ["Archive", "3", ""]],
    "a wide name": [["Name", "Rooms and seats of each", ""], ["A", "12", "300"], ["B", "3", "20"]],
    "the same names": [["Name", "Rooms", "Rooms"], ["Hall", "12", "300"], ["Archive", "3", "20"]],
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_RULED)
def test_level_rules_alone_are_no_evidence(kind: str) -> None:
    """Prose may stand in columns between rules, so anything less is read as it was."""
    rows = NOT_RULED[kind]
    page = read(lambda canvas: level_rules(canvas, rows))
    assert page == read(lambda canvas: cells(canvas, rows))


POLICY = [
    ["Group", "Destinations", "Daily allowance"],
    ["Domestic", "South Africa", "R585"],
    ["A", "Countries of the\nCommunity", "USD 65"],
    ["B", "The rest of Africa", "USD 85"],
]


def row_rules(canvas: Canvas, rows: Sequence[Sequence[str]], **options: Any) -> None:
    """A table with a rule after each row, the last one too, and none above it."""
    height = options.setdefault("height", 30)
    cells(canvas, rows, **options)
    for number in range(1, len(rows) + 1):
        y = TOP - height * number
        canvas.line(LEFT, y, LEFT + COLUMN_POINTS * len(rows[0]), y)


@pytest.mark.parametrize("is_filled", [True, False])
def test_a_rule_after_each_row_makes_a_table(is_filled: bool) -> None:
    """The names may stand above the first rule or on a coloured ground; cells may have lines."""

    def draw(canvas: Canvas) -> None:
        say(canvas, LEFT, TOP + 30, "The rates are these.")
        if is_filled:
            canvas.setFillGray(0.9)
            canvas.rect(LEFT, TOP - 30, 360, 30, stroke=0, fill=1)
            canvas.setFillGray(0)
        row_rules(canvas, POLICY)

    assert read(draw).text.split("\n") == ["The rates are these.", "", *table_lines(POLICY)]


def test_a_line_of_prose_above_the_first_rule_is_no_row() -> None:
    """Nor are names of two lines there, of which the lower one alone would be false."""
    rows = [["", "", ""], *POLICY[1:]]

    def draw(canvas: Canvas, above: str) -> None:
        say(canvas, LEFT, TOP - 22, above)
        row_rules(canvas, rows, bold=False)

    bars = "\n".join(" | ".join(row) for row in POLICY[1:]).replace("the\nC", "the C")
    for above in ("A paragraph that ends here.", "A long one that goes on over all of the columns"):
        assert read(lambda canvas, said=above: draw(canvas, said)).text == f"{above}\n\n{bars}"  # type: ignore[misc]
    rows = [["First\ngroup", "The\nplaces", "The\nallowance"], *POLICY[1:]]
    text = read(lambda canvas: row_rules(canvas, rows)).text
    assert "group:" not in text


def test_two_tables_with_the_same_rules_are_two() -> None:
    """What stands between them is read as it is."""

    def draw(canvas: Canvas) -> None:
        row_rules(canvas, POLICY)
        say(canvas, LEFT, TOP - 150, PROSE.partition("line 30")[0])
        canvas.translate(0, -560)
        row_rules(canvas, LIMITS, height=20)

    names, *rows = table_lines(LIMITS)
    text = read(draw).text
    assert text.startswith("\n".join([*table_lines(POLICY), "", "line 0 of prose"]))
    assert text.endswith("\n".join(["edge", "", names, *rows]))


PARAGRAPH = "Words of a paragraph\nthat go on and on"
RULED_PROSE = {
    "paragraphs side by side": [["News", "Events"], *([[PARAGRAPH, PARAGRAPH]] * 4)],
    "two lines beside one": [["News", "Events"], *([[PARAGRAPH, "None today"]] * 4)],
    "a long one": [
        ["News", "Events"],
        ["One", "Two"],
        ["Four\nlines\nof\ntext", "Three"],
        ["A", "B"],
    ],
    "perhaps two rows": [["News", "Events"], ["One", "Two"], ["Three", "Four"], ["A\nB", "C\nD"]],
}


@pytest.mark.parametrize("kind", RULED_PROSE)
def test_rules_after_rows_of_prose_are_no_table(kind: str) -> None:
    """Two columns of text with a rule after every paragraph are read as they are without."""
    rows = RULED_PROSE[kind]
    page = read(lambda canvas: row_rules(canvas, rows, height=60))
    assert page == read(lambda canvas: cells(canvas, rows, height=60))


def test_words_far_above_the_first_rule_are_not_its_names() -> None:
    """A row stands as near to its rule as the others do."""

    def draw(canvas: Canvas) -> None:
        cells(canvas, POLICY[:1], top=TOP + 20)
        row_rules(canvas, [["", "", ""], *POLICY[1:]], bold=False)

    text = read(draw).text
    assert text.startswith("Group Destinations Daily allowance")
    assert "Group:" not in text


COUNTRIES = [
    ["Country", "Rooms", "Area"],
    ["Austria", "8.9", "83,879"],
    ["Belgium", "11.5", "30,689"],
]


def test_a_line_through_words_between_level_rules_leaves_a_doubt() -> None:
    """Lines of both directions say how the cells lie, or nothing is said."""

    def draw(canvas: Canvas) -> None:
        level_rules(canvas, COUNTRIES)
        canvas.line(LEFT + 20, TOP, LEFT + 20, TOP - 60)

    assert read(draw) == read(lambda canvas: cells(canvas, COUNTRIES))


def test_figures_under_one_name_are_not_one_cell() -> None:
    """Where a name goes over several columns between level rules, there is a doubt."""

    def words(canvas: Canvas, draw: Callable[..., None]) -> None:
        draw(canvas, [["Country", "", "", "Capital"], *([*row, "Town"] for row in COUNTRIES[1:])])
        say(canvas, LEFT + 126, TOP - 12, "Rooms and seats of all of the schools")

    page = read(lambda canvas: words(canvas, level_rules))
    assert page == read(lambda canvas: words(canvas, cells))


def test_a_program_between_rules_is_no_table() -> None:
    """Numbered lines under a title, as papers set an algorithm."""
    lines = [
        "Algorithm 1   Search of the library",
        "1:  for each page",
        "2:     read 1 page",
        "3:  end",
    ]

    def words(canvas: Canvas) -> None:
        for number, line in enumerate(lines):
            say(canvas, LEFT, TOP - 20 * number - 12, line)

    def draw(canvas: Canvas) -> None:
        words(canvas)
        for y in (TOP, TOP - 20, TOP - 80):
            canvas.line(LEFT, y, LEFT + 240, y)

    assert read(draw) == read(words)


# -- Names of columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_merged", [True, False])
def test_names_of_two_rows_are_joined_and_a_title_is_none(is_merged: bool) -> None:
    """A name over two columns stands before the names under it; the table's title, one cell over
    all columns, is a line."""

    def draw(canvas: Canvas) -> None:
        say(canvas, LEFT + 6, TOP - 12, "Table of results", bold=True)
        say(canvas, LEFT + 6, TOP - (42 if is_merged else 32), "Group", bold=True)
        say(canvas, LEFT + 130, TOP - 32, "Results", bold=True)
        say(canvas, LEFT + 126, TOP - 52, "Accuracy", bold=True)
        say(canvas, LEFT + 246, TOP - 52, "Time", bold=True)
        cells(canvas, [["Blind", "34.5 %", "1199 s"]], top=TOP - 60, bold=False)
        say(canvas, LEFT + 6, TOP - 92, "All of the groups together")
        for y in (TOP, TOP - 20, TOP - 60, TOP - 80, TOP - 100):
            canvas.line(LEFT, y, LEFT + 360, y)
        canvas.line(LEFT + 120 * is_merged, TOP - 40, LEFT + 360, TOP - 40)
        for x, top, bottom in (
            (LEFT, TOP, TOP - 100), (LEFT + 360, TOP, TOP - 100),
            (LEFT + 120, TOP - 20, TOP - 80), (LEFT + 240, TOP - 40, TOP - 80),
        ):  # fmt: skip
            canvas.line(x, top, x, bottom)

    assert read(draw).text.split("\n") == [
        "Table of results",
        "Group | Results",
        "Accuracy | Time",
        "Group: Blind | Results Accuracy: 34.5 % | Results Time: 1199 s",
        "All of the groups together",
    ]


def test_a_column_without_a_name_and_an_empty_cell() -> None:
    """A cell under no name stands alone; one without text is left out."""
    rows = [["", "2025", "2026"], ["Travel", "R100", ""], ["Books", "", "R250"], ["Fees", "", ""]]
    assert read(lambda canvas: table(canvas, rows)).text.split("\n") == [
        "2025 | 2026", "Travel | 2025: R100", "Books | 2026: R250", "Fees",
    ]  # fmt: skip


@pytest.mark.parametrize("bold", [True, False])
def test_names_stand_out_or_stand_over_figures(bold: bool) -> None:
    """A plain first row over words might be a row like the others, and names nothing."""
    words = [
        ["Place", "Head", "Room"],
        ["Library", "Dlamini", "Hall"],
        ["Archive", "Naidoo", "Loft"],
    ]
    text = read(lambda canvas: table(canvas, words, bold=bold)).text
    assert ("Head: Naidoo" in text) == bold
    figures = [["Place", "F1", "Seats"], ["Library", "12", "300"], ["Archive", "3", "20"]]
    assert "F1: 3 | Seats: 20" in read(lambda canvas: table(canvas, figures, bold=bold)).text


def test_a_table_over_two_pages_is_not_named_by_its_data() -> None:
    """The second page's rows stand without names, unless the header is repeated there."""
    rest = [["Bus", "R40", "None"], ["Train", "R200", "Head of unit"], ["Ferry", "R90", "None"]]
    document = pages_of(
        table, lambda canvas: table(canvas, rest, bold=False),
        lambda canvas: table(canvas, [LIMITS[0], *rest]),
    )  # fmt: skip
    pages = [read_page(page.get_textpage()).text for page in document]
    assert pages[0].split("\n") == table_lines(LIMITS)
    assert pages[1].split("\n") == [" | ".join(row) for row in rest]
    assert pages[2].split("\n") == table_lines([LIMITS[0], *rest])


def test_figures_set_apart_are_no_names() -> None:
    """A first row in bold that holds numbers is a sum; years are names."""
    rows = [["Total", "1,200", "3,400"], ["Travel", "200", "400"], ["Books", "1,000", "3,000"]]
    assert read(lambda canvas: table(canvas, rows)).text.split("\n") == list(map(" | ".join, rows))
    rows[0] = ["Costs", "2025", "2026"]
    assert read(lambda canvas: table(canvas, rows)).text.split("\n") == table_lines(rows)


def test_two_columns_alike_are_names_and_values() -> None:
    """Whether its first row names columns cannot be seen, so it is read as a form is."""
    rows = [["Item", "Limit"], *([f"Item {n}", f"{n},000"] for n in range(1, 6))]
    text = read(lambda canvas: table(canvas, rows, bold=False)).text
    assert text.split("\n") == list(map(": ".join, rows))


@pytest.mark.parametrize("is_first_bold", [True, False])
def test_a_form_is_names_and_values(is_first_bold: bool) -> None:
    """Two columns whose first is in bold throughout are a form, and its first value is no name."""

    def draw(canvas: Canvas) -> None:
        rows = [["Applicant:", "T. Dlamini"], ["Unit", "Physics"], ["Amount", "R20,000"]]
        for number, (name, value) in enumerate(rows):
            say(canvas, LEFT + 6, TOP - 20 * number - 12, name, bold=True)
            say(canvas, LEFT + 126, TOP - 20 * number - 12, value, bold=is_first_bold > number)
        canvas.lines(list(borders(rows)))

    assert read(draw).text == "Applicant: T. Dlamini\nUnit: Physics\nAmount: R20,000"


# -- No table -------------------------------------------------------------------------------------


def two_columns(canvas: Canvas) -> None:
    """As LaTeX sets them, under two short headings."""
    for left in (50, 310):
        say(canvas, left, 760, "News and events" if left == 50 else "From the library", bold=True)
        say(canvas, left, 740, PROSE)


FRAMES: dict[str, list[tuple[float, float, float, float]]] = {
    "a rule between": [(300, 200, 300, 800)],
    "rules above and below": [(40, 780, 560, 780), (40, 200, 560, 200), (300, 200, 300, 780)],
    "a rule under the headings": [
        (40, 780, 560, 780), (40, 752, 560, 752), (40, 200, 560, 200), (300, 200, 300, 780),
    ],
    "rules across": [(40, y, 560, y) for y in (780, 752, 200)],
    "a frame": [
        (40, 780, 560, 780), (40, 752, 560, 752), (40, 200, 560, 200),
        (40, 200, 40, 780), (300, 200, 300, 780), (560, 200, 560, 780),
    ],
    "lines in the frame": [
        *((40, y, 560, y) for y in (780, 628, 508, 388, 200)),
        (40, 200, 40, 780), (300, 200, 300, 780), (560, 200, 560, 780),
    ],
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
def test_text_in_two_columns_is_no_table(frame: str) -> None:
    """However it is framed, it is read as it is without the lines."""

    def draw(canvas: Canvas) -> None:
        two_columns(canvas)
        canvas.lines(FRAMES[frame])

    assert read(draw) == read(two_columns)


def test_boxes_of_a_form_are_no_table() -> None:
    """Boxes to tick and boxes for single letters change nothing."""

    def words(canvas: Canvas) -> None:
        for number in range(5):
            say(canvas, 100, 700 - 30 * number, f"Question {number}: yes or no")

    def draw(canvas: Canvas) -> None:
        words(canvas)
        for number in range(5):
            canvas.rect(80, 700 - 30 * number, 10, 10)
            canvas.rect(95, 695 - 30 * number, 400, 18)
        canvas.grid([100 + 15 * n for n in range(20)], [300, 320])

    assert read(draw) == read(words)


def test_a_frame_with_a_word_here_and_there_is_no_table() -> None:
    """Without names, a table has two rows of two cells, and text in most of its columns."""
    alone = [["Notes", ""], ["Hotels", ""], ["Taxis", "none"], ["Trains", ""]]
    apart = [["one", "", "", "two"], ["three", "", "", "four"]]
    for rows in (alone, apart):
        page = read(lambda canvas, rows=rows: table(canvas, rows, bold=False))  # type: ignore[misc]
        assert page == read(lambda canvas, rows=rows: cells(canvas, rows, bold=False))  # type: ignore[misc]


def test_cells_that_are_no_rectangles_leave_a_doubt() -> None:
    """Lines that part the places of a grid into corners give no cells."""

    def draw(canvas: Canvas) -> None:
        cells(canvas, LIMITS)
        right, bottom = LEFT + 360, TOP - 60
        canvas.rect(LEFT, bottom, 360, 60)
        canvas.line(LEFT + 120, TOP, LEFT + 120, TOP - 40)
        canvas.line(LEFT + 240, TOP, LEFT + 240, bottom)
        canvas.line(LEFT, TOP - 20, right, TOP - 20)
        canvas.line(LEFT + 120, TOP - 40, right, TOP - 40)

    assert read(draw) == read(cells_alone)


def test_a_row_of_boxes_is_no_grid() -> None:
    """A grid has two rows and two columns or more."""
    sides = tuple(Rule(x, 0, 20) for x in (0, 100, 200, 300))
    ends = (Rule(0, 0, 300), Rule(20, 0, 300))
    assert find_grids(Rulings(ends, sides)) == []
    assert find_grids(Rulings(sides, ends)) == []
    [grid] = find_grids(Rulings((*ends, Rule(10, 0, 300)), sides))
    assert (len(grid.xs), len(grid.ys)) == (4, 3)


def test_a_word_across_a_line_leaves_the_page_as_it_was() -> None:
    """Lines that cut words do not part cells."""
    rows = [[*LIMITS[0]], ["A word that reaches far into another cell", "", ""], LIMITS[1]]
    text = read(lambda canvas: table(canvas, rows))
    assert text == read(lambda canvas: cells(canvas, rows))
    assert "Item:" not in text.text


def test_a_plot_is_no_table() -> None:
    """A grid with figures beside it and a curve on it has no cells with text."""

    def draw(canvas: Canvas) -> None:
        canvas.grid(range(100, 400, 50), range(300, 600, 50))
        canvas.bezier(100, 300, 200, 580, 300, 320, 350, 550)
        for place in range(100, 400, 50):
            canvas.drawString(place, 285, str(place))
            canvas.drawString(75, place + 200, str(place))
        canvas.drawString(210, 420, "peak")

    text = read(draw).text
    assert "|" not in text
    assert ":" not in text


def test_the_inner_of_two_tables_is_the_table() -> None:
    """A table within a cell of a layout is read; the layout around it is not."""

    def words(canvas: Canvas, inner: Draw) -> None:
        say(canvas, 60, 770, "Rules")
        say(canvas, 60, 720, "Limits")
        inner(canvas)
        say(canvas, 60, 600, "Notes")
        say(canvas, 420, 600, "None so far")

    def draw(canvas: Canvas) -> None:
        words(canvas, lambda canvas: table(canvas, [row[:2] for row in LIMITS], left=130, top=740))
        canvas.grid([50, 110, 410, 560], [580, 620, 760, 790])

    page = read(draw)
    assert "Item: Taxi | Limit: R300" in page.text
    assert "Rules" in page.text.split("\n\n")[0]
    assert page.text.split("\n\n")[-1].split() == ["Notes", "None", "so", "far"]


# -- Hostile pages --------------------------------------------------------------------------------


def test_ten_thousand_paths_are_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hatchings and maps are given up before they are compared with one another."""

    def draw(canvas: Canvas) -> None:
        cells(canvas, LIMITS)
        for number in range(3_300):
            canvas.line(number / 10, 0, number / 10, 800)
            canvas.line(0, number / 8, 500, number / 8 + 30)
            canvas.line(10, 3 * number, 500, 3 * number)

    def never(*_: object) -> None:
        raise AssertionError("grids were looked for")

    monkeypatch.setattr(find, "find_grids", never)
    assert read(draw).text == read(cells_alone).text
    monkeypatch.setattr(rulings, "MAX_SEGMENTS", 5)
    assert read(table).text == read(cells_alone).text


def test_many_small_grids_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with more grids than pages have tables is read as it was."""
    monkeypatch.setattr(find, "MAX_AREAS", 0)
    assert read(table).text == read(cells_alone).text


def test_lines_without_length_do_no_harm() -> None:
    """Points, empty rectangles and specks of ink beside a table leave it a table."""

    def draw(canvas: Canvas) -> None:
        table(canvas)
        for x in range(100, 400, 7):
            canvas.line(x, TOP - 10, x, TOP - 10)
            canvas.rect(x, TOP - 30, 0, 0, fill=1)
            canvas.rect(x, TOP - 31, 0.2, 0.2, stroke=0, fill=1)
        for number in range(450):
            canvas.rect(1.2 * number, 10 + 1.5 * (37 * number % 450), 3.5, 3.5)

    assert read(draw).text.split("\n") == table_lines(LIMITS)


def test_letters_that_nobody_sees_are_in_no_cell() -> None:
    """White letters over nothing stay out of a table's rows."""

    def draw(canvas: Canvas) -> None:
        table(canvas)
        canvas.setFillGray(1)
        canvas.drawString(LEFT + 160, TOP - 32, "secret")

    page = read(draw)
    assert page.text.split("\n") == table_lines(LIMITS)
    assert page.hidden == "secret"


# -- The map back to the page ---------------------------------------------------------------------


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_turned_page_is_read_the_same(rotate: int) -> None:
    """Whether the page is turned, or its text and lines with it."""
    # reportlab swaps the sides of a page that it turns, so the table lies lower here.
    text = read(lambda canvas: table(canvas, top=500), rotate=rotate).text
    assert text.split("\n") == table_lines(LIMITS)

    def draw(canvas: Canvas) -> None:
        canvas.translate(297, 421)
        canvas.rotate(rotate)
        table(canvas, left=-180, top=40)

    assert read(draw, rotate=rotate).text.split("\n") == table_lines(LIMITS)


def test_each_character_has_its_place_on_the_page() -> None:
    """PDFium has the same letter there; a name that a row repeats has the places of the name."""
    text_page = pages_of(table)[0].get_textpage()
    page = read_page(text_page)
    assert len(page.text) == len(page.chars)
    for character, place in zip(page.text, page.chars, strict=True):
        if place == MADE_UP:
            assert character in " \n|:"
        else:
            assert chr(pdfium.FPDFText_GetUnicode(text_page, place)) == character
    name = page.text.index("Limit")
    again = page.text.index("Limit: R300")
    assert page.chars[again : again + 5] == page.chars[name : name + 5]


def test_a_quoted_row_is_marked_with_the_names_of_its_columns() -> None:
    """The mark covers the row's cells and the header's, and no cell of another row."""
    text_page = pages_of(table)[0].get_textpage()
    page = read_page(text_page)
    row = table_lines(LIMITS)[2]
    start = page.text.index(row)
    boxes = highlight_boxes(text_page, page, (start, start + len(row)))
    middles = {((box[1] + box[3]) / 2 - TOP) // ROW_POINTS for box in boxes}
    assert middles == {-1, -3}  # the first row and the third, counted from the top
    columns = {(box[0] - LEFT) // COLUMN_POINTS for box in boxes}
    assert columns == {0, 1, 2}


def test_the_page_is_read_the_same_each_time() -> None:
    """Parsing and highlighting agree, from whatever object of the page."""
    document = pages_of(table)
    assert read_page(document[0].get_textpage()) == read_page(document[0].get_textpage())


WORDS = st.lists(
    st.sampled_from(["rand", "12", "R1,900", "Dr.", "a-b", "a", "|", "x:"]), max_size=3
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(WORDS.map(" ".join), min_size=3, max_size=3), min_size=2, max_size=5),
    st.booleans(),
    st.lists(st.integers(min_value=0, max_value=8), max_size=3),
)
def test_no_word_is_lost_or_doubled(rows: list[list[str]], bold: bool, missing: list[int]) -> None:
    """Whatever stands in the cells and whichever lines are missing, every word of the page is
    there exactly once, names of columns that rows repeat aside."""

    def draw(canvas: Canvas) -> None:
        say(canvas, LEFT, TOP + 30, "Words before the table")
        cells(canvas, rows, bold=bold)
        lines = [line for n, line in enumerate(borders(rows)) if n not in missing]
        canvas.lines(lines)
        say(canvas, LEFT, TOP - 150, "Words after the table")

    page = read(draw)
    drawn = Counter(["Words", "before", "the", "table", "Words", "after", "the", "table"])
    assert words_once(page) == drawn + Counter(" ".join(map(" ".join, rows)).split())
