"""Web pages: what a reader sees, under its headings. Scripts, styles and hidden parts are dropped.

Loads nothing: no entity, stylesheet, frame or picture is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.library.dates import Dated, DatedBy, own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import (
    HeadingPath,
    TextBuilder,
    picture,
    table_lines,
    without_pictures,
)
from kit.library.parsers.clean import clean, one_line
from kit.library.parsers.decode import decode_text
from kit.library.parsers.hidden import unseen_runs

_DROPPED = {
    "script", "style", "noscript", "template", "head", "iframe", "object", "embed", "svg", "math",
    "canvas", "audio", "video", "select", "textarea", "button", "input", "nav",
}  # fmt: skip
_INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike",
    "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](\.\d+)?\s*(p[tx]|[;\"']|$)"
    r"|opacity\s*:\s*0(?![.\d])"
)
_WHITE = re.compile(r"(?<![-\w])color\s*:\s*(white|#fff(?:fff)?|rgb\(255,\s*255,\s*255\))\b")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_CHANGED = (
    "article:modified_time", "og:updated_time", "datemodified", "dcterms.modified",
    "dc.date.modified", "last-modified",
)  # fmt: skip
_PUBLISHED = (
    "article:published_time", "datepublished", "pubdate", "dcterms.issued", "dc.date.issued",
    "dcterms.date", "dc.date", "dcterms.created", "dc.date.created", "citation_publication_date",
    "date",
)  # fmt: skip
MAX_DEPTH = 200
MAX_ORNAMENT_PIXELS = 24


def parse(path: Path) -> ParsedDocument:
    """One section per heading. A page that cannot be parsed at all is a document without text."""
    text, notes = decode_html(path.read_bytes())
    return parse_html(text, notes)


def parse_html(text: str, notes: tuple[str, ...] = ()) -> ParsedDocument:
    """As `parse`, from text."""
    builder = TextBuilder()
    root = _root(text)
    if root is None:
        return builder.finish(notes=notes)
    writer = _Writer(builder)
    _gather_unseen(root, text, builder)
    builder.begin("heading", "")
    writer.walk(root, 0)
    writer.flush()
    title = one_line(root.findtext(".//title") or "") or writer.first_heading
    return builder.finish(title=title, notes=notes, dated=_own_date(root))


def _own_date(root: Any) -> Dated | None:
    """When the page says it was changed, or else published. A <time> counts where it says that it
    is the page's: others are dates that the page speaks of."""
    said: dict[str, str] = {}
    for element in root.iter("meta", "time"):
        keys = [element.get(name, "") for name in ("name", "property", "itemprop", "http-equiv")]
        keys.append("pubdate" if "pubdate" in element.attrib else "")
        moment = element.get("content" if element.tag == "meta" else "datetime", "")
        for key in filter(None, keys):
            said.setdefault(key.lower(), moment)
    changed: list[tuple[str | None, DatedBy]] = [(said.get(key), "modified") for key in _CHANGED]
    return own_date(*changed, *((said.get(key), "published") for key in _PUBLISHED))


def _root(text: str) -> Any | None:
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    data = clean(text).encode()
    if not data.strip():
        return None
    try:
        return lxml.html.document_fromstring(data, parser=parser)
    except lxml.etree.ParserError:  # nothing but comments
        return None


def decode_html(data: bytes) -> tuple[str, tuple[str, ...]]:
    """By byte-order mark, then as the page itself declares, then as any text; with remarks."""
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode(declared.group(1).decode("ascii")), ()
        except (LookupError, UnicodeDecodeError):
            pass
    return decode_text(data)


class _Writer:
    """Collects inline text until a block ends, then writes it as a paragraph."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._headings = HeadingPath()
        self._inline: list[str] = []
        self.first_heading = ""

    def walk(self, element: Any, depth: int) -> None:
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag or tag in _DROPPED or depth > MAX_DEPTH or _is_hidden(element):
            return
        if re.fullmatch(r"h[1-6]", tag):
            self._heading(element, int(tag[1]))
        elif tag == "table" and _is_data_table(element):
            self.flush()
            self._builder.paragraph("\n".join(table_lines(list(_table_rows(element)))))
        elif tag == "pre":
            self.flush()
            self._builder.paragraph(visible_text(element))
        elif tag in ("br", "hr"):
            self._inline.append("\n")
        else:
            self._block_or_inline(element, tag, depth)

    def _block_or_inline(self, element: Any, tag: str, depth: int) -> None:
        if tag == "img":
            self._inline.append(_described(element))
        is_block = tag not in _INLINE
        if is_block:
            self.flush()
        if tag == "li":
            self._inline.append("- ")
        self._inline.append(_spaced(element.text))
        for child in element:
            self.walk(child, depth + 1)
            self._inline.append(_spaced(child.tail))
        if is_block:
            self.flush()

    def _heading(self, element: Any, level: int) -> None:
        self.flush()
        text = one_line(visible_text(element))
        if name := without_pictures(text):
            self.first_heading = self.first_heading or name
            self._builder.begin("heading", self._headings.enter(level, name))
        self._builder.paragraph(text)

    def flush(self) -> None:
        lines = "".join(self._inline).split("\n")
        self._inline.clear()
        text = "\n".join(" ".join(line.split()) for line in lines).strip()
        if text not in ("", "-"):
            self._builder.paragraph(text)


def _spaced(text: str | None) -> str:
    """Line ends of the source are blanks; only <br> breaks a line."""
    return re.sub(r"\s+", " ", text or "")


def visible_text(element: Any, depth: int = 0) -> str:
    """All text below an element that a reader sees; what is said of pictures, marked as that."""
    if depth > MAX_DEPTH or not isinstance(element.tag, str):
        return ""
    if element.tag in _DROPPED or _is_hidden(element):
        return ""
    pieces = [element.text or ""]
    if element.tag == "img":
        pieces.append(_described(element))
    for child in element:
        pieces += [visible_text(child, depth + 1), child.tail or ""]
        if isinstance(child.tag, str) and child.tag not in _INLINE:
            pieces.append(" ")
    return "".join(pieces)


def _described(image: Any) -> str:
    """Its alternative text, between blanks; none of an ornament, or a point that counts readers."""
    sides = [re.fullmatch(r"(\d{1,4})(px)?", image.get(side, "")) for side in ("width", "height")]
    if any(sides) and all(side is None or int(side[1]) <= MAX_ORNAMENT_PIXELS for side in sides):
        return ""
    said = picture(image.get("alt", ""))
    return f" {said} " if said else ""


def _is_hidden(element: Any) -> bool:
    style = element.get("style", "").lower()
    return (
        "hidden" in element.attrib
        or bool(_HIDDEN_STYLE.search(style))
        or ("color" in style and bool(_WHITE.search(style)) and _is_on_white(element))
    )


def _is_on_white(element: Any) -> bool:
    """No ground of its own or around it. A class may give one: then it is not known, so no."""
    return not any(
        "background" in one.get("style", "").lower() or {"class", "bgcolor"} & set(one.attrib)
        for one in (element, *element.iterancestors())
    )


def _gather_unseen(root: Any, source: str, builder: TextBuilder) -> None:
    for run in unseen_runs(source):
        builder.hidden.add(run)
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag not in _DROPPED and _is_hidden(element):
            builder.hidden.add("".join(element.itertext()))


def _is_data_table(table: Any) -> bool:
    """A table of data, not of layout: no table inside, and some row of two cells."""
    if table.find(".//table") is not None:
        return False
    return any(len(row) > 1 for row in _table_rows(table))


def _table_rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter("tr"):
        cells = []
        for cell in row.iterchildren("td", "th"):
            cells.append(one_line(visible_text(cell)))
            span = cell.get("colspan", "1")
            cells += [""] * (min(int(span), 64) - 1 if span.isdigit() else 0)
        yield cells
