"""A report as a Word document, citations as real footnotes.

Owns python-docx for writing. It knows no footnotes, so their part is written here (ECMA-376 part 1,
17.11). Invariant: every footnote reference in the text has its footnote, and text of a person, a
document or a model is only ever text.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from kit.answer.events import Answer, Citation, Table
from kit.export.blocks import Block, Run, blocks, cell_runs, printable, source_of, verbatim
from kit.export.report import LEFT_OUT, STATES, Report, Turn

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_STYLES = {
    "heading": "Heading 3",
    "bullet": "List Bullet",
    "number": "List Number",
    "quote": "Quote",
    "paragraph": None,
}
# Word draws the line above the notes from these two.
_SEPARATORS = (
    '<w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>'
    '<w:footnote w:type="continuationSeparator" w:id="0"><w:p><w:r><w:continuationSeparator/></w:r>'
    "</w:p></w:footnote>"
)
_STYLE = '<w:pPr><w:pStyle w:val="FootnoteText"/></w:pPr>'
_MARK = '<w:r><w:rPr><w:rStyle w:val="FootnoteReference"/></w:rPr><w:footnoteRef/></w:r>'


def docx(report: Report) -> bytes:
    """The report as a .docx file."""
    from docx import Document

    document: Any = Document()
    notes = _Notes()
    _add_styles(document)
    document.core_properties.title = printable(report.title)
    document.core_properties.author = "Kit"
    document.add_heading(printable(report.title), 0)
    document.add_paragraph(report.day)
    for turn in report.turns:
        _add_turn(document, turn, notes)
    _attach(document, notes)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


class _Notes:
    """The footnotes of one document, numbered from 1 in the order of their places."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._first: dict[tuple[int, int], int] = {}

    def add(self, citation: Citation, turn: int) -> int:
        """A footnote for this place; the second one for the same words points to the first."""
        number = len(self._texts) + 1
        first = self._first.setdefault((turn, citation.n), number)
        full = f"{printable(source_of(citation))}: “{verbatim(citation)}”"
        self._texts.append(full if first == number else f"See note {first}.")
        return number

    def xml(self) -> bytes:
        """The footnotes part."""
        notes = "".join(
            f'<w:footnote w:id="{number}"><w:p>{_STYLE}{_MARK}'
            f'<w:r><w:t xml:space="preserve"> {escape(text)}</w:t></w:r></w:p></w:footnote>'
            for number, text in enumerate(self._texts, start=1)
        )
        head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        return f'{head}<w:footnotes xmlns:w="{W}">{_SEPARATORS}{notes}</w:footnotes>'.encode()


def _add_turn(document: Any, turn: Turn, notes: _Notes) -> None:
    document.add_heading(printable(" ".join(turn.question.split())), 1)
    key = id(turn)
    if turn.answer is not None:
        for block in blocks(turn.answer):
            _add_block(document, block, notes, key)
        for table in turn.answer.tables:
            _add_table(document, table, turn.answer, notes, key)
        for notice in turn.answer.notices:
            document.add_paragraph().add_run(printable(notice)).italic = True
    if turn.state != "complete":
        document.add_paragraph().add_run(STATES[turn.state]).italic = True
    if turn.unsupported:
        document.add_paragraph().add_run(f"{LEFT_OUT}:").bold = True
        for text in turn.unsupported:
            paragraph = document.add_paragraph(style="List Bullet")
            paragraph.add_run(printable(" ".join(text.split()))).italic = True


def _add_block(document: Any, block: Block, notes: _Notes, key: int) -> None:
    _add_runs(document.add_paragraph(style=_STYLES[block.kind]), block.runs, notes, key)


def _add_runs(paragraph: Any, placed: Sequence[Run], notes: _Notes, key: int) -> None:
    for run in placed:
        if run.note is not None:
            _add_reference(paragraph, notes.add(run.note, key))
            continue
        made = paragraph.add_run(run.text)
        made.bold, made.italic = run.is_bold or None, run.is_italic or None


def _add_reference(paragraph: Any, number: int) -> None:
    from docx.oxml.ns import qn
    from docx.oxml.parser import OxmlElement

    run = paragraph.add_run()
    run.style = "Footnote Reference"
    reference = OxmlElement("w:footnoteReference")
    reference.set(qn("w:id"), str(number))
    run._r.append(reference)


def _add_table(document: Any, table: Table, answer: Answer, notes: _Notes, key: int) -> None:
    document.add_heading(printable(table.title), 2)
    drawn = document.add_table(rows=1, cols=len(table.columns), style="Table Grid")
    for cell, column in zip(drawn.rows[0].cells, table.columns, strict=True):
        cell.paragraphs[0].add_run(printable(column)).bold = True
    _repeat_head(drawn.rows[0])
    for row in table.rows:
        for drawn_cell, cell in zip(drawn.add_row().cells, row, strict=True):
            _add_runs(drawn_cell.paragraphs[0], cell_runs(cell, answer), notes, key)
    document.add_paragraph()


def _repeat_head(row: Any) -> None:
    """The row is drawn again on each page of its table."""
    from docx.oxml.parser import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))


def _add_styles(document: Any) -> None:
    """The two styles that footnotes are written in; Word's own template names them so."""
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import Pt

    text = document.styles.add_style("Footnote Text", WD_STYLE_TYPE.PARAGRAPH)
    text.base_style, text.font.size = document.styles["Normal"], Pt(9)
    mark = document.styles.add_style("Footnote Reference", WD_STYLE_TYPE.CHARACTER)
    mark.font.superscript = True
    for style, name in ((text, "FootnoteText"), (mark, "FootnoteReference")):
        style._element.styleId = name


def _attach(document: Any, notes: _Notes) -> None:
    """The footnotes belong to the document."""
    from docx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part

    part = Part(
        PackURI("/word/footnotes.xml"),
        CONTENT_TYPE.WML_FOOTNOTES,
        notes.xml(),
        document.part.package,
    )
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
