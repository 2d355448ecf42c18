"""What the Office formats share below their libraries: strict files, and text drawn in pictures.

Knows the package, not the formats. Invariant: what is added to a document here is text that a
person sees in it: words in charts, diagrams, shapes and headers.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.library.dates import Dated, own_date
from kit.library.parsers.build import TextBuilder, picture
from kit.library.parsers.clean import one_line
from kit.library.parsers.xml_parts import read_part, read_xml_part

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_TERMS = "{http://purl.org/dc/terms/}"
_SHEET_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
# ISO 29500 strict names everything otherwise; the libraries know the other names only.
_STRICT = re.compile(
    rb"http://purl\.oclc\.org/ooxml/(officeDocument|\w+ml)/((?:relationships|main|math|docPropsVTypes"
    rb"|extendedProperties|customProperties|chart|diagram|picture|wordprocessingDrawing"
    rb"|spreadsheetDrawing|chartDrawing)\b)"
)
_DRAWN = re.compile(r"\w+/(charts/chart|diagrams/data|drawings/drawing)[^/]*\.xml$")
MAX_DRAWN = 500  # charts, diagrams and sheets of shapes
MAX_VALUES = 200  # of one chart


def open_office(path: Path) -> io.BytesIO | Path:
    """The file for its library: itself, or, if it is 'strict', a copy in the usual names."""
    with zipfile.ZipFile(path) as archive:
        if b"purl.oclc.org" not in archive.read("_rels/.rels"):
            return path
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
            for name in archive.namelist():
                data = read_part(archive, name)
                if name.endswith((".xml", ".rels")):
                    data = _STRICT.sub(_usual_name, data)
                target.writestr(name, data)
    copy.seek(0)
    return copy


def _usual_name(match: re.Match[bytes]) -> bytes:
    room, rest = match.groups()
    rest = {b"extendedProperties": b"extended-properties"}.get(rest, rest)
    return b"http://schemas.openxmlformats.org/" + room + b"/2006/" + rest


def read_own_date(path: Path) -> Dated | None:
    """When the package says it was last changed, or else made.

    Read here, since the libraries put the present moment where a file says nothing.
    """
    from lxml.etree import XMLSyntaxError

    with zipfile.ZipFile(path) as archive:
        try:
            relations = read_xml_part(archive, "_rels/.rels")
            names = [
                one.get("Target", "").lstrip("/")
                for one in relations
                if str(one.get("Type", "")).endswith("/core-properties")
            ]
            core = read_xml_part(archive, names[0]) if names else None
        except (DocumentRefused, XMLSyntaxError):
            return None
    if core is None:
        return None
    modified, created = core.findtext(_TERMS + "modified"), core.findtext(_TERMS + "created")
    return own_date((modified, "modified"), (created, "created"))


def write_drawn(builder: TextBuilder, path: Path, more: Sequence[str] = ()) -> None:
    """A section with `more`, then the words of charts, diagrams and shapes that lie beside the
    text, and what is said of pictures in a workbook."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if _DRAWN.match(name))[:MAX_DRAWN]
        lines = [*more, *(line for name in names for line in _words(read_xml_part(archive, name)))]
    if lines:
        builder.begin("heading", "Charts and shapes")
        for line in dict.fromkeys(lines):
            builder.paragraph(line)


def _words(root: Any) -> Iterator[str]:
    """A line per paragraph of a shape; the names and values that a chart keeps, one per series."""
    for paragraph in root.iter(_A + "p"):
        line = one_line("".join(text.text or "" for text in paragraph.iter(_A + "t")))
        if line:
            yield line
    for named in root.iter(_SHEET_DRAWING + "cNvPr"):
        if said := picture(named.get("descr", "")):
            yield said
    for series in root.iter(_C + "ser"):
        values = [one_line(one.text or "") for one in series.iter(_C + "v")]
        if any(values):
            yield "Chart: " + ", ".join(values[:MAX_VALUES])
