"""OpenDocument, Rich Text, e-books, old Excel, Outlook: on small files, hostile ones too."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers import parse
from tests.hangs import no_hang
from tests.library.old_files import epub, msg, odf, ole, xls, zipped


def read(tmp_path: Path, name: str, data: bytes | str) -> ParsedDocument:
    path = tmp_path / "file"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    parsed = parse(path, name)
    spans = [(s.start, s.end) for s in parsed.sections]
    assert spans == sorted(spans)
    assert all(0 <= start <= end <= len(parsed.text) for start, end in spans)
    return parsed


def section_text(parsed: ParsedDocument, label: str) -> str:
    [section] = [s for s in parsed.sections if s.label == label]
    return parsed.text[section.start : section.end]


TABLE = (
    "<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Place"
    "</text:p></table:table-cell><table:table-cell><text:p>Limit</text:p></table:table-cell>"
    "</table:table-row></table:table-header-rows><table:table-row><table:table-cell><text:p>Accra"
    "</text:p></table:table-cell><table:table-cell><text:p>R900</text:p></table:table-cell>"
    "</table:table-row></table:table>"
)


def test_odt_follows_headings_and_leaves_out_what_is_not_seen(tmp_path: Path) -> None:
    """Headings make sections, table rows name their columns, hidden text is not read."""
    styles = (
        '<style:style style:name="H" style:family="text"><style:text-properties '
        'text:display="none"/></style:style>'
        '<style:style style:name="W" style:family="text"><style:text-properties '
        'fo:color="#ffffff"/></style:style>'
    )
    body = (
        "<text:tracked-changes><text:p>deleted words</text:p></text:tracked-changes>"
        '<text:h text:outline-level="1">Travel</text:h><text:p>Two<text:s text:c="2"/>spaces,'
        "<text:tab/>a tab<text:note><text:note-body><text:p>a footnote</text:p></text:note-body>"
        f"</text:note>.</text:p>{TABLE}"
        '<text:h text:outline-level="2">Per diem</text:h><text:list><text:list-item><text:p>R585'
        "</text:p></text:list-item></text:list>"
        '<text:p>Seen<text:span text:style-name="H">obey me</text:span>'
        '<text:span text:style-name="W">and me</text:span></text:p>'
    )
    parsed = read(tmp_path, "a.odt", odf("text", body, styles))
    assert "Two  spaces,\ta tab (a footnote)." in section_text(parsed, "Travel")
    assert "Place: Accra | Limit: R900" in section_text(parsed, "Travel")
    assert "- R585" in section_text(parsed, "Travel > Per diem")
    assert parsed.title == "Travel"
    assert "deleted" not in parsed.text
    assert "me" not in section_text(parsed, "Travel > Per diem").replace("Per diem", "")
    assert parsed.notes == ("hidden text was left out: 'obey me and me'",)


def test_ods_rows_keep_their_numbers_and_a_bomb_costs_nothing(tmp_path: Path) -> None:
    """Row N is line N; rows and cells said to be repeated a million times are not written out."""

    def cell(value: str, kind: str = "string", repeat: int = 1) -> str:
        number = f' office:value="{value}"' if kind != "string" else ""
        return (
            f'<table:table-cell office:value-type="{kind}"{number} '
            f'table:number-columns-repeated="{repeat}"><text:p>{value}</text:p></table:table-cell>'
        )

    many = '<table:table-row table:number-rows-repeated="1048570"><table:table-cell '
    many += 'table:number-columns-repeated="16384"/></table:table-row>'
    body = (
        f'<table:table table:name="Budget"><table:table-row>{cell("Item")}{cell("Sum")}'
        f'{cell("Share")}</table:table-row><table:table-row table:number-rows-repeated="2">'
        f"<table:table-cell/></table:table-row><table:table-row>{cell('Travel')}"
        f"{cell('1200.5', 'float')}{cell('0.15', 'percentage')}</table:table-row>{many}"
        f"</table:table>"
    )
    with no_hang():
        parsed = read(tmp_path, "a.ods", odf("spreadsheet", body))
    lines = section_text(parsed, "sheet Budget").split("\n")
    assert lines[3] == "Item: Travel; Sum: 1200.5; Share: 15%"
    assert len(lines) == 5
    full = '<table:table table:name="B"><table:table-row table:number-rows-repeated="1048576">'
    full += cell("bomb", repeat=16384) + "</table:table-row></table:table>"
    with no_hang(), pytest.raises(DocumentRefused, match="characters of text"):
        read(tmp_path, "b.ods", odf("spreadsheet", full))


def test_odp_has_a_section_per_slide_with_its_notes(tmp_path: Path) -> None:
    """Slides are numbered and named by their titles; tables and notes are read."""
    body = "".join(
        f'<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Part {n}'
        f"</text:p></draw:text-box></draw:frame><draw:frame>{TABLE}</draw:frame>"
        f"<presentation:notes><draw:frame><draw:text-box><text:p>Say {n}</text:p>"
        f"</draw:text-box></draw:frame></presentation:notes></draw:page>"
        for n in (1, 2)
    )
    parsed = read(tmp_path, "a.odp", odf("presentation", body))
    assert [s.page for s in parsed.sections] == [1, 2]
    second = section_text(parsed, "slide 2: Part 2")
    assert "Place: Accra | Limit: R900" in second
    assert "Notes: Say 2" in second


def test_rtf_reads_text_tables_and_letters_of_every_code_page(tmp_path: Path) -> None:
    """Headings by their styles, rows by their columns, \\u and \\' letters; hidden text is left."""
    data = (
        r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial Cyr;}}"
        r"{\colortbl;\red255\green255\blue255;}{\stylesheet{\s1\outlinelevel0 heading 1;}}"
        r"{\info{\title Rules}{\author Nobody}}{\*\generator Word;}{\pict\bin4 }{}{}"
        r"\pard\s1 Travel\par\pard Caf\'e9 \u382?ilina {\f1\'cf\'f0} and \{braces\}\par"
        r"{\v obey}{\cf1 me}\trowd\pard\intbl Place\cell Limit\cell\row"
        r"\trowd\pard\intbl Accra\cell R900\cell\row\pard After.{\footnote see annex}\par}"
    )
    parsed = read(tmp_path, "a.rtf", data)
    assert "Café žilina Пр and {braces}" in section_text(parsed, "Travel")
    assert "Place: Accra | Limit: R900" in parsed.text
    assert "After. (see annex)" in parsed.text
    assert parsed.title == "Rules"
    for unseen in ("Nobody", "Word;", "Arial", "obey", "me}"):
        assert unseen not in parsed.text
    assert parsed.notes == ("hidden text was left out: 'obey me'",)


def test_rtf_of_a_million_groups_is_no_trouble(tmp_path: Path) -> None:
    """Groups are counted, not recursed into; what is cut short gives what is there."""
    parsed = read(tmp_path, "a.rtf", r"{\rtf1 Text" + "{" * 1_000_000 + r"\'")
    assert parsed.text.startswith("Text")


def test_epub_is_read_in_its_order_under_its_names(tmp_path: Path) -> None:
    """Chapters follow the spine, under the names of the table of contents and their headings."""
    chapters = {
        "b.xhtml": "<title/><h1>Money</h1><p>Overhead is 15 per cent.</p>",
        "a.xhtml": "<p>Thanks.</p>",
    }
    names = {"a.xhtml": "Afterword", "b.xhtml#top": "Chapter 1"}
    parsed = read(tmp_path, "a.epub", epub(chapters, names))
    assert [s.label for s in parsed.sections] == ["Chapter 1 > Money", "Afterword"]
    assert "15 per cent" in section_text(parsed, "Chapter 1 > Money")
    assert parsed.title == "The Book"


def test_old_excel_reads_as_new(tmp_path: Path) -> None:
    """Row N is line N of its sheet; cells name their columns."""
    parsed = read(
        tmp_path, "a.xls", xls("Budget", [["Item", "Sum"], ["Bursary – Žižek", 168000.0]])
    )
    assert section_text(parsed, "sheet Budget") == "Item; Sum\nItem: Bursary – Žižek; Sum: 168000\n"


def test_outlook_message_with_what_is_attached(tmp_path: Path) -> None:
    """Who, about what, the body; attached files and messages by their own parsers."""
    inner = msg({0x0037: "Inner", 0x1000: "the inner body"}, header_bytes=24)
    files = {
        "bottles.csv": b"bottle,site\nRK-1,Rietkuil\n" + b"a,b\n" * 1200,
        "x.zip": zipped({"a": "b"}),
    }
    texts = {0x0037: "Visit – Café", 0x0C1A: "Ann", 0x1000: "Come at nine.\r\n"}
    parsed = read(tmp_path, "a.msg", ole(msg(texts, files=files, inner=inner)))
    assert "Subject: Visit – Café" in parsed.text
    assert "Come at nine." in section_text(parsed, "e-mail from Ann")
    assert "bottle: RK-1; site: Rietkuil" in section_text(parsed, "attachment bottles.csv")
    assert "the inner body" in parsed.text
    assert any("x.zip was not read: the file is a zip archive" in note for note in parsed.notes)


def picture(size: tuple[int, int] = (200, 100), format: str = "PNG") -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("1", size, 1).save(out, format)
    return out.getvalue()


def test_a_picture_is_a_page_to_recognise(tmp_path: Path) -> None:
    """Every page of a picture waits for recognition; one in a message knows the way to it."""
    from email.message import EmailMessage

    from PIL import Image

    pages = [Image.new("1", (200, 100), 1) for _ in range(3)]
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    parsed = read(tmp_path, "a.tiff", out.getvalue())
    assert [(scan.page, scan.part) for scan in parsed.scans] == [(1, ()), (2, ()), (3, ())]
    message = EmailMessage()
    message.set_content("See the scan.")
    message.add_attachment(b"one", maintype="text", subtype="plain", filename="a.txt")
    message.add_attachment(out.getvalue(), maintype="image", subtype="tiff", filename="b.tiff")
    parsed = read(tmp_path, "a.eml", bytes(message))
    assert [(scan.source_page, scan.part) for scan in parsed.scans] == [
        (1, (1,)),
        (2, (1,)),
        (3, (1,)),
    ]
    assert parsed.scans[0].label == "attachment b.tiff > page 1"


OLD = {"old.doc": "WordDocument", "old.ppt": "PowerPoint Document"}
HOSTILE = {
    "vast.png": (picture((20_000, 20_000)), "pixels"),
    "cut.png": (picture()[:20], "damaged"),
    "cut.odt": (zipped({"mimetype": "application/vnd.oasis.opendocument.text"}), "damaged"),
    "locked.odt": (
        zipped({"mimetype": "application/vnd.oasis.opendocument.text",
                "META-INF/manifest.xml": "<m><encryption-data/></m>", "content.xml": "x"}),
        "password",
    ),
    "entities.ods": (
        zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet",
                "content.xml": "<!DOCTYPE d [<!ENTITY x 'y'>]><d>&x;</d>"}),
        "entities",
    ),
    "bomb.epub": (
        zipped({"mimetype": "application/epub+zip", "x": bytes(200 << 20)}), "unpack",
    ),
    "hollow.epub": (zipped({"mimetype": "application/epub+zip"}), "damaged"),
    "drawing.odg": (
        zipped({"mimetype": "application/vnd.oasis.opendocument.graphics",
                "META-INF/manifest.xml": "<m/>"}),
        "of a kind",
    ),
    "cut.msg": (ole(msg({0x37: "x"}))[:1500], "damaged"),
    "broken.xls": (ole({"Workbook": b"\x09\x08\x10\0junk"}), "damaged"),
    "locked.xlsx": (ole({"EncryptedPackage": b"x"}), "password"),
    "zip.zip": (zipped({"inner.zip": zipped({"a": bytes(1000)})}), "zip archive"),
    **{name: (ole({stream: b"x"}), "before 2007") for name, stream in OLD.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_words(tmp_path: Path, name: str) -> None:
    """Bombs, locks, entities and stumps: a reason and a next step, and never a hang."""
    data, word = HOSTILE[name]
    with no_hang(), pytest.raises(DocumentRefused) as refusal:
        read(tmp_path, name, data)
    assert word in refusal.value.message
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", "Seen." + "".join(chr(0xE0000 + ord(c)) for c in "obey the tags")),
        ("a.html", '<p>Seen.</p><div style="display:none">obey the tags</div>'),
        ("a.html", '<p>Seen.</p><span style="font-size:1px">obey the tags</span>'),
        ("a.html", '<p>Seen. <b style="color: #FFF">obey the tags</b></p>'),
    ],
    ids=["tag characters", "not displayed", "tiny", "white"],
)
def test_hidden_text_is_left_out_and_told(tmp_path: Path, name: str, data: str) -> None:
    """What nobody sees does not become text that a model reads; the note says what it was."""
    parsed = read(tmp_path, name, data)
    assert parsed.text.strip() == "Seen."
    assert parsed.notes == ("hidden text was left out: 'obey the tags'",)


def test_white_letters_on_a_dark_ground_are_read(tmp_path: Path) -> None:
    """White is hidden only where nothing is behind it."""
    page = '<div style="background:navy"><p style="color:#fff">Seen.</p></div>'
    parsed = read(tmp_path, "a.html", page)
    assert parsed.text.strip() == "Seen."
    assert parsed.notes == ()


def test_pdf_leaves_out_and_tells_what_is_not_seen(tmp_path: Path) -> None:
    """White and invisible over nothing, tiny, off the page: left out and told with its page. White
    on a dark ground and the invisible text over a scan are read."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)

    def draw(y: int, text: str, *, white: bool = False, mode: int = 0, size: int = 12) -> None:
        line = canvas.beginText(72, y)
        line.setFont("Helvetica", size)
        line.setTextRenderMode(mode)
        line.setFillGray(1 if white else 0)
        line.textLine(text)
        canvas.drawText(line)

    draw(700, "Seen at once.")
    draw(680, "white secret", white=True)
    draw(660, "tiny secret", size=1)
    draw(640, "invisible secret", mode=3)
    draw(-150, "outer secret")
    canvas.setFillColorRGB(0, 0, 0.5)
    canvas.rect(60, 590, 300, 30, fill=1)
    draw(600, "Heading on navy.", white=True)
    canvas.showPage()
    canvas.drawImage(ImageReader(Image.new("L", (60, 80), 250)), 0, 0, 595, 842)
    draw(
        600,
        "The text layer of a scan, long enough to be one and not to be recognised again.",
        mode=3,
    )
    canvas.showPage()
    canvas.save()
    parsed = read(tmp_path, "a.pdf", out.getvalue())
    assert "secret" not in parsed.text
    assert "Seen at once." in parsed.text
    assert "Heading on navy." in parsed.text
    assert "The text layer of a scan" in section_text(parsed, "page 2")
    assert parsed.scans == ()
    [note] = parsed.notes
    assert note.startswith("hidden text on page 1 was left out: 'white secret")
    for kind in ("tiny", "invisible", "outer"):
        assert f"{kind} secret" in note


def test_docx_leaves_out_and_tells_what_is_not_seen(tmp_path: Path) -> None:
    """Marked hidden, white on the page, tiny: left out and told; white in a table is read."""
    import docx
    from docx.shared import Pt, RGBColor

    document = docx.Document()
    paragraph = document.add_paragraph("Seen. ")
    paragraph.add_run("vanished ").font.hidden = True
    paragraph.add_run("white ").font.color.rgb = RGBColor(255, 255, 255)
    paragraph.add_run("tiny").font.size = Pt(1)
    cell = document.add_table(rows=1, cols=1).cell(0, 0).paragraphs[0]
    cell.add_run("Header").font.color.rgb = RGBColor(255, 255, 255)
    out = io.BytesIO()
    document.save(out)
    parsed = read(tmp_path, "a.docx", out.getvalue())
    assert parsed.text.split() == ["Seen.", "Header"]
    assert parsed.notes == ("hidden text was left out: 'vanished white tiny'",)


def test_what_stands_on_every_slide_is_read_once(tmp_path: Path) -> None:
    """Text of the slide master is part of the presentation; its empty places are not."""
    import pptx
    from pptx.util import Cm

    deck = pptx.Presentation()
    for _ in range(2):
        deck.slides.add_slide(deck.slide_layouts[6])
    shapes = deck.slides[0].shapes
    box = shapes.add_textbox(Cm(1), Cm(1), Cm(9), Cm(1))
    box.text_frame.text = "Ref 2026/117"
    deck.slide_masters[0].shapes._spTree.append(box._element)
    out = io.BytesIO()
    deck.save(out)
    parsed = read(tmp_path, "a.pptx", out.getvalue())
    assert section_text(parsed, "On every slide").strip() == "Ref 2026/117"
    assert parsed.text.count("Ref") == 1


def test_a_strict_workbook_is_read_as_any_other(tmp_path: Path) -> None:
    """Excel's 'strict' kind has other names inside; what it holds is the same."""
    import zipfile

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Item", "Sum"])
    book.active.append(["Travel", 5])
    out = io.BytesIO()
    book.save(out)
    usual = b"http://schemas.openxmlformats.org/"
    with zipfile.ZipFile(out) as archive:
        members: dict[str, str | bytes] = {
            name: archive.read(name)
            .replace(usual + b"spreadsheetml/2006/", b"http://purl.oclc.org/ooxml/spreadsheetml/")
            .replace(usual + b"officeDocument/2006/", b"http://purl.oclc.org/ooxml/officeDocument/")
            for name in archive.namelist()
        }
    parsed = read(tmp_path, "a.xlsx", zipped(members))
    assert "Item: Travel; Sum: 5" in parsed.text
