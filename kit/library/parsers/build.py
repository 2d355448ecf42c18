"""Text and sections built up together, so that offsets are right by construction.

Knows no format. Invariant: what `TextBuilder` holds is storable and showable: no control, tag or
direction-override characters, no lone surrogates, line ends are a single newline.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kit.errors import DocumentRefused
from kit.library.dates import Dated
from kit.library.documents import Page, ParsedDocument, Scan, Section, SectionKind
from kit.library.parsers.clean import clean, one_line
from kit.library.parsers.hidden import Hidden, unseen_runs

MAX_TEXT_CHARS = 12_000_000  # about 6,000 printed pages; more is almost surely a data dump

MAX_DESCRIPTION_CHARS = 1_000
_SAID = re.compile(r"\s*\[picture: [^\]]*\]\s*")
_ROUND = str.maketrans("[]", "()")
_BY_PROGRAM = re.compile(r"\s*(Description automatically generated|AI-generated content)\b.*")
_KIND = "(picture|image|img|graphic|logo|icon|photo|cover|bild|grafik)"
_NO_DESCRIPTION = re.compile(
    rf"(.{{0,100}}\.(png|jpe?g|gif|bmp|tiff?|svg|webp|[ew]mf)|({_KIND} )?{_KIND}[ _-]?\d*)?",
    re.IGNORECASE,
)


def picture(description: str) -> str:
    """What a file says of a picture in it, marked as that: "[picture: a map of the site]".

    Empty where it says nothing, or a name that a program made up. Threat: nobody sees it on the
    page, so it is short, on one line, and cannot close its bracket to seem part of the text.
    """
    words = _BY_PROGRAM.sub("", one_line(description[: 4 * MAX_DESCRIPTION_CHARS]))
    words = words.translate(_ROUND).strip()
    if _NO_DESCRIPTION.fullmatch(words) or not any(map(str.isalnum, words)):
        return ""
    if len(words) > MAX_DESCRIPTION_CHARS:
        words = words[:MAX_DESCRIPTION_CHARS].rstrip() + " …"
    return f"[picture: {words}]"


def without_pictures(text: str) -> str:
    """The text without what is said of pictures in it, as the name of a section wants it."""
    return _SAID.sub(" ", text).strip()


@dataclass
class TextBuilder:
    """A document's text, grown piece by piece; `begin` opens a section, closes the one before."""

    _pieces: list[str] = field(default_factory=list)
    _length: int = 0
    _sections: list[Section] = field(default_factory=list)
    _open: tuple[SectionKind, str, int | None, int] | None = None
    _scans: list[Scan] = field(default_factory=list)
    _scan: Scan | None = None
    hidden: Hidden = field(default_factory=Hidden)
    """What the parser left out because nobody sees it; `finish` says so in the notes."""

    def begin(self, kind: SectionKind, label: str, page: int | None = None) -> None:
        self._close()
        self._open = (kind, one_line(label), page, self._length)

    def scan(
        self, label: str, page: int | None, source_page: int | None = None, *,
        part: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        """Open a section whose text has to be recognised; text may be added to it as well."""
        self.begin("page", label, page)
        source_page = source_page or page or 1
        self._scan = Scan(len(self._sections), one_line(label), page, source_page, part)

    def add(self, text: str) -> None:
        """Append text as it is (cleaned). Raises DocumentRefused past MAX_TEXT_CHARS."""
        self.note_unseen(text)
        self.add_clean(clean(text))

    def add_clean(self, text: str) -> None:
        """Append text that `clean` would leave as it is."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length > MAX_TEXT_CHARS:
            raise DocumentRefused(
                f"the file holds more than {MAX_TEXT_CHARS:,} characters of text",
                hint="split it into several files",
            )

    def paragraph(self, text: str) -> None:
        """Append a block of its own, unless it is blank."""
        self.note_unseen(text)
        text = clean(text).strip()
        if text:
            self.add_clean(text + "\n\n")

    def finish(
        self,
        *,
        title: str = "",
        num_pages: int | None = None,
        notes: Sequence[str] = (),
        pages: Sequence[Page] = (),
        dated: Dated | None = None,
    ) -> ParsedDocument:
        self._close()
        return ParsedDocument(
            text="".join(self._pieces),
            sections=tuple(self._sections),
            title=one_line(title)[:300],
            num_pages=num_pages,
            notes=(*notes, *self.hidden.remarks()),
            pages=tuple(pages),
            scans=tuple(self._scans),
            dated=dated,
        )

    def note_unseen(self, text: str) -> None:
        """Remember for the notes what `clean` drops and somebody meant to be read unseen."""
        for run in unseen_runs(text):
            self.hidden.add(run)

    def _close(self) -> None:
        if self._open is not None:
            kind, label, page, start = self._open
            if self._length > start or self._scan is not None:
                self._sections.append(Section(kind, label, start, self._length, page))
            self._open = None
            if self._scan is not None:
                self._scans.append(self._scan)
                self._scan = None


@dataclass
class HeadingPath:
    """The headings above the current place: 'Travel policy > Per diem'."""

    _path: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, heading: str) -> str:
        """Go under a heading of this level (1 = highest); returns the path as a label."""
        self._path = [(lvl, text) for lvl, text in self._path if lvl < level]
        self._path.append((level, one_line(heading)[:200]))
        return self.label

    @property
    def label(self) -> str:
        return " > ".join(text for _, text in self._path)


def table_lines(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows as searchable lines: the first row names the columns of all others.

    [["Item", "Limit"], ["Hotel", "R1,900"]] -> ["Item | Limit", "Item: Hotel | Limit: R1,900"]
    A form, whose first row is already a name and a value, keeps "name: value" in every row:
    [["Chair", "Prof. Davids"], ["Place", "Room 2"]] with a number or long text in its first row.
    """
    rows = [row for cells in table if any(row := [one_line(cell) for cell in cells])]
    if len(rows) < 2 or not _names_columns(rows[0]):
        is_form = bool(rows) and max(map(len, rows)) == 2
        return [
            (colon(row[0]) if is_form else " | ").join(cell for cell in row if cell) for row in rows
        ]
    header, *body = rows
    names = " | ".join(cell for cell in header if cell)
    return [names, *(labelled(header, row, " | ") for row in body)]


def labelled(header: Sequence[str], row: Sequence[str], mark: str) -> str:
    """The row's cells, each after the name of its column if it has one, `mark` between them."""
    pairs = itertools.zip_longest(header[: len(row)], row, fillvalue="")
    return mark.join(f"{name}{colon(name)}{cell}" if name else cell for name, cell in pairs if cell)


def colon(name: str) -> str:
    """What stands between a name and its value: "Limit: R300", and "Limit:" has its colon."""
    return " " if name.endswith((":", "\uff1a")) else ": "


def _names_columns(row: Sequence[str]) -> bool:
    """Two or more short cells; one of two columns must not hold a number either."""
    filled = [cell for cell in row if cell]
    is_short = all(len(cell) <= 60 for cell in filled)
    is_form = len(row) == 2 and any(c.isdigit() for c in row[-1])
    return len(filled) >= 2 and is_short and not is_form
