"""The passage viewer: the exact span, its surroundings, and nothing a document could inject."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import NotFound, UsageError
from kit.library.dates import Dated
from kit.library.documents import ParsedDocument, Section, span_on_page
from kit.web.services import Services
from kit.web.views import MAX_SHOWN_CHARS, unwrapped, view_of
from tests.web.conftest import PAGES, Browser

pytestmark = pytest.mark.anyio
START = len(PAGES[0]) + 1  # of page 2


def _marked(page: str) -> str:
    (found,) = re.findall(r"<mark[^>]*>(.*?)</mark>", page, flags=re.DOTALL)
    return html.unescape(found).replace("\n", " ")


@pytest.fixture
async def shown(local: Browser, file: Callable[..., dict[str, Any]]) -> Browser:
    """A browser on a kit with one PDF, d1."""
    await local.post("/api/v1/documents", **file('A "quoted" <i>policy</i>.pdf'))
    return local


async def test_span_is_marked_exactly(shown: Browser) -> None:
    """The marked text is the span, letter by letter, on its page, with the page's picture."""
    got = await shown.get(f"/passage?document=d1&start={START}&end={START + 21}")
    assert _marked(got.text) == PAGES[1][:21]
    assert f"/api/v1/documents/d1/pages/2.png?start={START}&amp;end={START + 21}" in got.text
    assert 'href="/api/v1/documents/d1/original#page=2"' in got.text
    assert "original?download=1" in got.text
    assert "page=1" in got.text
    assert "page=3" in got.text


async def test_the_viewer_says_of_when_the_document_is(shown: Browser, services: Services) -> None:
    """And what says so; nothing where nothing does."""
    assert "changed" not in (await shown.get("/passage?document=d1")).text
    library: Any = services.library
    dated = Dated("2025-03-04", "modified")
    library.documents["d1"] = replace(library.documents["d1"], dated=dated)
    assert "<li>changed 4 March 2025</li>" in (await shown.get("/passage?document=d1")).text


async def test_documents_cannot_inject(shown: Browser) -> None:
    """Markup in a document's text or name is shown as letters."""
    got = await shown.get(f"/passage?document=d1&start={START}&end={START + len(PAGES[1])}")
    assert _marked(got.text) == PAGES[1]
    assert "<b>" not in got.text
    assert "<i>" not in got.text
    assert "<script" not in got.text
    assert got.headers["content-security-policy"].startswith("default-src 'none'")


async def test_passage_over_two_pages(shown: Browser) -> None:
    """A span that crosses a page break is marked whole; the picture is of its first page."""
    got = await shown.get(f"/passage?document=d1&start={START - 6}&end={START + 8}")
    assert _marked(got.text) == " ".join(PAGES)[START - 6 : START + 8]
    assert "/pages/1.png" in got.text


async def test_a_picture_is_shown_beside_its_text(
    local: Browser, file: Callable[..., dict[str, Any]]
) -> None:
    """As the page of a PDF, with the passage marked; the original is a download."""
    await local.post("/api/v1/documents", **file("scan.jpeg"))
    got = await local.get(f"/passage?document=d1&start={START}&end={START + 21}")
    assert f"/api/v1/documents/d1/pages/2.png?start={START}&amp;end={START + 21}" in got.text
    assert "Download the original" in got.text


async def test_page_without_span(shown: Browser) -> None:
    """A page can be read without a span; the last one has no next."""
    got = await shown.get("/passage?document=d1&page=3")
    assert PAGES[2] in got.text
    assert "<mark" not in got.text
    assert "page=4" not in got.text
    assert "page=2" in got.text


async def test_document_alone_shows_its_beginning(shown: Browser) -> None:
    """Without any place the viewer shows where the document begins."""
    assert PAGES[0] in (await shown.get("/passage?document=d1")).text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400), ("document=", 400), ("document=none", 404), ("document=d1&start=x", 400),
        ("document=d1&start=-1", 400), ("document=d1&start=9&end=3", 400),
        ("document=d1&start=99999", 400), ("document=d1&page=0", 400), ("document=%00", 400),
        ("document=" + "x" * 129, 400), ("document=d1&start=1e3", 400),
        ("document=d1&start=99999999999999999999", 400),
    ],
)  # fmt: skip
async def test_wrong_address_is_a_page_in_words(shown: Browser, query: str, status: int) -> None:
    """A wrong or old link shows a page that says what is wrong, not JSON and not a crash."""
    got = await shown.get(f"/passage?{query}")
    assert got.status_code == status
    assert got.headers["content-type"].startswith("text/html")
    assert 'role="alert"' in got.text


async def test_end_beyond_the_text_is_clipped(shown: Browser) -> None:
    """A span that ends after the text is marked as far as the text goes."""
    got = await shown.get(f"/passage?document=d1&start={START}&end=99999")
    assert _marked(got.text) == " ".join(PAGES)[START:]


async def test_unread_document_says_why(
    shown: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that is being read, or was refused, says so; its original is still there."""
    library: Any = services.library

    def no_text(document_id: str, reader: str) -> ParsedDocument:
        raise NotFound("no text")

    monkeypatch.setattr(library, "text", no_text)
    for state, error, words in [
        ("queued", None, "still being read"),
        ("refused", "the file is encrypted", "The file is encrypted."),
        ("no_text", "no page holds text", "No page holds text."),
    ]:
        library.documents["d1"] = replace(library.documents["d1"], state=state, error=error)
        got = await shown.get("/passage?document=d1")
        assert got.status_code == 200
        assert words in got.text
        assert "/original" in got.text


# Which stretch is shown -------------------------------------------------------------------------

LONG = " ".join(f"word{n}" for n in range(9000))
ONE = ParsedDocument(LONG, (Section("heading", "All", 0, len(LONG)),))


@given(st.integers(0, len(LONG) - 1), st.integers(1, 3000))
def test_marked_span_lies_in_what_is_shown(start: int, length: int) -> None:
    """Whatever the span, it is shown whole, with its surroundings but not the whole book."""
    end = min(start + length, len(LONG))
    view = view_of(ONE, start=start, end=end, page=None)
    assert view.marked == (start, end)
    assert 0 <= view.shown[0] <= start
    assert end <= view.shown[1] <= len(LONG)
    assert view.shown[1] - view.shown[0] <= length + 2000


def test_surroundings_are_cut_between_words() -> None:
    """The text around a passage begins and ends with whole words."""
    view = view_of(ONE, start=30_000, end=30_100, page=None)
    first, last = view.shown
    assert LONG[first - 1] == " "
    assert LONG[last] == " "


def test_whole_section_is_limited() -> None:
    """A section of enormous length is not sent whole."""
    view = view_of(ONE, start=None, end=None, page=None)
    assert view.shown == (0, MAX_SHOWN_CHARS)


def test_text_without_sections_is_shown() -> None:
    """A document without sections, or a span in a gap between them, is shown all the same."""
    bare = ParsedDocument("some text here", ())
    assert view_of(bare, start=5, end=9, page=None).marked == (5, 9)
    gap = ParsedDocument(
        "ab\n\ncd", (Section("page", "page 1", 0, 2, 1), Section("page", "page 2", 4, 6, 2))
    )
    view = view_of(gap, start=2, end=4, page=None)
    assert view.shown[0] <= 2 <= 4 <= view.shown[1]


def test_empty_document_is_shown_empty() -> None:
    """A document without text is no error; a span in it is one."""
    assert view_of(ParsedDocument("", ()), start=None, end=None, page=None).shown == (0, 0)
    with pytest.raises(UsageError):
        view_of(ParsedDocument("", ()), start=1, end=2, page=None)


@pytest.mark.parametrize(
    ("page", "start", "end", "span"),
    [(1, 2, 5, (2, 5)), (2, 2, 5, None), (1, 8, 14, (8, 10)), (2, 8, 14, (0, 3)), (3, 0, 99, None)],
)
def test_span_on_a_page(page: int, start: int, end: int, span: tuple[int, int] | None) -> None:
    """The mark on a page's picture is the part of the span on that page, from the page's start."""
    sections = (Section("page", "page 1", 0, 10, 1), Section("page", "page 2", 11, 20, 2))
    text = "abcdefghij\nklmnopqrs"
    found, quoted = span_on_page(ParsedDocument(text, sections), page, start, end)
    assert found == span
    assert quoted == ("" if span is None else (text[:10], text[11:])[page - 1][slice(*span)])


@given(st.text(alphabet="ab \n", max_size=400))
def test_unwrapping_moves_no_letter(text: str) -> None:
    """Joining the lines of a paragraph keeps every offset: only line breaks become spaces."""
    shown = unwrapped(text)
    assert len(shown) == len(text)
    assert all(a == b or (a, b) == ("\n", " ") for a, b in zip(text, shown, strict=True))


def test_paragraphs_are_joined_and_rows_are_not() -> None:
    """Full lines run on; headings, rows of a table and the ends of paragraphs keep their break."""
    page = (
        "A heading\nThis line fills the width of the page\nand goes on here.\n\nA row 12\nB row 13"
    )
    assert unwrapped(page) == (
        "A heading\nThis line fills the width of the page and goes on here.\n\nA row 12\nB row 13"
    )
    row = "Destination: the Cape | Allowance for a full day: R585 | Hotel: R1,900 a night"
    table = f"{page}\n{row}\n{row}"
    assert unwrapped(table) == f"{unwrapped(page)}\n{row}\n{row}"
