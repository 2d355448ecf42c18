"""Suggestions come from the documents that the reader may see."""

from __future__ import annotations

import pytest

from kit.answer.suggest import (
    MAX_DOCUMENTS,
    MAX_TOTAL_CHARS,
    document_questions,
    suggested_questions,
    turn,
)
from kit.library.documents import DocumentRecord, ParsedDocument, Section


def record(number: int, state: str = "indexed", title: str | None = "Travel policy"):
    return DocumentRecord(
        id=f"d{number}", name=f"docs/travel_rules-{number}.md", collection="library", owner_id=None,
        sha256="", size_bytes=1, state=state, error=None, hint=None, notes=(), num_pages=None,
        num_chunks=1, title=title, created_at="",
    )  # fmt: skip


class Library:
    def __init__(self, *records: DocumentRecord, labels: tuple[str, ...]) -> None:
        self.records, self.labels = records, labels

    def list(self, reader: str, collection: str | None = None) -> list[DocumentRecord]:
        return [*self.records]

    def text(self, document_id: str, reader: str) -> ParsedDocument:
        spans = [(400 * n, 400 * n + 300 + n) for n in range(len(self.labels))]
        sections = zip(self.labels, spans, strict=True)
        return ParsedDocument(
            "x", tuple(Section("heading", label, *span) for label, span in sections)
        )


def test_a_telling_heading_becomes_a_question() -> None:
    """The longest part with a heading that says something is asked for."""
    library = Library(
        record(1),
        labels=("Travel policy > 1. Introduction", "Travel policy > 4.2 Per diem", "Scope"),
    )
    assert suggested_questions(library, "local") == [
        "What does “Travel policy” say about per diem?"
    ]


def test_file_names_serve_where_titles_are_missing() -> None:
    """A document without a title is called by its file name as words."""
    library = Library(record(1, title=None), labels=("Boats",))
    assert suggested_questions(library, "local") == ["What does “travel rules 1” say about boats?"]


def test_only_indexed_documents_and_few_questions() -> None:
    """Documents in the making suggest nothing, and there are at most four suggestions."""
    many = [record(n, title=f"Policy {n}") for n in range(9)]
    library = Library(record(99, "queued", "Late"), *many, labels=("Boats",))
    found = suggested_questions(library, "local")
    assert len(found) == 4
    assert not any("Late" in question for question in found)


def test_nothing_telling_nothing_suggested() -> None:
    """Headings that say nothing make no question."""
    assert suggested_questions(Library(record(1), labels=("Contents", "3")), "local") == []


def test_a_question_that_the_document_asks_itself_comes_first() -> None:
    """A heading that is a question is the suggestion."""
    library = Library(record(1), labels=("FAQ > Who signs my application?", "FAQ > Boats"))
    assert suggested_questions(library, "local") == ["Who signs my application?"]


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("The daily allowance (per diem) is R585.", "What is the daily allowance?"),
        (
            "The ethics committee meets on the first Tuesday.",
            "When does the ethics committee meet?",
        ),
        ("The mooring fees are at most R40 a week.", "What are the mooring fees?"),
        ("The office is large.", None),
        ("It is 5.", None),
    ],
)
def test_a_sentence_with_a_sum_or_a_day_becomes_its_question(sentence, question) -> None:
    """What a sentence states is asked for in good grammar, or not at all."""
    assert turn(sentence) == question


class MixedLibrary(Library):
    """The documents from number `first` on have a telling heading; those before have none."""

    def __init__(self, *records: DocumentRecord, first: int, text: str = "x") -> None:
        super().__init__(*records, labels=())
        self.first, self.content, self.num_read = first, text, 0

    def text(self, document_id: str, reader: str) -> ParsedDocument:
        self.num_read += 1
        label = "Boats" if int(document_id[1:]) >= self.first else "Contents"
        return ParsedDocument(self.content, (Section("heading", label, 0, 300),))


def test_many_new_documents_without_a_question_do_not_hide_the_older_ones() -> None:
    """Twenty odd documents on top still leave four suggestions from those below."""
    library = MixedLibrary(*(record(n, title=f"Policy {n}") for n in range(30)), first=20)
    assert len(suggested_questions(library, "local")) == 4


def test_looking_for_suggestions_ends() -> None:
    """However many documents there are, and however long, only so much is read."""
    many = [record(n) for n in range(500)]
    library = MixedLibrary(*many, first=1000)
    assert suggested_questions(library, "local") == []
    assert library.num_read == MAX_DOCUMENTS
    long = MixedLibrary(*many, first=1000, text="x" * (MAX_TOTAL_CHARS // 2 + 1))
    assert suggested_questions(long, "local") == []
    assert long.num_read == 2


def test_one_document_offers_several_questions() -> None:
    """Its own questions first, then what it states, then its longest part; each once."""
    text = "The entry fee is R5. The panel meets on Friday. The entry fee is R5."
    sections = (
        Section("heading", "Rules > Who may apply for a berth?", 0, 10),
        Section("heading", "Rules > Boats and moorings", 0, 300),
    )
    found = document_questions(record(1), ParsedDocument(text, sections))
    assert found == [
        "Who may apply for a berth?",
        "What is the entry fee?",
        "When does the panel meet?",
        "What does “Travel policy” say about boats and moorings?",
    ]
    assert document_questions(record(1), ParsedDocument(text, sections), limit=2) == found[:2]
