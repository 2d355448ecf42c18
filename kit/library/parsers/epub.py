"""E-books: the chapters in reading order, under the names the table of contents gives them.

Reads pages by the HTML parser. Knows no page numbers: a reader's screen decides them.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kit.errors import DocumentRefused
from kit.library.dates import Dated, own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.clean import one_line
from kit.library.parsers.html import decode_html, parse_html
from kit.library.parsers.xml_parts import read_part, read_xml_part

_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_NCX = "{http://www.daisy.org/z3986/2005/ncx/}"
_XHTML = "{http://www.w3.org/1999/xhtml}"
_ENC = "{http://www.w3.org/2001/04/xmlenc#}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
MAX_CHAPTERS = 5_000
MAX_AUTHORS = 50
# <title/> is whole in an e-book and the beginning of everything in a web page.
_EMPTY = re.compile(r"<(title|script|style|a|div|span|p|i|b|em|td|th|li|h[1-6])\b([^<>]*)/>", re.I)


def parse(path: Path) -> ParsedDocument:
    """Sections are the chapters' headings. Raises DocumentRefused if it is locked."""
    with zipfile.ZipFile(path) as archive:
        package_name = _package_name(archive)
        package = read_xml_part(archive, package_name)
        folder = posixpath.dirname(package_name)
        items = {item.get("id"): item for item in package.iter(_OPF + "item")}
        chapters = [
            _join(folder, items[ref.get("idref")].get("href", ""))
            for ref in package.iter(_OPF + "itemref")
            if ref.get("idref") in items
        ]
        _refuse_locked(archive, set(chapters))
        names = _chapter_names(archive, folder, items.values())
        builder, notes = TextBuilder(), list[str]()
        _write_about(builder, package)
        for chapter in chapters[:MAX_CHAPTERS]:
            notes += _write_chapter(builder, archive, chapter, names.get(chapter, ""))
        title = package.findtext(f".//{_DC}title") or ""
        dated = _own_date(package)
    if len(chapters) > MAX_CHAPTERS:
        notes.append(f"only the first {MAX_CHAPTERS:,} chapters were read")
    return builder.finish(title=title, notes=list(dict.fromkeys(notes)), dated=dated)


def _own_date(package: Any) -> Dated | None:
    """When it was published; when it was packed tells nothing of what it says."""
    dates = [(date.get(_OPF + "event", "publication"), date) for date in package.iter(_DC + "date")]
    return own_date(*((date.text, "published") for event, date in dates if event == "publication"))


def _write_about(builder: TextBuilder, package: Any) -> None:
    """A section with title, authors and description, for who asks what a book is about."""
    lines = []
    for name, tag in (("Title", "title"), ("Authors", "creator"), ("Description", "description")):
        found = dict.fromkeys(one_line(one.text or "") for one in package.iter(_DC + tag))
        text = ", ".join(filter(None, [*found][:MAX_AUTHORS]))
        if tag == "description" and text:
            text = one_line(parse_html(text).text)  # shops write it with marks of their own
        if text:
            lines.append(f"{name}: {text}")
    if len(lines) > 1 or (lines and not lines[0].startswith("Title")):
        builder.begin("heading", "About this book")
        builder.paragraph("\n".join(lines))


def _package_name(archive: zipfile.ZipFile) -> str:
    container = read_xml_part(archive, "META-INF/container.xml")
    for root in container.iter(_CONTAINER + "rootfile"):
        if name := root.get("full-path"):
            return str(name)
    raise ValueError("its container names no package")


def _refuse_locked(archive: zipfile.ZipFile, chapters: set[str]) -> None:
    """Fonts may be scrambled; a scrambled chapter means that the book is sold with a lock."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return
    for one in read_xml_part(archive, "META-INF/encryption.xml").iter(_ENC + "CipherReference"):
        if unquote(one.get("URI", "")) in chapters:
            raise DocumentRefused(
                "the e-book is locked by its shop (DRM)",
                hint="add an edition without the lock, or a PDF",
            )


def _join(folder: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _chapter_names(archive: zipfile.ZipFile, folder: str, items: Any) -> dict[str, str]:
    """Chapter's file -> its name in the table of contents; the first name of a file counts."""
    found: dict[str, str] = {}
    for item in items:
        name = _join(folder, item.get("href", ""))
        is_nav = "nav" in (item.get("properties") or "").split()
        is_ncx = item.get("media-type") == "application/x-dtbncx+xml"
        if not (is_nav or is_ncx) or name not in archive.namelist():
            continue
        root, base = read_xml_part(archive, name), posixpath.dirname(name)
        for href, text in _nav_links(root) if is_nav else _ncx_links(root):
            found.setdefault(_join(base, href), one_line(text))
    return found


def _nav_links(root: Any) -> list[tuple[str, str]]:
    return [(a.get("href", ""), "".join(a.itertext())) for a in root.iter(_XHTML + "a")]


def _ncx_links(root: Any) -> list[tuple[str, str]]:
    links = []
    for point in root.iter(_NCX + "navPoint"):
        content, text = point.find(_NCX + "content"), point.findtext(f"{_NCX}navLabel/{_NCX}text")
        if content is not None and text:
            links.append((content.get("src", ""), text))
    return links


def _write_chapter(
    builder: TextBuilder, archive: zipfile.ZipFile, name: str, chapter: str
) -> list[str]:
    if name not in archive.namelist():
        return [f"a chapter is missing in the file: {name}"]
    text, notes = decode_html(read_part(archive, name))
    parsed = parse_html(_EMPTY.sub(r"<\1\2></\1>", text), notes)
    for section in parsed.sections:
        builder.begin("heading", _label(chapter, section.label))
        builder.add_clean(parsed.text[section.start : section.end])
    return list(parsed.notes)


def _label(chapter: str, label: str) -> str:
    if not chapter or label == chapter or label.startswith(chapter + " > "):
        return label or chapter
    return f"{chapter} > {label}" if label else chapter
