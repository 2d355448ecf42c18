"""Every format on small files made here: text, sections, pages, and plain reasons for refusals."""

from __future__ import annotations

import datetime
import io
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers import parse
from kit.library.parsers.build import table_lines
from tests.hangs import no_hang


def section_text(parsed: ParsedDocument, label: str) -> str:
    [section] = [s for s in parsed.sections if s.label == label]
    return parsed.text[section.start : section.end]


def write(tmp_path: Path, name: str, data: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def pdf(*pages: list[str], **options: Any) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, **options)
    for lines in pages:
        for number, line in enumerate(lines):
            canvas.drawString(72, 760 - 16 * number, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


# -- PDF ------------------------------------------------------------------------------------------


def test_pdf_has_a_section_per_page(tmp_path: Path) -> None:
    """Each page is a section with its number, and holds its own text."""
    parsed = parse(write(tmp_path, "a.pdf", pdf(["First rule."], ["Second rule."])), "a.pdf")
    assert [(s.kind, s.label, s.page) for s in parsed.sections] == [
        ("page", "page 1", 1),
        ("page", "page 2", 2),
    ]
    assert "Second rule." in section_text(parsed, "page 2")
    assert "Second" not in section_text(parsed, "page 1")
    assert parsed.num_pages == 2


def test_pdf_says_which_pages_had_no_text(tmp_path: Path) -> None:
    """A page without text is counted in a remark, not passed over."""
    parsed = parse(write(tmp_path, "a.pdf", pdf(["Text."], [], [])), "a.pdf")
    assert parsed.num_pages == 3
    assert any("2 of 3 pages" in note for note in parsed.notes)


def test_scan_parses_to_nothing(tmp_path: Path) -> None:
    """A PDF without any text is not refused here: it is a document that gave no text."""
    parsed = parse(write(tmp_path, "scan.pdf", pdf([], [])), "scan.pdf")
    assert not parsed.text.strip()
    assert parsed.num_pages == 2


# -- Office ---------------------------------------------------------------------------------------


def test_docx_follows_headings_and_keeps_tables_in_place(tmp_path: Path) -> None:
    """Paragraphs stand under their headings' path; a table's rows name their columns."""
    import docx

    document = docx.Document()
    document.add_heading("Travel", 1)
    document.add_paragraph("Before the table.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Place", "Limit", "Accra", "R900"], strict=True):
        cell.text = text
    document.add_heading("Per diem", 2)
    document.add_paragraph("R585 for a full day.")
    parsed = parse(write(tmp_path, "a.docx", saved(document)), "a.docx")
    travel = section_text(parsed, "Travel")
    assert travel.index("Before the table.") < travel.index("Place: Accra | Limit: R900")
    assert "R585 for a full day." in section_text(parsed, "Travel > Per diem")
    assert parsed.title == "Travel"
    assert parsed.num_pages is None


def test_pptx_has_a_section_per_slide_with_its_notes(tmp_path: Path) -> None:
    """Slides are numbered; what the speaker noted is read too."""
    import pptx

    deck = pptx.Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Part {number}"
        slide.placeholders[1].text = f"Point {number}"
        slide.notes_slide.notes_text_frame.text = f"Say {number}"
    parsed = parse(write(tmp_path, "a.pptx", saved(deck)), "a.pptx")
    assert [s.page for s in parsed.sections] == [1, 2]
    second = section_text(parsed, "slide 2: Part 2")
    assert "Point 2" in second
    assert "Say 2" in second
    assert "Say 1" not in second


def test_xlsx_writes_rows_as_people_read_them(tmp_path: Path) -> None:
    """Row N is line N of its sheet; cells name their columns; dates and shares read as such."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Budget"
    for row in [
        ["Item", "Amount", "Due", "Share"],
        ["Bursary", 168000, datetime.date(2026, 3, 1), 0.15],
        [],
        ["Travel", 1200.5, None, None],
    ]:
        sheet.append(row)
    sheet["D2"].number_format = "0%"
    book.create_sheet("Rates").append(["Rate", 4.84])
    parsed = parse(write(tmp_path, "a.xlsx", saved(book)), "a.xlsx")
    lines = section_text(parsed, "sheet Budget").split("\n")
    assert lines[1] == "Item: Bursary; Amount: 168000; Due: 2026-03-01; Share: 15%"
    assert lines[2] == ""
    assert lines[3] == "Item: Travel; Amount: 1200.5"
    assert "4.84" in section_text(parsed, "sheet Rates")


def test_xlsx_says_when_formulas_have_no_value(tmp_path: Path) -> None:
    """A formula that no program has computed is shown as it is, with a remark."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Item", "Sum"])
    book.active.append(["Total", "=1+1"])
    parsed = parse(write(tmp_path, "a.xlsx", saved(book)), "a.xlsx")
    assert "(formula =1+1)" in parsed.text
    assert any("no saved result" in note for note in parsed.notes)


# -- Text -----------------------------------------------------------------------------------------


def test_html_keeps_what_is_seen(tmp_path: Path) -> None:
    """Headings make sections, tables keep their columns; scripts and hidden parts are not read."""
    page = """<html><head><title>Help</title><style>p{}</style></head><body><h1>Money</h1>
    <script>alert('no')</script><p>Overhead is <b>15</b> per cent.</p><p hidden>secret</p>
    <div style="display:none">unseen</div><table><tr><th>Who</th><th>Phone</th></tr>
    <tr><td>Ann</td><td>4460</td></tr></table></body></html>"""
    parsed = parse(write(tmp_path, "a.html", page), "a.html")
    assert "Overhead is 15 per cent." in section_text(parsed, "Money")
    assert "Who: Ann | Phone: 4460" in parsed.text
    for unseen in ("alert", "secret", "unseen", "p{}"):
        assert unseen not in parsed.text
    assert parsed.title == "Help"


def test_markdown_is_kept_as_written(tmp_path: Path) -> None:
    """The text is the file, to the letter, so offsets are the file's own."""
    source = (
        "# Data\n\nIntro.\n\n## Keep\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n# no heading\n```\n"
    )
    parsed = parse(write(tmp_path, "a.md", source), "a.md")
    assert parsed.text == source
    assert "# no heading" in section_text(parsed, "Data > Keep")


def test_front_matter_of_markdown_is_no_heading(tmp_path: Path) -> None:
    """It gives the title and stays in the text; a rule with prose below it is none."""
    source = '---\ntitle: "Fees"\ndate: 2025-03-04\n---\n\nThe fee is R90.\n\n# More\n\nText.\n'
    parsed = parse(write(tmp_path, "a.md", source), "a.md")
    assert parsed.text == source
    assert parsed.title == "Fees"
    assert [s.label for s in parsed.sections] == ["", "More"]
    prose = "---\nNot a name: but prose, as such\ngoes on.\n\nFees\n---\n\nThe fee is R90.\n"
    assert [s.label for s in parse(write(tmp_path, "b.md", prose), "b.md").sections] == ["", "Fees"]
    blank = "---\n" + "   \n" * 5_000 + "x"
    with no_hang():
        assert parse(write(tmp_path, "c.md", blank), "c.md").text == blank


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße, Žižek – 会议".encode(), "Grüße, Žižek – 会议"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("\ufeffGrüße".encode(), "Grüße"),
        ("Grüße – “so”".encode("cp1252"), "Grüße – “so”"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree"),
        (b"zero\0width".replace(b"\0", "\u200b".encode()), "zerowidth"),
        ("tag\U000e0041\U000e0042s".encode(), "tags"),
    ],
)
def test_text_in_any_encoding(tmp_path: Path, data: bytes, text: str) -> None:
    """UTF-8, UTF-16 and Windows text is read; invisible characters are dropped."""
    assert parse(write(tmp_path, "a.txt", data), "a.txt").text.rstrip("\n") == text


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_of_any_dialect(tmp_path: Path, mark: str) -> None:
    """Cells name their columns, whatever separates them."""
    data = f'name{mark}sum\n"Ann{mark} B"{mark}5\nBen{mark}7\n'
    parsed = parse(write(tmp_path, "a.csv", data), "a.csv")
    assert f"name: Ann{mark} B; sum: 5".replace("\t ", " ") in parsed.text
    assert "name: Ben; sum: 7" in parsed.text


def test_email_with_headers_html_body_and_attachment(tmp_path: Path) -> None:
    """Who, when and about what; the body's visible text; attachments read by their own parsers."""
    message = EmailMessage()
    message["From"], message["To"] = "Ann <ann@office.example>", "ben@office.example"
    message["Subject"], message["Date"] = "Visit – Café", "Thu, 15 Oct 2026 09:42:00 +0200"
    message.set_content("<p>Come at <b>nine</b>.</p>", subtype="html")
    message.add_attachment(b"bottle,site\nRK-1,Rietkuil\n", maintype="text", subtype="csv",
                           filename="bottles.csv")  # fmt: skip
    message.add_attachment(b"\x89PNG123", maintype="image", subtype="png", filename="map.png")
    parsed = parse(write(tmp_path, "a.eml", bytes(message)), "a.eml")
    assert "Subject: Visit – Café" in parsed.text
    assert "Come at nine." in parsed.text
    assert "bottle: RK-1; site: Rietkuil" in parsed.text
    assert any("map.png" in note for note in parsed.notes)
    assert "2026-10-15" in parsed.sections[0].label


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["Item", "Limit"], ["Hotel", "R9"]], ["Item | Limit", "Item: Hotel | Limit: R9"]),
        ([["Chair", "Room 2"], ["Place", "Hall"]], ["Chair: Room 2", "Place: Hall"]),
        ([["only one row", "here"]], ["only one row: here"]),
        ([["Chair:", "Room 2"], ["Place", "Hall"]], ["Chair: Room 2", "Place: Hall"]),
        ([["Item:", "Limit"], ["Hotel", "R9"]], ["Item: | Limit", "Item: Hotel | Limit: R9"]),
        ([["", ""], ["a", ""]], ["a"]),
        ([], []),
    ],
)
def test_table_lines(rows: list[list[str]], lines: list[str]) -> None:
    """Rows name their columns, unless the table is a form of names and values."""
    assert table_lines(rows) == lines


# -- What is refused ------------------------------------------------------------------------------


def office_zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return out.getvalue()


BOMB = office_zip(word__document_xml=bytes(200 << 20))
XXE = office_zip(
    word__document_xml=b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>'
)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("cut.pdf", pdf(["Text."])[:300], "damaged"),
        ("locked.pdf", pdf(["Text."], encrypt="secret"), "password"),
        ("picture.pdf", b"\x89PNG\r\n\x1a\n" + bytes(64), "damaged"),
        ("program.docx", b"\x7fELF" + bytes(64), "program"),
        ("noise.txt", bytes(range(256)) * 16, "neither text"),
        ("cut.docx", office_zip(word__document_xml=b"<a/>")[:-30], "damaged"),
        ("hollow.docx", office_zip(word__document_xml=b"<a/>"), "damaged"),
        ("bomb.docx", BOMB, "unpack"),
        ("entities.docx", XXE, "entities"),
        ("files.zip", b"PK\x05\x06" + bytes(18), "zip archive"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_refused_with_a_reason_and_a_next_step(
    tmp_path: Path, name: str, data: bytes, word: str
) -> None:
    """What cannot be read is refused in words that say why and what to do."""
    with pytest.raises(DocumentRefused) as refusal:
        parse(write(tmp_path, name, data), name)
    assert word in refusal.value.message
    assert refusal.value.hint


def test_content_decides_over_the_ending(tmp_path: Path) -> None:
    """A PDF called .docx is read as a PDF, and the reader is told."""
    parsed = parse(write(tmp_path, "a.docx", pdf(["Inside."])), "a.docx")
    assert parsed.num_pages == 1
    assert "Inside." in parsed.text
    assert parsed.notes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damage_is_a_refusal_or_a_document(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is cut out of a file or written over it: a refusal in words, or a document."""
    path = data.draw(st.sampled_from(sample_bytes()))
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    length = data.draw(st.integers(1, 200))
    raw[at : at + length] = data.draw(st.binary(max_size=200))
    broken = tmp_path / path.name
    broken.write_bytes(bytes(raw))
    try:
        parsed = parse(broken, path.name)
    except DocumentRefused:
        return
    assert all(0 <= s.start <= s.end <= len(parsed.text) for s in parsed.sections)


def test_a_damaged_member_of_an_archive_is_a_refusal(tmp_path: Path) -> None:
    """A block of a compressed part that cannot be unpacked is told as damage."""
    path = next(path for path in sample_bytes() if path.suffix == ".docx")
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.infolist()[0]
    raw[member.header_offset + 30 + len(member.filename)] = 0  # a stored block of a wrong length
    with pytest.raises(DocumentRefused, match="cut short or damaged"):
        parse(write(tmp_path, "a.docx", bytes(raw)), "a.docx")


def sample_bytes() -> list[Path]:
    from kit.samples import sample_paths

    return sample_paths()
