"""Word documents: paragraphs, lists and tables in document order, under their headings.

Reads the XML itself below python-docx, because text in content controls, insertions and text
boxes is text a person sees. Deleted and hidden text is not read; what is said of pictures and in
comments is, marked as that. Word files know no page numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import (
    HeadingPath,
    TextBuilder,
    picture,
    table_lines,
    without_pictures,
)
from kit.library.parsers.clean import one_line
from kit.library.parsers.office_zip import open_office, read_own_date, write_drawn
from kit.library.parsers.xml_parts import read_xml

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_KINDS = (
    "application/vnd.ms-word.document.macroEnabled.main+xml",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
)
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DRAWN = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
_OLD_SHAPE = "{urn:schemas-microsoft-com:vml}shape"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_RANGE_START, _RANGE_END = _W + "commentRangeStart", _W + "commentRangeEnd"
MAX_PLACE_CHARS = 80  # of the words that a comment is about
MAX_OPEN_COMMENTS = 1_000  # on the same words
_WRAPPERS = {_W + name for name in ("sdt", "sdtContent", "ins", "smartTag", "customXml", "moveTo")}
_GROUNDS = {_W + name for name in ("tbl", "txbxContent", "shd", "highlight", "pStyle", "rStyle")}
_SKIPPED = {_W + name for name in ("del", "moveFrom", "pPr", "sdtPr", "instrText")} | {_FALLBACK}


def parse(path: Path) -> ParsedDocument:
    """Sections follow the headings. Raises what python-docx raises on damage."""
    document = _open(path)
    levels = _heading_levels(document)
    builder, headings = TextBuilder(), HeadingPath()
    title = document.core_properties.title or ""
    builder.begin("heading", "")
    for block in _blocks(document.element.body):
        if block.tag == _W + "tbl":
            _write_table(builder, block)
            continue
        if block.tag == _W + "altChunk":
            _write_page(builder, document, block)
            continue
        text = paragraph_text(block).strip()
        level = levels.get(_style_id(block), 0) or _outline_level(block)
        if level and (name := without_pictures(text)):
            builder.begin("heading", headings.enter(level, name))
            title = title or one_line(name)
        builder.paragraph(f"- {text}" if text and _is_list_item(block) and not level else text)
    _write_margins(builder, document)
    write_drawn(builder, path)
    _note_hidden(builder, document)
    return builder.finish(title=title, dated=read_own_date(path))


def _open(path: Path) -> Any:
    """The document, also where its kind says that it has macros or is a template."""
    import docx.opc.part
    import docx.package
    import docx.parts.document

    kinds = docx.opc.part.PartFactory.part_type_for
    for kind in _KINDS:
        kinds[kind] = docx.parts.document.DocumentPart
    source = open_office(path)
    package = docx.package.Package.open(str(path) if isinstance(source, Path) else source)
    return package.main_document_part.document


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
        elif child.tag == _DRAWN:
            yield _described(child.get("descr") or child.get("title", ""))
        elif child.tag == _W + "p":  # a paragraph inside a text box
            yield "\n" + paragraph_text(child) + "\n"
        else:
            if child.tag == _OLD_SHAPE:
                yield _described(child.get("alt", ""))
            yield from _runs(child)


def _described(description: str) -> str:
    said = picture(description)
    return f" {said} " if said else ""


def _is_hidden(run: Any) -> bool:
    """Marked as hidden, smaller than 2 points, or white where nothing gives it a ground."""
    look = run.find(_W + "rPr")
    if look is None:
        return False
    vanish, size = look.find(_W + "vanish"), look.find(_W + "sz")
    if vanish is not None and vanish.get(_W + "val") not in ("0", "false"):
        return True
    half_points = size.get(_W + "val", "") if size is not None else ""
    return (half_points.isdigit() and int(half_points) < 4) or _is_white_on_white(run, look)


def _is_white_on_white(run: Any, look: Any) -> bool:
    """Tables, text boxes and shading have grounds of many origins: there white is not judged."""
    colour = look.find(_W + "color")
    if colour is None or colour.get(_W + "val", "").upper() != "FFFFFF":
        return False
    ancestors = list(run.iterancestors())
    looks = [look, *(one for above in ancestors if (one := above.find(_W + "pPr")) is not None)]
    has_ground = (
        any(one.tag in _GROUNDS for one in ancestors)
        or any(one.find(mark) is not None for one in looks for mark in _GROUNDS)
        or ancestors[-1].find(_W + "background") is not None
    )
    return not has_ground


def _note_hidden(builder: TextBuilder, document: Any) -> None:
    for run in document.element.body.iter(_W + "r"):
        if _is_hidden(run):
            builder.hidden.add("".join(text.text or "" for text in run.iter(_W + "t")))


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in order, also inside content controls and tracked insertions."""
    for child in parent:
        if child.tag in (_W + "p", _W + "tbl", _W + "altChunk"):
            yield child
        elif child.tag in _WRAPPERS:
            yield from _blocks(child)


def _write_page(builder: TextBuilder, document: Any, chunk: Any) -> None:
    """A web page that a program put into the document whole."""
    from kit.library.parsers.html import decode_html, parse_html

    part = document.part.related_parts.get(chunk.get(_R + "id"))
    if part is not None and "html" in part.content_type:
        builder.paragraph(parse_html(decode_html(part.blob)[0]).text)


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
    """Footnotes, comments, what stands in headers and footers (reference numbers), once each."""
    notes = [one_line(paragraph_text(note)) for note in _notes(document, "/footnotes", "/endnotes")]
    for name, lines in (("Footnotes", notes), ("Comments", list(_comments(document)))):
        if any(lines):
            builder.begin("heading", name)
            for line in lines:
                builder.paragraph(line)
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


def _notes(document: Any, *kinds: str) -> Iterator[Any]:
    """The notes in the document's parts of these kinds."""
    for relation in document.part.rels.values():
        if relation.reltype.endswith(kinds) and not relation.is_external:
            for note in read_xml(relation.target_part.blob):
                if note.get(_W + "type") not in ("separator", "continuationSeparator"):
                    yield note


def _comments(document: Any) -> Iterator[str]:
    """ "Comment by Ann on 'two nights': …", in the file's order."""
    notes = list(_notes(document, "/comments"))
    places = _commented(document.element.body) if notes else {}
    for note in notes:
        text = "\n".join(filter(None, (one_line(paragraph_text(p)) for p in note.iter(_W + "p"))))
        author = one_line(note.get(_W + "author", "")) or "unknown"
        place = one_line(places.get(note.get(_W + "id"), ""))
        if text:
            yield f"Comment by {author}" + (f" on '{place}'" if place else "") + f": {text}"


def _commented(body: Any) -> dict[str, str]:
    """By a comment's number, the first of the words that it is about."""
    begun, open_ones = dict[str, str](), set[str]()
    for element in body.iter(_RANGE_START, _RANGE_END, _W + "t"):
        number = element.get(_W + "id", "")
        if element.tag == _RANGE_START and len(open_ones) < MAX_OPEN_COMMENTS:
            open_ones.add(number)
        elif element.tag == _RANGE_END:
            open_ones.discard(number)
        elif element.tag == _W + "t" and element.text:
            for one in tuple(open_ones):
                begun[one] = begun.get(one, "") + element.text
                if len(begun[one]) > MAX_PLACE_CHARS:
                    begun[one] = begun[one][:MAX_PLACE_CHARS].rstrip() + " …"
                    open_ones.discard(one)
    return begun
