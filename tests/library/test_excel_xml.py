"""Excel workbooks as XML of 2003, as programs of book-keeping write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import DocumentRefused
from kit.library.dates import Dated
from kit.library.documents import ParsedDocument
from kit.library.parsers import parse
from kit.library.parsers.xlsx import MAX_BLANK_ROWS
from tests.hangs import no_hang

BOOK = """<?xml version="1.0"?>
<?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">
 <DocumentProperties xmlns="urn:schemas-microsoft-com:office:office">
  <Title>Costs of travel</Title><Created>2023-01-02T08:00:00Z</Created>
  <LastSaved>2025-03-04T10:30:00Z</LastSaved>
 </DocumentProperties>
 <Styles>
  <Style ss:ID="s1"><NumberFormat ss:Format="Percent"/></Style>
  <Style ss:ID="s2"><NumberFormat ss:Format="0.0%"/></Style>
 </Styles>
 <Worksheet ss:Name="Costs"><Table>
  ROWS
 </Table></Worksheet>
 <Worksheet ss:Name="Old"><Table><Row><Cell><Data ss:Type="String">kept</Data></Cell></Row></Table>
  <WorksheetOptions xmlns="urn:schemas-microsoft-com:office:excel"><Visible>SheetHidden</Visible>
  </WorksheetOptions></Worksheet>
</Workbook>"""


def cell(kind: str, text: str, more: str = "") -> str:
    return f'<Cell {more}><Data ss:Type="{kind}">{text}</Data></Cell>'


def row(*cells: str, more: str = "") -> str:
    return f"<Row {more}>{''.join(cells)}</Row>"


HEADER = row(cell("String", "Place"), cell("String", "Cost"), cell("String", "Share"))


def read(tmp_path: Path, name: str, rows: str) -> ParsedDocument:
    path = tmp_path / "file"
    path.write_text(BOOK.replace("ROWS", rows), encoding="utf-8")
    return parse(path, name)


def lines(parsed: ParsedDocument, label: str = "sheet Costs") -> list[str]:
    [section] = [s for s in parsed.sections if s.label == label]
    return parsed.text[section.start : section.end].split("\n")[:-1]


def test_rows_are_read_as_people_see_them(tmp_path: Path) -> None:
    """Cells name their columns; numbers, shares, dates, bold words, and empty and merged cells."""
    bold = '<ss:Data ss:Type="String" xmlns="http://www.w3.org/TR/REC-html40">R<B>1</B></ss:Data>'
    rows = (
        HEADER
        + row(
            cell("String", "Accra &amp; Tema"),
            cell("Number", "1200.0"),
            cell("Number", "0.15", 'ss:StyleID="s1"'),
        )
        + row(
            cell("String", "Lusaka", 'ss:MergeAcross="1"'),
            cell("Number", "0.155", 'ss:StyleID="s2"'),
        )
        + row(
            cell("DateTime", "2025-03-04T00:00:00.000", 'ss:Index="2"'),
            cell("Boolean", "1"),
            more='ss:Index="5"',
        )
        + row(f"<Cell>{bold}</Cell>", cell("Error", "#N/A"), cell("Number", "many"))
    )
    parsed = read(tmp_path, "costs.xls", rows)
    assert lines(parsed) == [
        "Place; Cost; Share",
        "Place: Accra & Tema; Cost: 1200; Share: 15%",
        "Place: Lusaka; Share: 15.5%",
        "",
        "Cost: 2025-03-04; Share: yes",
        "Place: R1; Cost: #N/A; Share: many",
    ]
    assert lines(parsed, "sheet Old") == ["kept"]
    assert parsed.title == "Costs of travel"
    assert parsed.dated == Dated("2025-03-04", "modified")
    assert any("named .xls, but the content is an Excel workbook as XML" in n for n in parsed.notes)
    assert "sheet Old is hidden in the file; it was read too" in parsed.notes


def test_its_own_name_needs_no_remark(tmp_path: Path) -> None:
    """Named .xml it is what it says."""
    parsed = read(tmp_path, "costs.xml", HEADER)
    assert parsed.notes == ("sheet Old is hidden in the file; it was read too",)


def test_numbers_that_lie_cost_nothing(tmp_path: Path) -> None:
    """A row or a column far out is left out, and said, not filled up."""
    far = row(cell("String", "far"), more='ss:Index="2000000000"')
    wide = row(cell("String", "near"), cell("String", "far", 'ss:Index="2000000000"'))
    gap = row(cell("String", "later"), more=f'ss:Index="{MAX_BLANK_ROWS + 10}"')
    with no_hang():
        assert "far" not in read(tmp_path, "a.xls", HEADER + far).text
        assert lines(read(tmp_path, "a.xls", wide)) == ["near"]
        parsed = read(tmp_path, "a.xls", HEADER + gap)
    assert "later" not in parsed.text
    assert any("were left out" in note for note in parsed.notes)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (BOOK[:700], "damaged"),
        ('<?xml version="1.0"?><w:wordDocument xmlns:w='
         '"http://schemas.microsoft.com/office/word/2003/wordml"/>', "Office document as XML"),
        ('<pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage"/>',
         "Office document as XML"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_in_words(tmp_path: Path, data: str, word: str) -> None:
    """A stump, and Office's other XML files: a reason and a next step."""
    path = tmp_path / "file"
    path.write_text(data)
    with pytest.raises(DocumentRefused) as refusal:
        parse(path, "a.xml")
    assert word in refusal.value.message
    assert refusal.value.hint


def test_entities_are_not_followed(tmp_path: Path) -> None:
    """What a file declares as an entity stays unread: neither files nor bombs."""
    secret = tmp_path / "secret"
    secret.write_text("the planted secret")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]>\n<Workbook'
    cells = row(cell("String", "&x;"), cell("String", "seen"))
    text = BOOK.replace("ROWS", cells).replace("<Workbook", declared, 1)
    path = tmp_path / "file"
    path.write_text(text)
    parsed = parse(path, "a.xml")
    assert "planted" not in parsed.text
    assert "seen" in parsed.text


def test_other_xml_stays_text(tmp_path: Path) -> None:
    """XML of any other kind is read as it stands."""
    path = tmp_path / "file"
    path.write_text("<?xml version='1.0'?><note>Bring the keys.</note>")
    assert "Bring the keys." in parse(path, "a.xml").text
