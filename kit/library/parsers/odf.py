"""What the OpenDocument formats share: the package, its styles, and text as a person sees it.

Knows no kind of document. Text that was deleted or is not shown is not read; what was hidden is
kept for a remark.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.dates import Dated, own_date
from kit.library.parsers.build import TextBuilder, picture
from kit.library.parsers.clean import one_line
from kit.library.parsers.hidden import Hidden
from kit.library.parsers.xml_parts import read_xml_part

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
DESCRIPTIONS = (_SVG + "title", _SVG + "desc")
"""What is said of a picture or another drawn thing."""
_FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"

MAX_SPACES = 200  # of one <text:s>
MAX_COLUMNS = 16_384  # of one row; what spreadsheet programs allow
_MARGINS = ("header", "header-first", "header-left", "footer", "footer-first", "footer-left")
_PLACEHOLDERS = {"", "???", "Page 1", "Page 1 / 99"}  # what Calc writes into every workbook
_HIDDEN_TAGS = {TEXT + name for name in ("hidden-text", "hidden-paragraph")}
_SKIPPED = {TEXT + "tracked-changes", OFFICE + "annotation", TEXT + "ruby-text"}


class OdfPackage:
    """An open document: its body, its styles' hiding, its title and date."""

    def __init__(self, path: Path, hidden: Hidden) -> None:
        """`hidden` takes what is left out.

        Raises: DocumentRefused if a part is missing; what zipfile and lxml raise on damage.
        """
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            self.content = read_xml_part(archive, "content.xml")
            self.styles = read_xml_part(archive, "styles.xml") if "styles.xml" in names else None
            meta = read_xml_part(archive, "meta.xml") if "meta.xml" in names else None
        self.title = (meta.findtext(f".//{_DC}title") or "") if meta is not None else ""
        self.dated = _own_date(meta) if meta is not None else None
        roots = [root for root in (self.content, self.styles) if root is not None]
        self.hiding = {name for root in roots for name in _hiding_styles(root)}
        self.parents = {
            style.get(STYLE + "name"): style.get(STYLE + "parent-style-name", "")
            for root in roots
            for style in root.iter(STYLE + "style")
        }
        self._hidden = hidden

    def body(self, kind: str) -> Any:
        """The element that holds the content: 'text', 'spreadsheet' or 'presentation'."""
        found = self.content.find(f"{OFFICE}body/{OFFICE}{kind}")
        if found is None:
            raise ValueError(f"it has no <office:{kind}>")
        return found

    def write_margins(self, builder: TextBuilder) -> None:
        """What stands in headers and footers (reference numbers, dates), once each."""
        if self.styles is None:
            return
        lines = {
            one_line(self.text(p)): None
            for part in self.styles.iter(*(STYLE + name for name in _MARGINS))
            for p in part.iter(TEXT + "p", TEXT + "h")
        }
        if any(line not in _PLACEHOLDERS for line in lines):
            builder.begin("heading", "Headers and footers")
            for line in lines:
                builder.paragraph("" if line in _PLACEHOLDERS else line)

    def text(self, element: Any, place: str = "") -> str:
        """The visible text below a paragraph or heading; a note's text stands in brackets."""
        return "".join(self._pieces(element, place))

    def _pieces(self, element: Any, place: str) -> Iterator[str]:
        if not isinstance(element.tag, str) or element.tag in _SKIPPED:
            return
        if element.tag in _HIDDEN_TAGS or element.get(TEXT + "style-name") in self.hiding:
            self._hidden.add("".join(element.itertext()), place)
            return
        yield element.text or ""
        for child in element:
            yield from self._child(child, place)
            yield child.tail or ""

    def _child(self, child: Any, place: str) -> Iterator[str]:
        if child.tag == TEXT + "s":
            yield " " * min(_number(child.get(TEXT + "c")), MAX_SPACES)
        elif child.tag == TEXT + "tab":
            yield "\t"
        elif child.tag == TEXT + "line-break":
            yield "\n"
        elif child.tag == TEXT + "note":
            body = child.find(TEXT + "note-body")
            if body is not None:
                yield f" ({' '.join(self.text(p, place) for p in body.iter(TEXT + 'p'))})"
        elif child.tag in (TEXT + "p", TEXT + "h"):  # in a text box
            yield "\n" + self.text(child, place) + "\n"
        elif child.tag in DESCRIPTIONS:
            yield described(child)
        else:
            yield from self._pieces(child, place)


def _own_date(meta: Any) -> Dated | None:
    """When it was last changed, or else made; LibreOffice says only the latter of a new file."""
    changed, made = meta.findtext(f".//{_DC}date"), meta.findtext(f".//{_META}creation-date")
    return own_date((changed, "modified"), (made, "created"))


def described(element: Any) -> str:
    """What a title or description says of its picture, marked as that, between blanks."""
    said = picture("".join(element.itertext()))
    return f" {said} " if said else ""


def repeated(element: Any, what: str) -> int:
    """How often a row or cell stands for itself; at least 1. The file may state any number."""
    return _number(element.get(f"{TABLE}number-{what}-repeated"))


def rows_of(table: Any) -> Iterator[Any]:
    """The rows of a table, those in groups and header groups too, not those of tables inside."""
    for child in table:
        if child.tag == TABLE + "table-row":
            yield child
        elif child.tag in (
            TABLE + "table-header-rows", TABLE + "table-rows", TABLE + "table-row-group",
        ):  # fmt: skip
            yield from rows_of(child)


def cells_of(row: Any) -> Iterator[tuple[Any, int]]:
    """(cell, how often it is repeated); a covered cell is None. At most MAX_COLUMNS in all."""
    left = MAX_COLUMNS
    for cell in row:
        if cell.tag in (TABLE + "table-cell", TABLE + "covered-table-cell"):
            times = min(repeated(cell, "columns"), left)
            left -= times
            if times:
                yield (cell if cell.tag == TABLE + "table-cell" else None), times


def _number(value: str | None) -> int:
    return max(1, int(value)) if value and value.isdecimal() and len(value) < 10 else 1


def _hiding_styles(root: Any) -> Iterator[str]:
    """Names of styles whose text is not seen: not displayed, white on nothing, or tiny."""
    for style in root.iter(STYLE + "style"):
        for look in style.iterchildren(STYLE + "text-properties"):
            size = look.get(_FO + "font-size", "")
            is_white = look.get(_FO + "color", "").lower() == "#ffffff" and not look.get(
                _FO + "background-color"
            )
            is_tiny = size.endswith("pt") and _points(size) < 2
            # A white heading on a coloured page or cell is common; white is hidden only in a
            # span or paragraph that has no background of its own or above it that is known.
            family = style.get(STYLE + "family")
            has_ground = any(part.get(_FO + "background-color") for part in style.iterchildren())
            if (
                look.get(TEXT + "display") == "none"
                or is_tiny
                or (is_white and family == "text" and not has_ground)
            ):
                yield style.get(STYLE + "name", "")


def _points(size: str) -> float:
    try:
        return float(size.removesuffix("pt"))
    except ValueError:
        return 12.0
