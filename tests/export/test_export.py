"""Exports are read back by the libraries that offices use, and say what the answer says."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import replace
from pathlib import PurePath
from xml.etree import ElementTree

import pytest
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from kit.answer.conversations.conversations import Conversation, Message
from kit.answer.events import Answer, Cell, Citation, Sentence, Table, Timings
from kit.errors import NotFound, UsageError
from kit.export.blocks import source_of
from kit.export.export import export, format_of
from kit.export.markdown import escape
from kit.export.report import Report, Turn, report_of
from kit.library.dates import Dated

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
POLICY = Citation(1, "policy.pdf", "d1", 3, "page 3", 10, 36, "Staff receive R 650\na day <b>.")
MINUTES = Citation(2, "minutes.docx", "d2", None, "Dates", 4, 9, "It meets on Tuesday.")
NO_TIME = Timings(0.0, 0.0, 0.0)
ANSWER = Answer(
    text="“Staff receive R 650 a day.” [1]\n\nThe committee **meets** [2] and pays [1] but [7].",
    is_supported=True,
    quote=1,
    sentences=(Sentence("The moon is made of cheese.", "unsupported"),),
    citations=(POLICY, MINUTES),
    timings=NO_TIME,
    notices=("words only",),
)
EVIL = '=HYPERLINK("http://x";"y")'
TABLE = Table(
    "Fields",
    ("Document", "Deadline"),
    (
        (Cell("a.pdf"), Cell(EVIL, (1,), (12, 20))),
        (Cell("@b.pdf"), Cell("not found")),
        (Cell("c.pdf"), Cell("-5 days", (2,))),
    ),
)
TABLED = Answer("Two of three.", True, None, (), (POLICY, MINUTES), NO_TIME, tables=(TABLE,))


def report(*answers: Answer, title: str = "Allowance / 2026?") -> Report:
    return Report(title, "2026-11-27", tuple(Turn("What is paid?", a) for a in answers))


def footnotes(data: bytes) -> tuple[list[str], list[str]]:
    """The ids that the text refers to, in order, and the texts of the notes by id from 1."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        text = ElementTree.fromstring(packed.read("word/document.xml"))
        notes = ElementTree.fromstring(packed.read("word/footnotes.xml"))
        assert b"footnotes+xml" in packed.read("[Content_Types].xml")
    used = [node.attrib[f"{W}id"] for node in text.iter(f"{W}footnoteReference")]
    texts = {
        note.attrib[f"{W}id"]: "".join(t.text or "" for t in note.iter(f"{W}t")).strip()
        for note in notes.iter(f"{W}footnote")
    }
    assert sorted(texts)[:2] == ["-1", "0"]
    assert used == [n for n in texts if int(n) > 0]
    return used, [texts[n] for n in used]


def test_word_has_a_footnote_for_each_citation() -> None:
    """Reopened, the text is the answer's; each note names document, place and verbatim words.

    The second note for the same words points to the first; an unknown marker stays as written.
    """
    data = export(report(ANSWER, ANSWER), "docx").data
    opened = Document(io.BytesIO(data))
    texts = [paragraph.text for paragraph in opened.paragraphs]
    assert "“Staff receive R 650 a day.”" in texts
    assert "The committee meets and pays but [7]." in texts
    assert texts.count("The moon is made of cheese.") == 2
    assert sum(text.startswith("Left out: the documents do not support") for text in texts) == 2
    used, notes = footnotes(data)
    assert used == ["1", "2", "3", "4", "5", "6"]
    assert notes[0] == "policy.pdf, page 3, characters 10-36: “Staff receive R 650 a day <b>.”"
    assert notes[1].startswith("minutes.docx, Dates")
    assert notes[2] == "See note 1."
    assert notes[3] == notes[0]  # the second answer numbers its own evidence


def test_a_note_says_of_when_its_document_is() -> None:
    """And what says so."""
    cited = replace(POLICY, dated=Dated("2025-03-04", "modified"))
    assert source_of(cited) == "policy.pdf, page 3, characters 10-36, changed 4 March 2025"


def test_word_draws_tables_with_their_notes() -> None:
    """A table is a table, and its cells carry footnotes."""
    data = export(report(TABLED), "docx").data
    [table] = Document(io.BytesIO(data)).tables
    assert [cell.text for cell in table.rows[1].cells] == ["a.pdf", EVIL]
    assert len(footnotes(data)[0]) == 2


def test_markdown_resolves_every_note() -> None:
    """Each reference has exactly one note, also over several answers; nothing is live."""
    text = export(report(ANSWER, TABLED), "md").data.decode()
    defined = re.findall(r"^\[\^([\d-]+)\]:", text, re.M)
    used = set(re.findall(r"\[\^([\d-]+)\](?!:)", text))
    assert sorted(defined) == ["1-1", "1-2", "2-1", "2-2"]
    assert used <= set(defined)
    assert "“Staff receive R 650 a day \\<b\\>.”" in text
    assert "*The moon is made of cheese.*" in text
    assert "| c.pdf | \\-5 days[^2-2] |" in text


@given(st.text())
def test_markdown_brings_nothing_to_life(text: str) -> None:
    """No letters of a document make an image, a link, HTML or a table's border."""
    written = escape(f"![x](https://evil.example/?q=1) <img src=x> {text} [a]: http://b www.c.de")
    assert not re.search(r"(?<!\\)(?:\\\\)*[!\[\]<>|`*_]", written)
    assert not re.search(r"(?<!\\)://|www\.", written)


def test_a_spreadsheet_holds_values_and_their_evidence() -> None:
    """One row per document, evidence in comments and on its own sheet, and nothing is a formula."""
    book = load_workbook(io.BytesIO(export(report(TABLED), "xlsx").data))
    fields, evidence = book["Fields"], book["Evidence"]
    assert [cell.value for cell in fields[2]] == ["a.pdf", EVIL]
    assert "page 3" in fields["B2"].comment.text
    assert "Staff receive R 650 a day" in fields["B2"].comment.text
    assert fields["B3"].comment is None
    cells = [cell for sheet in book for row in sheet for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert all(cell.quotePrefix for cell in cells if cell.data_type == "s")
    rows = [[cell.value for cell in row] for row in evidence]
    assert rows[1] == [
        *("Fields", "a.pdf", "Deadline", EVIL, "policy.pdf", 3, "page 3", 12, 20),
        "Staff receive R 650 a day <b>.",
    ]
    assert len(rows) == 3


def test_csv_holds_no_formula() -> None:
    """Fields that a spreadsheet would run begin with an apostrophe."""
    data = export(report(TABLED), "csv").data.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(data)))
    assert rows[0] == ["Document", "Deadline", "Deadline: source"]
    assert rows[1][:2] == ["a.pdf", f"'{EVIL}"]
    assert "page 3" in rows[1][2]
    assert rows[2] == ["'@b.pdf", "not found", ""]
    assert rows[3][1] == "'-5 days"


@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_without_a_table_there_is_no_spreadsheet(form: str) -> None:
    """That is said, with what to take instead."""
    with pytest.raises(UsageError, match="no table") as raised:
        export(report(ANSWER), form)  # type: ignore[arg-type]
    assert "Markdown" in str(raised.value.hint)


@settings(max_examples=8)
@given(st.builds(Answer, timings=st.just(NO_TIME)))
def test_any_answer_becomes_a_word_file(answer: Answer) -> None:
    """Whatever letters an answer holds, Word's library opens the file."""
    assert Document(io.BytesIO(export(report(answer), "docx").data)).paragraphs


def test_a_report_takes_one_answer_or_all() -> None:
    """Questions go with their answers; another answer's number is not found."""
    chat = Conversation("c1", "ann", "Allowances", "2026-11-26", "2026-11-27")
    made = [
        Message(1, "c1", "user", "complete", "What is paid?", None, 0, "2026-11-27T10:00:00Z"),
        Message(2, "c1", "assistant", "complete", ANSWER.text, ANSWER, 0, "2026-11-27T10:00:01Z"),
        Message(3, "c1", "user", "complete", "And abroad?", None, 0, "2026-11-27T10:00:02Z"),
        Message(4, "c1", "assistant", "stopped", "", None, 0, "2026-11-27T10:00:03Z"),
    ]
    whole = report_of(chat, made)
    assert (whole.title, whole.day, len(whole.turns)) == ("Allowances", "2026-11-27", 2)
    assert b"stopped before it was finished" in export(whole, "md").data
    one = report_of(chat, made, 2)
    assert one.title == "What is paid?"
    assert one.turns == (Turn("What is paid?", ANSWER, "complete"),)
    with pytest.raises(NotFound):
        report_of(chat, made, 3)
    with pytest.raises(UsageError):
        report_of(chat, made[:1])


def test_the_name_of_a_file_says_its_format() -> None:
    """By its ending, in any case; another ending is refused with the ones there are."""
    assert format_of(PurePath("a/Report.DOCX")) == "docx"
    assert export(report(ANSWER), "md").name == "allowance-2026.md"
    with pytest.raises(UsageError, match=r"out\.pdf"):
        format_of(PurePath("out.pdf"))
