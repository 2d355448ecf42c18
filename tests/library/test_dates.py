"""Of when a document is: what each format says of itself, what no file is believed, what wins."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import LibrarySettings
from kit.database import Database
from kit.library.dates import Dated, date_of, is_later, iso_of_pdf, name_day, own_date, text_days
from kit.library.parsers import parse
from kit.library.reading.ingest import Ingestor
from kit.library.reading.read_file import parse_in_child
from kit.library.store import Library
from kit.testing import FakeEmbedder
from tests.library.old_files import epub, filetime, msg, odf, ole, summary, xls

DAY = datetime(2025, 3, 4, 10, 30, tzinfo=UTC)
BEFORE = datetime(2024, 12, 1, 9, 0, tzinfo=UTC)
SAID = Dated("2025-03-04", "modified")


def dated(tmp_path: Path, name: str, data: bytes | str) -> Dated | None:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return parse(path, name).dated


def office(
    kind: str, *, created: datetime | None = None, modified: datetime | None = None
) -> bytes:
    """An office file with a sentence; a date that is not given stays as the library leaves it."""
    out = io.BytesIO()
    document, properties = _made(kind)
    if created:
        properties.created = created.replace(tzinfo=None)
    if modified:
        properties.modified = modified.replace(tzinfo=None)
    document.save(out)
    return out.getvalue()


def _made(kind: str) -> tuple[Any, Any]:
    if kind == "docx":
        import docx

        document = docx.Document()
        document.add_paragraph("The fee is R90.")
        return document, document.core_properties
    if kind == "pptx":
        import pptx

        show = pptx.Presentation()
        slide = show.slides.add_slide(show.slide_layouts[0])
        slide.shapes.title.text = "The fee is R90."
        return show, show.core_properties
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Fee", "R90"])
    return book, book.properties


def without(data: bytes, part: str) -> bytes:
    """The zip without the parts whose name begins so, and without what names them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            if not name.startswith(part):
                text = source.read(name)
                target.writestr(name, _unnamed(text) if name == "_rels/.rels" else text)
    return out.getvalue()


def _unnamed(relations: bytes) -> bytes:
    from lxml import etree

    root = etree.fromstring(relations)
    for one in list(root):
        if "docProps" in one.get("Target", ""):
            root.remove(one)
    return etree.tostring(root)


def replaced(data: bytes, name: str, old: str, new: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for one in source.namelist():
            text = source.read(one)
            if one == name:
                assert old.encode() in text
                text = text.replace(old.encode(), new.encode())
            target.writestr(one, text)
    return out.getvalue()


# -- what a format says ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["docx", "pptx"])
def test_office_files_say_when_they_were_changed_or_else_made(tmp_path: Path, kind: str) -> None:
    """The last change counts before the making, and a template's own dates count for nothing."""
    assert dated(tmp_path, f"a.{kind}", office(kind, created=BEFORE, modified=DAY)) == SAID
    made = office(kind, created=DAY)  # 'modified' stays the template's
    assert dated(tmp_path, f"b.{kind}", made) == Dated("2025-03-04", "created")
    assert dated(tmp_path, f"c.{kind}", office(kind)) is None


def test_workbooks_say_when_they_were_saved(tmp_path: Path) -> None:
    """openpyxl writes the moment of saving, so here the part is written over."""
    data, core = office("xlsx", created=BEFORE), "docProps/core.xml"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        now = archive.read(core).decode().rpartition("</dcterms:modified>")[0][-20:]
    assert dated(tmp_path, "a.xlsx", replaced(data, core, now, "2025-03-04T10:30:00Z")) == SAID
    only_made = replaced(data, core, f">{now}</dcterms:modified>", "></dcterms:modified>")
    assert dated(tmp_path, "b.xlsx", only_made) == Dated("2024-12-01", "created")


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
def test_an_office_file_that_says_nothing_has_no_date(tmp_path: Path, kind: str) -> None:
    """Where the part is missing the libraries say 'now'; the kit says nothing."""
    path = tmp_path / f"a.{kind}"
    path.write_bytes(without(office(kind, modified=DAY), "docProps/"))
    parsed = parse(path, path.name)
    assert "R90" in parsed.text
    assert parsed.dated is None


def pdf(*, title: str = "", **said: str) -> bytes:
    """A PDF of one line whose information says this, by pdfium's names."""
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, invariant=1, pageCompression=0)
    canvas.drawString(72, 700, "The fee is R90.")
    canvas.save()
    data = out.getvalue()
    for name in ("CreationDate", "ModDate"):
        old = f"/{name} (D:20000101000000+00'00')".encode()
        assert data.count(old) == 1
        given = said.get(name, "")
        new = f"/{name} ({given})".encode() if given else b""
        data = data.replace(old, new.ljust(len(old)))  # every offset stays
    return data


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"ModDate": "D:20250304103000+02'0", "CreationDate": "D:20241201"}, SAID),
        ({"ModDate": "D:20250304"}, SAID),
        ({"CreationDate": "D:20250304103000Z"}, Dated("2025-03-04", "created")),
        ({"ModDate": "D:2025"}, Dated("2025", "modified")),
        ({"ModDate": "yesterday", "CreationDate": "D:20250304"}, Dated("2025-03-04", "created")),
        ({"ModDate": "D:20000101000000+00'00'"}, None),  # reportlab, when it is told no time
        ({"ModDate": "D:19700101000000Z"}, None),
        ({"ModDate": "D:20259999999999Z"}, None),
        ({"ModDate": "D:99991231000000Z"}, None),
        ({}, None),
    ],
)
def test_pdf_says_when_it_was_changed_or_else_made(
    tmp_path: Path, said: dict[str, str], found: Dated | None
) -> None:
    """Of any length that the format allows; what is no day, or cannot be true, is none."""
    assert dated(tmp_path, "a.pdf", pdf(**said)) == found


def test_a_scan_says_nothing(tmp_path: Path) -> None:
    """A scan of an old policy was made when it was scanned, which is not when it was written."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(400, 400))
    canvas.drawImage(ImageReader(Image.new("RGB", (200, 200), "gray")), 0, 0, 400, 400)
    canvas.save()
    path = tmp_path / "scan.pdf"
    path.write_bytes(out.getvalue())
    parsed = parse(path, "scan.pdf")
    assert parsed.scans
    assert parsed.dated is None


ODF_BODIES = {
    "odt": ("text", "<text:p>The fee is R90.</text:p>"),
    "ods": (
        "spreadsheet",
        '<table:table table:name="A"><table:table-row><table:table-cell><text:p>R90</text:p>'
        "</table:table-cell></table:table-row></table:table>",
    ),
    "odp": ("presentation", "<draw:page><draw:frame><text:p>R90</text:p></draw:frame></draw:page>"),
}


@pytest.mark.parametrize("kind", list(ODF_BODIES))
def test_opendocument_says_when_it_was_changed_or_else_made(tmp_path: Path, kind: str) -> None:
    """dc:date counts before meta:creation-date."""
    made = "<meta:creation-date>2024-12-01T09:00:00.123456789</meta:creation-date>"
    changed = "<dc:date>2025-03-04T10:30:00.987654321</dc:date>"
    assert dated(tmp_path, f"a.{kind}", odf(*ODF_BODIES[kind], meta=made + changed)) == SAID
    only_made = dated(tmp_path, f"b.{kind}", odf(*ODF_BODIES[kind], meta=made))
    assert only_made == Dated("2024-12-01", "created")
    assert dated(tmp_path, f"c.{kind}", odf(*ODF_BODIES[kind])) is None


@pytest.mark.parametrize(
    ("info", "found"),
    [
        (r"{\creatim\yr2024\mo12\dy1\hr9\min0}{\revtim\yr2025\mo3\dy4\hr10\min30}", SAID),
        (r"{\creatim\yr2025\mo3\dy4}", Dated("2025-03-04", "created")),
        (r"{\revtim\yr0\mo0\dy0\hr0\min0}", None),
        (r"{\revtim\yr2025\mo13\dy4}", None),
        (r"{\revtim\yr-2025\mo3\dy9999999999}", None),
        ("", None),
    ],
)
def test_rtf_says_when_it_was_changed_or_else_made(
    tmp_path: Path, info: str, found: Dated | None
) -> None:
    """In its info group only, and nothing of it is text."""
    path = tmp_path / "a.rtf"
    path.write_text(rf"{{\rtf1\ansi{{\info{{\title Fees}}{info}}}The fee is R90.\par}}")
    parsed = parse(path, "a.rtf")
    assert (parsed.dated, parsed.text.strip(), parsed.title) == (found, "The fee is R90.", "Fees")
    path.write_text(r"{\rtf1\ansi The fee {\revtim\yr2025\mo3\dy4} is R90.\par}")
    assert parse(path, "a.rtf").dated is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("<dc:date>2025-03-04</dc:date>", Dated("2025-03-04", "published")),
        (
            '<dc:date opf:event="modification">2026-01-01</dc:date>'
            '<dc:date opf:event="publication">2010</dc:date>',
            Dated("2010", "published"),
        ),
        ("<dc:date>0101-01-01T00:00:00+00:00</dc:date>", None),  # "unknown" in calibre
        ("<dc:date/>", None),
    ],
)
def test_ebooks_say_when_they_were_published(
    tmp_path: Path, said: str, found: Dated | None
) -> None:
    """Not when the file was packed."""
    assert dated(tmp_path, "a.epub", epub({"a.xhtml": "<p>Fees.</p>"}, {}, said)) == found


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("Tue, 4 Mar 2025 10:30:00 +0200", Dated("2025-03-04", "sent")),
        ("Thu, 1 Jan 1970 00:00:00 +0000", None),
        ("Tue, 4 Mar 99999999999999999999 10:30:00 +0200", None),
        ("Tue, 44 Foo 2025 25:61:61 +9999", None),
        ("=?utf-8?q?=FF?=", None),
        ("Fri, 31 Dec 2100 10:00:00 +0000", None),
    ],
)
def test_messages_say_when_they_were_sent(tmp_path: Path, date: str, found: Dated | None) -> None:
    """A date that is none costs the message nothing."""
    path = tmp_path / "a.eml"
    path.write_text(f"From: ann@example.org\nDate: {date}\nSubject: Fee\n\nThe fee is R90.\n")
    parsed = parse(path, "a.eml")
    assert parsed.dated == found
    assert "The fee is R90." in parsed.text


def test_outlook_messages_say_when_they_were_sent(tmp_path: Path) -> None:
    """The time of submission."""
    texts = {0x0037: "Fee", 0x1000: "The fee is R90."}
    data = ole(msg(texts, sent_at=DAY))
    assert dated(tmp_path, "a.msg", data) == Dated("2025-03-04", "sent")
    assert dated(tmp_path, "b.msg", ole(msg(texts))) is None


@pytest.mark.parametrize(
    ("front", "found"),
    [
        ("date: 2025-03-04", Dated("2025-03-04", "published")),
        ("updated: '2025-03-04 10:30'\ndate: 2024-12-01", SAID),
        ("created: 2025-03-04T10:30:00Z", Dated("2025-03-04", "created")),
        ("date: soon", None),
        ("tags:\n- date: 2025-03-04\n  date: 2025-03-04", None),
    ],
)
def test_markdown_says_it_in_its_front_matter(
    tmp_path: Path, front: str, found: Dated | None
) -> None:
    """By the names that programs use; only what opens the file counts."""
    text = f"---\ntitle: Fees\n{front}\n---\n\nThe fee is R90.\n"
    assert dated(tmp_path, "a.md", text) == found
    assert dated(tmp_path, "b.md", f"Fees\n\n{text}") is None


def test_old_workbooks_say_when_they_were_saved(tmp_path: Path) -> None:
    """Or else made; a property set that is damaged costs the date alone."""
    rows: list[list[str | float]] = [["Fee", 90.0]]
    assert dated(tmp_path, "a.xls", xls("Fees", rows, summary({12: BEFORE, 13: DAY}))) == SAID
    only_made = dated(tmp_path, "b.xls", xls("Fees", rows, summary({12: DAY})))
    assert only_made == Dated("2025-03-04", "created")
    assert dated(tmp_path, "c.xls", xls("Fees", rows)) is None
    damaged = xls("Fees", rows, {"\x05SummaryInformation": filetime(DAY) * 40})
    assert dated(tmp_path, "d.xls", damaged) is None


@pytest.mark.parametrize(
    ("head", "body", "found"),
    [
        ('<meta property="article:modified_time" content="2025-03-04T10:30:00+02:00">', "", SAID),
        ('<meta name="DCTERMS.modified" content="2025-03-04">', "", SAID),
        ('<meta http-equiv="Last-Modified" content="Tue, 04 Mar 2025 10:30:00 GMT">', "", SAID),
        (
            '<meta name="dcterms.date" content="2024-12-01">'
            '<meta property="article:modified_time" content="2025-03-04">',
            "", SAID,
        ),
        ('<meta name="dcterms.date" content="2025-03">', "", Dated("2025-03", "published")),
        ('<meta name="date" content="soon">', "", None),
        ("", '<time itemprop="datePublished" datetime="2025-03-04">4 March</time>',
         Dated("2025-03-04", "published")),
        ("", '<time datetime="2025-03-04" pubdate>4 March</time>',
         Dated("2025-03-04", "published")),
        ("", '<p>The call closes on <time datetime="2025-03-04">4 March</time>.</p>', None),
    ],
)  # fmt: skip
def test_web_pages_say_when_they_were_changed_or_published(
    tmp_path: Path, head: str, body: str, found: Dated | None
) -> None:
    """A date that the page speaks of is not the page's."""
    page = f"<html><head><title>Fees</title>{head}</head><body><p>R90.</p>{body}</body></html>"
    assert dated(tmp_path, "a.html", page) == found


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.csv"])
def test_plain_text_says_nothing(tmp_path: Path, name: str) -> None:
    """These formats have no place for a date."""
    assert dated(tmp_path, name, "Fee,Date\nR90,2025-03-04\n") is None


# -- what is believed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "", " ", "0000-00-00", "1601-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1979-12-31",
        "1980-01-01T00:00:00Z", "2013-12-23T23:15:00Z", "2013-12-23 23:15:00",
        "2006-09-16T00:00:00Z", "2025-02-30", "2025-13-01", "2025-3-4", "20250304",
        "2025-03-04-05", "9999-12-31", "99999999", "٢٠٢٥-03-04", "\x00\x01", "D:20250304",
    ],
)  # fmt: skip
def test_dates_that_cannot_be_true_are_none(said: str) -> None:
    """Zero dates, templates', days that are none, and what no format writes; the next counts."""
    assert own_date((said, "modified")) is None
    assert own_date((said, "modified"), ("2025-03-04", "created")) == Dated("2025-03-04", "created")


def test_tomorrow_is_believed_and_the_day_after_is_not() -> None:
    """Clocks and time zones differ by a day, not by two."""
    today = datetime.now(UTC).date()
    days = [(today + timedelta(days=n)).isoformat() for n in (0, 1, 3)]
    found = [own_date((day, "modified")) for day in days]
    assert [one.day if one else None for one in found] == [*days[:2], None]


@given(st.text(max_size=60) | st.from_regex(r"D?:?\d{0,20}[-+Z' :T.\d]*", fullmatch=True))
def test_what_a_file_says_never_harms(said: str) -> None:
    """Whatever stands there gives a day that exists, or none."""
    for text in (said, iso_of_pdf(said)):
        found = own_date((text, "modified"))
        if found is not None:
            known = found.day + "-01-01"[len(found.day) - 4 :]
            assert "1980" <= datetime.fromisoformat(known[:10]).date().isoformat()[:4] <= "2100"
            assert found.words.startswith("changed ")


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("policy-2023.pdf", "2023"),
        ("minutes-2025-03-04.docx", "2025-03-04"),
        ("Minutes 20250304.docx", "2025-03-04"),
        ("minutes_2025.03.04_final.docx", "2025-03-04"),
        ("minutes-2026-09.docx", "2026-09"),
        ("24.03.2025 minutes.txt", "2025-03-24"),
        ("04-03-2025 minutes.txt", "2025"),  # April or March
        ("4 March 2025.docx", "2025-03-04"),
        ("4th_march_2025.docx", "2025-03-04"),
        ("March 4, 2025.docx", "2025-03-04"),
        ("Sept-2024.docx", "2024-09"),
        ("grants-register-2022-2026.csv", "2026"),
        ("budget 2024-25.xlsx", "2024"),
        ("report 2023 (changed 2025-03-04).pdf", "2025-03-04"),
        ("policies/2019/travel.pdf", "2019"),
        ("2019/travel-2023.pdf", "2023"),
        ("31-02-2025.txt", "2025"),
        ("maybe 12.pdf", ""),
        ("invoice-120250304.pdf", ""),
        ("policy-v2.pdf", ""),
        ("form 1850.pdf", ""),
    ],
)
def test_a_name_says_when(name: str, day: str) -> None:
    """As exactly as it does; the file's name before its folder's, the latest of several."""
    assert name_day(name) == day


@given(st.text(max_size=80))
def test_any_name_is_borne(name: str) -> None:
    """It says a day that exists, or none."""
    day = name_day(name)
    assert day == "" or datetime.fromisoformat((day + "-01-01"[len(day) - 4 :])[:10])


def test_a_question_may_name_several_days() -> None:
    """Each once, the longest way of writing it."""
    found = text_days("From 4 March 2025 or 2024-12, as in 2019?")
    assert found == {"2025-03-04", "2024-12", "2019"}


@pytest.mark.parametrize(
    ("name", "own", "won"),
    [
        ("policy-2023.pdf", Dated("2026-01-02", "created"), Dated("2023", "name")),
        ("policy-2023.pdf", Dated("2023-05-06", "created"), Dated("2023-05-06", "created")),
        ("policy-2023.pdf", None, Dated("2023", "name")),
        ("policy.pdf", Dated("2026-01-02", "created"), Dated("2026-01-02", "created")),
        ("policy.pdf", None, None),
        ("thread-2025.eml", Dated("2025-03-04", "sent"), Dated("2025", "name")),
    ],
)
def test_the_name_wins(name: str, own: Dated | None, won: Dated | None) -> None:
    """People choose it; what the file says counts where it is silent, or only less exact."""
    assert date_of(name, own) == won


def test_days_compare_as_far_as_both_are_known() -> None:
    """A year is neither before nor after a day in it."""
    assert is_later("2025", "2023-05-06")
    assert is_later("2025-03-04", "2025-03-03")
    assert not is_later("2025-03-04", "2025")
    assert not is_later("2025", "2025-03-04")


def test_a_date_is_said_in_words() -> None:
    """With what says so."""
    assert Dated("2025", "name").words == "2025 by its name"
    assert Dated("2025-03-04", "modified").words == "changed 4 March 2025"
    assert Dated("2025-03", "published").words == "published March 2025"


# -- what the library keeps -----------------------------------------------------------------------


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    return Library(home, database)


@pytest.fixture
def read(library: Library) -> Callable[..., Any]:
    """Add a file and read it, as the worker does; the record then."""

    def run(name: str, data: bytes) -> Any:
        record = library.add(io.BytesIO(data), name, added_by="local")
        ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
        while ingestor.run_next():
            pass
        return library.get(record.id, "local")

    return run


def test_the_library_keeps_it_with_the_document(library: Library, read: Callable) -> None:
    """Read in the cage, shown with the document and its passages; a name that has one wins."""
    data = office("docx", modified=DAY)
    record = read("fees.docx", data)
    assert record.dated == SAID
    assert library.whole(record.id, "local").hits[0].dated == SAID
    assert [r.dated for r in library.list("local")] == [SAID]
    other = read("fees-2023.docx", office("docx", modified=BEFORE))
    assert other.dated == Dated("2023", "name")
    kept = library.database.row("SELECT dated, dated_by FROM documents WHERE id = ?", (other.id,))
    assert kept == ("2024-12-01", "modified")


def test_a_duplicate_and_its_heir_have_the_same_date(library: Library, read: Callable) -> None:
    """A duplicate is never read itself: it says what the one that answers for it says."""
    data = office("docx", modified=DAY)
    first, double = read("fees.docx", data), read("copy.docx", data)
    assert double.state == "duplicate"
    assert double.dated == SAID
    library.remove(first.id, "local")
    heir = library.get(double.id, "local")
    assert (heir.state, heir.dated) == ("indexed", SAID)


def test_read_again_a_document_gets_its_date(library: Library, read: Callable) -> None:
    """One that a kit without dates had read has none until then."""
    record = read("fees.docx", office("docx", modified=DAY))
    with library.database.write() as connection:
        connection.execute("UPDATE documents SET dated = NULL, dated_by = NULL")
    assert library.get(record.id, "local").dated is None
    library.retry(record.id, "local")
    assert read("other.md", b"Another.").dated is None  # the queue is read to its end
    assert library.get(record.id, "local").dated == SAID


def test_the_date_comes_out_of_the_cage(tmp_path: Path) -> None:
    """As the parser said it."""
    path = tmp_path / "a"
    path.write_bytes(office("docx", modified=DAY))
    parsed = parse_in_child(
        path, "a.docx", timeout_s=60, memory_mb=1024, work_folder=tmp_path / "work"
    )
    assert parsed.dated == SAID
