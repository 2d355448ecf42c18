"""Chunks: exact, ordered, complete, within their section and their size."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from kit.library.chunk import TAIL_FRACTION, chunk_document, with_context
from kit.library.documents import Chunk, ParsedDocument, Section
from kit.library.parsers.build import table_lines


def count_words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def plain(text: str) -> ParsedDocument:
    return ParsedDocument(text=text, sections=())


SENTENCES = st.lists(
    st.sampled_from(
        [
            "The committee meets on Tuesday. ",
            "R1,500 is paid per day, e.g. for Dr. Dlamini. ",
            "会议每月第二个星期二召开。",
            "\n\n",
            "\n",
            "- a list item\n",
            "# Heading\n\n",
            "word " * 60,
            "x" * 900 + " ",
            "\t  ",
            "Really? ",
        ]
    ),
    max_size=40,
).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    """Text with sections of every kind, some of it between sections."""
    kinds = st.sampled_from(["page", "heading", "sheet", "slide", "message"])
    text, sections = "", []
    for part in draw(st.lists(SENTENCES, max_size=6)):
        kind = draw(st.one_of(st.none(), kinds))
        if kind is not None and part:
            sections.append(Section(kind, f"{kind} {len(sections)}", len(text), len(text + part)))
        text += part
    return ParsedDocument(text=text, sections=tuple(sections))


@given(documents(), st.integers(min_value=5, max_value=80))
def test_chunks_are_exact_ordered_and_complete(parsed: ParsedDocument, target: int) -> None:
    """Each chunk is a span of the text; they are in order; together they hold all but blanks."""
    chunks = chunk_document(parsed, count_tokens=count_words, target_tokens=target)
    covered = 0
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert parsed.text[chunk.start : chunk.end] == chunk.text
        assert chunk.start >= covered
        assert not parsed.text[covered : chunk.start].strip()
        covered = chunk.end
    assert not parsed.text[covered:].strip()


@given(documents(), st.integers(min_value=20, max_value=80))
def test_chunks_keep_to_their_section(parsed: ParsedDocument, target: int) -> None:
    """No chunk crosses the border of a page, slide, sheet or message."""
    closed = [s for s in parsed.sections if s.kind != "heading"]
    for chunk in chunk_document(parsed, count_tokens=count_words, target_tokens=target):
        for section in closed:
            inside = section.start <= chunk.start and chunk.end <= section.end
            outside = chunk.end <= section.start or chunk.start >= section.end
            assert inside or outside


@given(SENTENCES)
def test_chunks_keep_to_their_size(text: str) -> None:
    """A chunk is at most the target and a small tail."""
    target = 100
    for chunk in chunk_document(plain(text), count_tokens=count_words, target_tokens=target):
        assert chunk.num_tokens <= target * (1 + TAIL_FRACTION)


def test_sentences_stay_whole() -> None:
    """A paragraph that is too long is cut between sentences, not after an abbreviation."""
    text = "Dr. Dlamini chairs the committee, e.g. on Tuesdays. " * 20
    chunks = chunk_document(plain(text), count_tokens=count_words, target_tokens=40)
    assert len(chunks) > 1
    assert all(chunk.text.startswith("Dr. ") for chunk in chunks)
    assert all(chunk.text.endswith("Tuesdays.") for chunk in chunks)


def test_rows_of_a_sheet_stay_whole_and_are_numbered() -> None:
    """A chunk of a sheet holds whole rows and says which."""
    rows = "".join(f"Item: thing {n}; Amount: {n * 100}\n" for n in range(1, 21))
    parsed = ParsedDocument(rows, (Section("sheet", "sheet Budget", 0, len(rows)),))
    chunks = chunk_document(parsed, count_tokens=count_words, target_tokens=40)
    assert chunks[0].place.startswith("sheet Budget, rows 1-")
    assert chunks[-1].place.endswith("-20")
    for chunk in chunks:
        assert all(line.startswith("Item: ") for line in chunk.text.splitlines())


def test_a_bare_heading_opens_the_next_chunk() -> None:
    """A heading without text of its own is not a passage."""
    text = "# Policy\n\n## Per diem\n\nThe allowance is R585 for a full day of travel.\n"
    cut = text.index("## Per")
    parsed = ParsedDocument(
        text,
        (
            Section("heading", "Policy", 0, cut),
            Section("heading", "Policy > Per diem", cut, len(text)),
        ),
    )
    [chunk] = chunk_document(parsed, count_tokens=count_words, target_tokens=200)
    assert chunk.text.startswith("# Policy")
    assert chunk.place == "Policy > Per diem"


def test_context_names_title_and_heading_once() -> None:
    """The embedded text stands under its title and heading; a page number is no help."""
    chunk = Chunk(0, 0, 4, "R585", "Policy > Per diem", None, 1)
    assert with_context(chunk, "Policy") == "Policy > Per diem\nR585"
    assert with_context(chunk, "Travel") == "Travel > Policy > Per diem\nR585"
    paged = Chunk(0, 0, 4, "R585", "page 2", 2, 1)
    assert with_context(paged, "Travel") == "Travel\nR585"
    assert with_context(paged, "") == "R585"


def test_a_long_table_is_cut_between_its_rows() -> None:
    """No passage begins or ends inside a row."""
    rows = [["Item", "Limit"], *([f"Item {n}. Of kind {n}", f"R{n},000"] for n in range(60))]
    text = "\n".join(table_lines(rows)) + "\n\n"
    parsed = ParsedDocument(text, (Section("page", "page 1", 0, len(text), 1),))
    chunks = chunk_document(parsed, count_tokens=lambda t: len(t.split()), target_tokens=50)
    assert len(chunks) > 5
    assert [line for chunk in chunks for line in chunk.text.split("\n")] == table_lines(rows)
