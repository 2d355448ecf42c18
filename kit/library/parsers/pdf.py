"""PDF text by page, with a map from every character back to PDFium's own, for highlighting.

Knows text that is in the file; it does not read pictures of text. Invariant: `read_page` is a pure
function of the page and of the names that a table on the pages before has, so parsing and
highlighting, which read these pages again, always agree on offsets.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.library.dates import Dated, iso_of_pdf, own_date
from kit.library.documents import Page, ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.clean import clean
from kit.library.parsers.pdf_spaces import false_blanks
from kit.library.parsers.pdf_tables.cells import MADE_UP
from kit.library.parsers.pdf_tables.find import find_tables
from kit.library.parsers.pdf_tables.rulings import read_rulings
from kit.library.parsers.pdf_tables.runs_on import MAX_PAGES_ON, Header
from kit.library.parsers.pdf_unseen import look_through

MAX_PAGES = 10_000
MAX_SCAN_LETTERS = 60  # a page with a stamp or a page number and a full-page picture is a scan
MAX_OBJECTS = 5_000  # of a page, looked at to see whether it is a scan
PARAGRAPH_GAP = 1.7  # in line heights; a larger step down the page begins a paragraph


@dataclass(frozen=True)
class PageText:
    """A page's text; `chars[i]` is the index in PDFium's text page of `text[i]`.

    It is MADE_UP where the page has no such character, as between the cells of a table's row; the
    name of a column that a row repeats has the places of the name's own letters.
    """

    text: str
    chars: tuple[int, ...]
    hidden: str = ""
    """What stands on the page and is not seen; no part of `text`."""
    runs_on: Header | None = field(default=None, compare=False)
    """The names of a table that reaches the foot of the page, for the next."""
    may_go_on: bool = field(default=False, compare=False)
    """Whether its text may depend on the page before."""
    may_run_on: bool = field(default=False, compare=False)
    """Whether the text of the next page may depend on it."""


_NO_TITLES = {"untitled", "(anonymous)", "untitled document", "unknown"}  # written by programs


def open_pdf(path: Path) -> Any:
    """The open document. Raises DocumentRefused if it is encrypted or damaged."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
        num_pages = len(document)
    except pypdfium2.PdfiumError as problem:
        if "password" in str(problem).lower() or "security" in str(problem).lower():
            raise DocumentRefused(
                "the PDF is encrypted with a password",
                hint="open it with the password, save or print a copy without one, and add that",
            ) from problem
        raise DocumentRefused(
            "the PDF is damaged or cut short",
            hint="copy or download it again; if it opens in a viewer, print it to a new PDF",
        ) from problem
    if num_pages > MAX_PAGES:
        raise DocumentRefused(
            f"the PDF has {num_pages:,} pages; at most {MAX_PAGES:,} are read", hint="split it"
        )
    return document


def parse(path: Path) -> ParsedDocument:
    """One section per page that has text; pages without any are counted in a note."""
    document = open_pdf(path)
    builder, num_pages, num_blank, unreadable = TextBuilder(), len(document), 0, list[int]()
    pages: list[Page] = []
    before: Header | None = None
    for number in range(1, num_pages + 1):
        page = _try_page(document, number, before)
        before = page.runs_on if page else None
        builder.hidden.add(page.hidden if page else "", f"on page {number}")
        if page is None:
            unreadable.append(number)
            pages.append(Page(number, "damaged", 0, "it is damaged"))
        elif _is_scan(document, number, page.text):
            builder.scan(f"page {number}", number)
            builder.add_clean(page.text + "\n\n" if page.text.strip() else "")
        elif not page.text.strip():
            num_blank += 1
            pages.append(Page(number, "blank"))
        else:
            builder.begin("page", f"page {number}", number)
            builder.add_clean(page.text + "\n\n")
    said = document.get_metadata_dict()
    title = clean(said.get("Title", "")).strip()
    title = "" if title.lower() in _NO_TITLES else title
    notes = _notes(num_pages, num_blank, unreadable)
    parsed = builder.finish(title=title, num_pages=num_pages, notes=notes, pages=pages)
    return replace(parsed, dated=_own_date(said, parsed))


def _own_date(said: dict[str, str], parsed: ParsedDocument) -> Dated | None:
    """When it was last changed, or else made; of a scan it says when it was scanned, so nothing."""
    if 2 * len(parsed.scans) >= max(1, len(parsed.sections)):
        return None
    moments = {name: iso_of_pdf(said.get(name, "")) for name in ("ModDate", "CreationDate")}
    return own_date((moments["ModDate"], "modified"), (moments["CreationDate"], "created"))


def read_page_of(document: Any, number: int) -> PageText:
    """A page (1-based) as `parse` reads it. Raises: DocumentRefused if it is damaged."""
    first, page = number, _try_page(document, number)
    pages = {number: page}
    while page and page.may_go_on and 1 < first > number - MAX_PAGES_ON:
        page = _try_page(document, first - 1)
        if not page or not page.may_run_on:
            break
        first -= 1
        pages[first] = page
    before: Header | None = None
    for one in range(first, number + 1):
        page = _try_page(document, one, before) if before else pages[one]
        before = page.runs_on if page else None
    if page is None:
        raise DocumentRefused(
            f"page {number} is damaged", hint="open the document in another viewer"
        )
    return page


def _try_page(document: Any, number: int, before: Header | None = None) -> PageText | None:
    """The page's text, or None if PDFium cannot load it: the others are still worth having."""
    import pypdfium2

    try:
        page = document[number - 1]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    try:
        return read_page(text_page, before)
    finally:
        text_page.close()
        page.close()


def _is_scan(document: Any, number: int, text: str) -> bool:
    """Little or no text, and something drawn: a picture over half of the page, or, where there is
    no text at all, anything (letters may be drawn as curves)."""
    import pypdfium2
    import pypdfium2.raw as pdfium

    num_letters = sum(character.isalnum() for character in text)
    if num_letters > MAX_SCAN_LETTERS:
        return False
    page = document[number - 1]
    try:
        area, kinds = page.get_width() * page.get_height(), 0
        for one in itertools.islice(page.get_objects(max_depth=3), MAX_OBJECTS):
            kinds += one.type in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH)
            if one.type == pdfium.FPDF_PAGEOBJ_IMAGE:
                left, bottom, right, top = one.get_bounds()
                if (right - left) * (top - bottom) > area / 2:
                    return True
        return num_letters == 0 and kinds > 0
    except pypdfium2.PdfiumError:
        return False
    finally:
        page.close()


def read_page(text_page: Any, before: Header | None = None) -> PageText:
    """The page as it is kept: words broken at line ends joined, a blank line between paragraphs,
    rows of tables with the names of their columns, which may be those of the page `before`."""
    kept, hidden, drawn = _characters(text_page)
    found = find_tables(text_page, kept, read_rulings(drawn), before)
    tables = found.tables
    begins = {min(table.members): table for table in tables}
    inside = frozenset[int]().union(*(table.members for table in tables))
    text: list[str] = []
    chars: list[int] = []
    previous_bottom: float | None = None
    line_start, in_table = True, False
    for index, character in enumerate(kept):
        if index in begins:
            _end_paragraph(text, chars)
            text += begins[index].text
            chars += begins[index].chars
        if index in inside or (in_table and not character.strip()):
            in_table = True
            continue
        if in_table:
            _end_paragraph(text, chars)
            previous_bottom, line_start, in_table = None, True, False
        if character == "\n":
            line_start = True
        elif character and line_start and not character.isspace():
            bottom, height = _line(text_page, index)
            if previous_bottom is not None and text and text[-1] == "\n":
                step = abs(previous_bottom - bottom)
                if height and step > PARAGRAPH_GAP * height:
                    text.append("\n")
                    chars.append(index)
            previous_bottom, line_start = bottom, False
        for piece in character:
            text.append(piece)
            chars.append(index)
    return PageText(
        "".join(text), tuple(chars), hidden, found.runs_on, found.may_go_on, found.may_run_on
    )


def _characters(text_page: Any) -> tuple[list[str], str, list[Any]]:
    """Each of PDFium's characters as it is kept, '' if it is not; those that nobody sees; and what
    is drawn beside the text."""
    import pypdfium2.raw as pdfium

    unseen, drawn = look_through(text_page.page)
    kept, hidden = list[str](), list[str]()
    for index in range(text_page.count_chars()):
        character = _character(pdfium.FPDFText_GetUnicode(text_page, index))
        if unseen and character and _object_of(text_page, index) in unseen:
            hidden.append(character)
            character = ""
        kept.append(character)
    for index in false_blanks(text_page, kept):
        kept[index] = ""
    return kept, "".join(hidden), drawn


def _end_paragraph(text: list[str], chars: list[int]) -> None:
    """A blank line, unless the page begins here or there is one."""
    while text and text[-2:] != ["\n", "\n"]:
        text.append("\n")
        chars.append(MADE_UP)


def _object_of(text_page: Any, index: int) -> int:
    """The address of the text object that a character belongs to; 0 for one PDFium made up."""
    import ctypes

    import pypdfium2.raw as pdfium

    found = pdfium.FPDFText_GetTextObject(text_page, index)
    return ctypes.addressof(found.contents) if found else 0


def _line(text_page: Any, index: int) -> tuple[float, float]:
    """Base line and font height (points) at a character."""
    _, bottom, _, top = text_page.get_charbox(index, loose=True)
    return bottom, top - bottom


@functools.lru_cache(maxsize=10_000)
def _character(code: int) -> str:
    """PDFium's character as it is kept. Code 2 is a hyphen at a line end inside a word: dropped."""
    if code in (0, 2, 13, 0xFFFE):
        return ""
    return clean(chr(code)) if code <= 0x10FFFF else ""


def _notes(num_pages: int, num_blank: int, unreadable: list[int]) -> list[str]:
    notes = []
    if num_blank == num_pages and num_pages:
        notes.append(f"nothing stands on {'its page' if num_pages == 1 else 'any of its pages'}")
    elif num_blank:
        notes.append(f"{num_blank} of {num_pages} pages had no text")
    if unreadable:
        shown = ", ".join(str(number) for number in unreadable[:10])
        notes.append(f"{len(unreadable)} damaged {_pages(len(unreadable))} not read: {shown}")
    return notes


def _pages(count: int) -> str:
    return "page" if count == 1 else "pages"
