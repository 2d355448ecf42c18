"""OpenDocument text: paragraphs, lists and tables in document order, under their headings.

Knows no page numbers, as the file knows none. Deleted and hidden text is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.build import HeadingPath, TextBuilder, table_lines, without_pictures
from kit.library.parsers.clean import one_line
from kit.library.parsers.odf import (
    DESCRIPTIONS,
    DRAW,
    TABLE,
    TEXT,
    OdfPackage,
    cells_of,
    described,
    rows_of,
)

MAX_DEPTH = 100
MAX_TABLE_COLUMNS = 1_000
_BLOCKS = {TEXT + "list": "- ", TEXT + "list-item": "- ", TEXT + "list-header": "- "}
_SKIPPED = {TEXT + "tracked-changes", TEXT + "sequence-decls", TEXT + "table-of-content-source"}


def parse(path: Path) -> ParsedDocument:
    """Sections follow the headings. Raises what zipfile and lxml raise on damage."""
    builder = TextBuilder()
    package = OdfPackage(path, builder.hidden)
    writer = _Writer(builder, package)
    writer.walk(package.body("text"), "", 0)
    package.write_margins(builder)
    title = package.title or writer.first_heading
    return builder.finish(title=title, dated=package.dated)


class _Writer:
    def __init__(self, builder: TextBuilder, package: OdfPackage) -> None:
        self.builder, self._package = builder, package
        self._headings, self.first_heading = HeadingPath(), ""
        self.builder.begin("heading", "")

    def walk(self, parent: Any, mark: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            return
        for block in parent:
            if block.tag == TEXT + "h" or self._is_title(block):
                self._heading(block)
            elif block.tag == TEXT + "p":
                text = self._package.text(block).strip()
                self.builder.paragraph(mark + text if text else "")
            elif block.tag in DESCRIPTIONS:  # of a picture that stands between paragraphs
                self.builder.paragraph(described(block))
            elif block.tag == TABLE + "table":
                self.builder.paragraph("\n".join(table_lines(_rows(self._package, block))))
            elif isinstance(block.tag, str) and block.tag not in _SKIPPED:
                self.walk(block, _BLOCKS.get(block.tag, mark), depth + 1)

    def _is_title(self, block: Any) -> bool:
        name = block.get(TEXT + "style-name", "")
        names = {name, self._package.parents.get(name, "")}
        return block.tag == TEXT + "p" and "Title" in names

    def _heading(self, block: Any) -> None:
        text = self._package.text(block).strip()
        if name := without_pictures(text):
            level = int(block.get(TEXT + "outline-level", "0") or 0) + 1
            self.first_heading = self.first_heading or one_line(name)
            self.builder.begin("heading", self._headings.enter(level, name))
        self.builder.paragraph(text)


def _rows(package: OdfPackage, table: Any) -> list[list[str]]:
    """A row that is repeated is written once: in a text it is layout, not data."""
    return [
        [
            text
            for cell, times in cells_of(row)
            for text in [_cell_text(package, cell)] * min(times, MAX_TABLE_COLUMNS)
        ][:MAX_TABLE_COLUMNS]
        for row in rows_of(table)
    ]


def _cell_text(package: OdfPackage, cell: Any | None) -> str:
    if cell is None:
        return ""
    return " ".join(package.text(p) for p in cell.iter(TEXT + "p", TEXT + "h"))


def frame_blocks(package: OdfPackage, frame: Any, place: str) -> list[str]:
    """The paragraphs and tables of a drawing's shapes, in the order of the file."""
    blocks = []
    for element in frame:
        if element.tag == TABLE + "table":
            blocks.append("\n".join(table_lines(_rows(package, element))))
        elif element.tag in (TEXT + "p", TEXT + "h"):
            blocks.append(package.text(element, place))
        elif element.tag in DESCRIPTIONS:
            blocks.append(described(element).strip())
        elif isinstance(element.tag, str) and element.tag != DRAW + "object":
            blocks += frame_blocks(package, element, place)
    return blocks
