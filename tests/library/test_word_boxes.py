"""Where recognised words stand: kept small, found again by a span, gone with the document."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import NotFound
from kit.library.documents import PageWords, ParsedDocument, Section
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.library.word_boxes import PARTS, Word, areas_of, pack_words, unpack_words
from kit.testing import FakeEmbedder

part = st.floats(0, 1)
words = st.builds(
    Word,
    start=st.integers(0, 1 << 24),
    end=st.integers(0, 1 << 24),
    line=st.integers(0, 10_000),
    area=st.tuples(part, part, part, part),
)


@given(st.lists(words, max_size=30), st.integers(0, 1 << 24))
def test_words_come_back_as_they_were(kept: list[Word], start: int) -> None:
    """Spans and lines exactly, moved by `start`; areas to a part of the page."""
    found = unpack_words(pack_words(kept), start=start)
    assert [(one.start, one.end, one.line) for one in found] == [
        (one.start + start, one.end + start, one.line) for one in kept
    ]
    for one, other in zip(found, kept, strict=True):
        assert one.area == pytest.approx(other.area, abs=0.5001 / PARTS)


def test_an_area_beyond_the_page_is_cut() -> None:
    """Whatever a recogniser says, an area is of the page."""
    [word] = unpack_words(pack_words([Word(0, 1, 0, (-3.0, 0.5, 1e300, 7.0))]))
    assert word.area == (0.0, 0.5, 1.0, 1.0)


def test_a_page_of_many_words_takes_few_bytes() -> None:
    """A full page stays below five bytes a word."""
    page, at = list[Word](), 0
    for line in range(60):
        for column in range(12):
            length = 2 + (7 * line + 5 * column) % 9
            left, top = 0.08 + 0.07 * column + 0.0007 * (line % 7), 0.05 + 0.015 * line
            page.append(Word(at, at + length, line, (left, top, left + 0.006 * length, top + 0.01)))
            at += length + 1
    assert len(pack_words(page)) < 5 * len(page)


def test_a_span_has_one_area_for_each_line() -> None:
    """Words that the span touches are joined by line; beside the span, and between, is nothing."""
    page = [
        Word(0, 3, 0, (0.1, 0.10, 0.2, 0.12)),
        Word(4, 7, 0, (0.3, 0.105, 0.4, 0.125)),
        Word(8, 9, 1, (0.1, 0.20, 0.2, 0.22)),
        Word(10, 14, 1, (0.3, 0.20, 0.4, 0.23)),
    ]
    assert areas_of(page, (0, 14)) == [(0.1, 0.10, 0.4, 0.125), (0.1, 0.20, 0.4, 0.23)]
    assert areas_of(page, (5, 9)) == [(0.3, 0.105, 0.4, 0.125), (0.1, 0.20, 0.2, 0.22)]
    for beside in ((3, 4), (14, 99), (5, 5)):
        assert areas_of(page, beside) == []


def test_a_crooked_line_has_steps() -> None:
    """No area of a line that rises over the page is much higher than its words."""
    page = [
        Word(at, at + 1, 0, (0.1 * at, 0.5 - 0.0015 * at, 0.1 * at + 0.09, 0.51 - 0.0015 * at))
        for at in range(9)
    ]
    areas = areas_of(page, (0, 9))
    assert 2 <= len(areas) < 9
    assert max(bottom - top for _, top, _, bottom in areas) < 0.0141
    assert (areas[0][0], areas[-1][2]) == (0.0, pytest.approx(0.89))


# In the library -----------------------------------------------------------------------------------

LEFT, RIGHT = (0.1, 0.1, 0.2, 0.2), (0.3, 0.1, 0.4, 0.2)


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    with database.write() as connection:
        for name in ("ann", "bob"):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, 'staff', NULL, 0, '')", (name, name)
            )
    return Library(home, database)


def scanned(area: tuple[float, float, float, float]) -> ParsedDocument:
    """Two pages, of the second 'seven' was recognised after a stamp."""
    packed = pack_words([Word(0, 5, 0, area)])
    return ParsedDocument(
        "One.\n\nSTAMP seven\n\n",
        (Section("page", "page 1", 0, 6, 1), Section("page", "page 2", 6, 19, 2)),
        num_pages=2,
        words=(PageWords(2, 6, packed),),
    )


def read(library: Library, parsed: ParsedDocument) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings(), parse=lambda _: parsed)
    while ingestor.run_next():
        pass
    ingestor.close()


def add(library: Library, name: str = "scan.pdf") -> str:
    record = library.add(
        io.BytesIO(b"a scan"), name, added_by="ann", collection="Mine", is_private=True
    )
    return record.id


def test_the_words_of_a_page_are_kept_for_its_readers(library: Library) -> None:
    """Their spans count from the page's start; other pages have none; to others they are not
    there."""
    document_id = add(library)
    read(library, scanned(LEFT))
    [word] = library.words(document_id, "ann", 2)
    text = library.text(document_id, "ann").text
    assert text[6 + word.start : 6 + word.end] == "seven"
    assert word.area == LEFT
    assert library.words(document_id, "ann", 1) == ()
    with pytest.raises(NotFound):
        library.words(document_id, "bob", 2)


def test_a_document_that_is_read_again_has_its_new_words(library: Library) -> None:
    """Nothing of the first reading is left; where there is none, there are no words."""
    document_id = add(library)
    for parsed, expected in ((scanned(LEFT), LEFT), (scanned(RIGHT), RIGHT)):
        read(library, parsed)
        assert [word.area for word in library.words(document_id, "ann", 2)] == [expected]
        with library.database.write() as connection:
            connection.execute("UPDATE documents SET state = 'queued'")
    read(library, ParsedDocument("Text now.", (), num_pages=2))
    assert library.words(document_id, "ann", 2) == ()


def test_a_duplicate_shows_the_words_and_inherits_them(library: Library) -> None:
    """As with its text: they are the original's while that is there, then its own; and gone with
    the last."""
    original = add(library)
    double = add(library, "again.pdf")
    read(library, scanned(LEFT))
    assert library.words(double, "ann", 2) == library.words(original, "ann", 2) != ()
    library.remove(original, "ann")
    assert [word.area for word in library.words(double, "ann", 2)] == [LEFT]
    library.remove(double, "ann")
    assert library.database.rows("SELECT * FROM page_words") == []
