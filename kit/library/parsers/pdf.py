"""PDF text by page, with a map from every character back to PDFium's own, for highlighting.

Knows text that is in the file; it does not read pictures of text. Invariant: `read_page` is a pure
function of the page, so parsing and highlighting always agree on offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder, clean

MAX_PAGES = 10_000
PARAGRAPH_GAP = 1.7  # in line heights; a larger step down the page begins a paragraph


@dataclass(frozen=True)
class PageText:
    """A page's text; `chars[i]` is the index in PDFium's text page of `text[i]`."""

    text: str
    chars: tuple[int, ...]


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
    builder, num_pages, num_blank, unreadable = TextBuilder(), len(document), 0, []
    for number in range(1, num_pages + 1):
        page = _try_page(document, number)
        if page is None:
            unreadable.append(number)
        elif not page.text.strip():
            num_blank += 1
        else:
            builder.begin("page", f"page {number}", number)
            builder.add_clean(page.text + "\n\n")
    title = clean(document.get_metadata_dict().get("Title", "")).strip()
    title = "" if title.lower() in _NO_TITLES else title
    notes = _notes(num_pages, num_blank, unreadable)
    return builder.finish(title=title, num_pages=num_pages, notes=notes)


def _try_page(document: Any, number: int) -> PageText | None:
    """The page's text, or None if PDFium cannot load it: the others are still worth having."""
    import pypdfium2

    try:
        page = document[number - 1]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    try:
        return read_page(text_page)
    finally:
        text_page.close()
        page.close()


def read_page(text_page: Any) -> PageText:
    """The page as it is kept: words broken at line ends joined, a blank line between paragraphs."""
    import pypdfium2.raw as pdfium

    text: list[str] = []
    chars: list[int] = []
    previous_bottom: float | None = None
    line_start = True
    for index in range(text_page.count_chars()):
        character = _character(pdfium.FPDFText_GetUnicode(text_page, index))
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
    return PageText("".join(text), tuple(chars))


def _line(text_page: Any, index: int) -> tuple[float, float]:
    """Base line and font height (points) at a character."""
    _, bottom, _, top = text_page.get_charbox(index, loose=True)
    return bottom, top - bottom


def _character(code: int) -> str:
    """PDFium's character as it is kept. Code 2 is a hyphen at a line end inside a word: dropped."""
    if code in (0, 2, 13, 0xFFFE):
        return ""
    return clean(chr(code)) if code <= 0x10FFFF else ""


def _notes(num_pages: int, num_blank: int, unreadable: list[int]) -> list[str]:
    notes = []
    if num_blank == num_pages and num_pages:
        notes.append(f"no text in {num_pages} {_pages(num_pages)}; probably a scan")
    elif num_blank:
        notes.append(f"{num_blank} of {num_pages} pages had no text (scanned?)")
    if unreadable:
        shown = ", ".join(str(number) for number in unreadable[:10])
        notes.append(f"{len(unreadable)} damaged {_pages(len(unreadable))} not read: {shown}")
    return notes


def _pages(count: int) -> str:
    return "page" if count == 1 else "pages"
