"""Word documents: paragraphs, lists and tables in document order, under their headings.

Reads the XML itself below python-docx, because text in content controls, insertions and text
boxes is text a person sees. Deleted and hidden text is not read. Word files know no page numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import HeadingPath, TextBuilder, one_line, table_lines

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_WRAPPERS = {_W + name for name in ("sdt", "sdtContent", "ins", "smartTag", "customXml", "moveTo")}
_SKIPPED = {_W + name for name in ("del", "moveFrom", "pPr", "sdtPr", "instrText")} | {_FALLBACK}


def parse(path: Path) -> ParsedDocument:
    """Sections follow the headings. Raises what python-docx raises on damage."""
    import docx

    document = docx.Document(str(path))
    levels = _heading_levels(document)
    builder, headings = TextBuilder(), HeadingPath()
    title = document.core_properties.title or ""
    builder.begin("heading", "")
    for block in _blocks(document.element.body):
        if block.tag == _W + "tbl":
            _write_table(builder, block)
            continue
        text = paragraph_text(block).strip()
        level = levels.get(_style_id(block), 0) or _outline_level(block)
        if level and text:
            builder.begin("heading", headings.enter(level, text))
            title = title or one_line(text)
        builder.paragraph(f"- {text}" if text and _is_list_item(block) and not level else text)
    _write_margins(builder, document)
    return builder.finish(title=title)


def paragraph_text(element: Any) -> str:
    """The visible text of a paragraph, text boxes included."""
    return "".join(_runs(element))


def _runs(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag in _SKIPPED or (child.tag == _W + "r" and _is_hidden(child)):
            continue
        if child.tag == _W + "t":
            yield child.text or ""
        elif child.tag == _W + "tab":
            yield "\t"
        elif child.tag in (_W + "br", _W + "cr"):
            yield "\n"
        elif child.tag == _W + "noBreakHyphen":
            yield "-"
        elif child.tag == _W + "p":  # a paragraph inside a text box
            yield "\n" + paragraph_text(child) + "\n"
        else:
            yield from _runs(child)


def _is_hidden(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish")
    return mark is not None and mark.get(_W + "val") not in ("0", "false")


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in order, also inside content controls and tracked insertions."""
    for child in parent:
        if child.tag in (_W + "p", _W + "tbl"):
            yield child
        elif child.tag in _WRAPPERS:
            yield from _blocks(child)


def _write_table(builder: TextBuilder, table: Any) -> None:
    rows = [[_cell_text(cell) for cell in _cells(row)] for row in table.iter(_W + "tr")]
    builder.paragraph("\n".join(table_lines(rows)))


def _cells(row: Any) -> Iterator[Any]:
    for child in row:
        if child.tag == _W + "tc":
            yield child
            for _ in range(_span(child) - 1):
                yield None  # keeps the columns under their headers
        elif child.tag in _WRAPPERS:
            yield from _cells(child)


def _span(cell: Any) -> int:
    span = cell.find(f"{_W}tcPr/{_W}gridSpan")
    return min(int(span.get(_W + "val", 1)), 64) if span is not None else 1


def _cell_text(cell: Any | None) -> str:
    if cell is None:
        return ""
    return " ".join(paragraph_text(block) for block in _blocks(cell) if block.tag == _W + "p")


def _heading_levels(document: Any) -> dict[str, int]:
    """Style id -> heading level (1 = highest), by the style's name or its outline level."""
    levels = {}
    for style in document.styles:
        name = (style.name or "").lower()
        if match := re.fullmatch(r"heading (\d)", name):
            levels[style.style_id] = int(match.group(1)) + 1
        elif name == "title":
            levels[style.style_id] = 1
        elif (level := _outline_level(style.element)) and name != "subtitle":
            levels[style.style_id] = level
    return levels


def _outline_level(element: Any) -> int:
    level = element.find(f"{_W}pPr/{_W}outlineLvl")
    if level is None or not level.get(_W + "val", "").isdigit():
        return 0
    number = int(level.get(_W + "val"))
    return number + 2 if number < 9 else 0  # 9 means body text


def _style_id(paragraph: Any) -> str:
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    return str(style.get(_W + "val", "")) if style is not None else ""


def _is_list_item(paragraph: Any) -> bool:
    return (
        paragraph.find(f"{_W}pPr/{_W}numPr") is not None or "list" in _style_id(paragraph).lower()
    )


def _write_margins(builder: TextBuilder, document: Any) -> None:
    """Footnotes, then what stands in headers and footers (reference numbers, dates), once each."""
    notes = [one_line(paragraph_text(note)) for note in _footnotes(document)]
    if any(notes):
        builder.begin("heading", "Footnotes")
        for note in notes:
            builder.paragraph(note)
    seen: dict[str, None] = {}
    for section in document.sections:
        for part in (
            section.header,
            section.first_page_header,
            section.footer,
            section.first_page_footer,
        ):
            if not part.is_linked_to_previous:
                for block in part._element.iter(_W + "p"):
                    seen.setdefault(one_line(paragraph_text(block)), None)
    if any(seen):
        builder.begin("heading", "Headers and footers")
        for line in seen:
            builder.paragraph(line)


def _footnotes(document: Any) -> Iterator[Any]:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    for relation in document.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            root = etree.fromstring(relation.target_part.blob, parser)
            for note in root:
                if note.get(_W + "type") not in ("separator", "continuationSeparator"):
                    yield note
