"""The ninety questions about the sample documents, with the real embedding model and no language
model: what is quoted, and what is left unanswered, is the program's own decision."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kit.answer.answer import answer_question
from kit.answer.events import Answer, Finished
from kit.answer.retrieve import Searcher
from kit.config import AnswerSettings, LibrarySettings
from kit.database import Database
from kit.engine.client import ChatMessage
from kit.library.index.embed import LocalEmbedder
from kit.library.index.vectors import VectorIndex
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.samples import QUESTIONS, sample_paths
from kit.testing import FakeEngine

pytestmark = pytest.mark.e2e

ENTRIES = [
    entry
    for entry in tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    if entry["kind"] != "follow-up"
]
# Measured when this was written: quoted rightly 0.82, right document 0.91, refused 0.05; of the
# unanswerable ones 0.09 answered. The bounds leave room for noise, not for a step back.
MIN_QUOTED, MIN_DOCUMENT, MAX_REFUSED, MAX_FALSE = 0.75, 0.85, 0.12, 0.15


@pytest.fixture(scope="module")
def searcher(embedding_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """The sample documents, indexed."""
    home = tmp_path_factory.mktemp("samples")
    database = Database(home / "kit.db")
    library, embedder = Library(home, database), LocalEmbedder(embedding_model)
    for path in sample_paths():
        with path.open("rb") as stream:
            library.add(stream, path.name, added_by="local")
    ingestor = Ingestor(library, embedder, LibrarySettings())
    while ingestor.run_next():
        pass
    index = VectorIndex(home, database, model=embedder.model, dim=embedder.dim)
    index.follow()
    yield Searcher(library, database, index, embedder)
    index.close()
    database.close()


@pytest.fixture(scope="module")
def answers(searcher: Searcher) -> dict[str, Answer]:
    return {entry["question"]: answer(searcher, entry["question"]) for entry in ENTRIES}


def answer(searcher: Searcher, question: str, history: Sequence[ChatMessage] = ()) -> Answer:
    async def run() -> Answer:
        async for event in answer_question(
            question,
            history=history,
            reader="local",
            searcher=searcher,
            engine=FakeEngine(fails=True),
            settings=AnswerSettings(),
        ):
            if isinstance(event, Finished):
                return event.answer
        raise AssertionError("the stream ended without an answer")

    return asyncio.run(run())


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


def test_answerable_questions_are_quoted(answers: dict[str, Answer]) -> None:
    """The quotation holds the fact, from the document that says it; few are refused."""
    asked = [entry for entry in ENTRIES if entry["kind"] != "no_answer"]
    quoted, right_document, refused = [], [], []
    for entry in asked:
        found = answers[entry["question"]]
        texts = [" ".join(citation.text.split()) for citation in found.citations]
        quoted.append(any(all(m in text for m in entry["must_contain"]) for text in texts))
        right_document.append(entry["document"] in {c.document for c in found.citations})
        refused.append(not found.is_supported)
    print(
        f"{len(asked)} answerable: quoted {share(quoted):.2f},"
        f" document {share(right_document):.2f}, refused {share(refused):.2f}"
    )
    assert share(quoted) >= MIN_QUOTED
    assert share(right_document) >= MIN_DOCUMENT
    assert share(refused) <= MAX_REFUSED


def test_unanswerable_questions_are_left_unanswered(answers: dict[str, Answer]) -> None:
    """Near misses and general knowledge get "not in your documents", and no invented answer."""
    asked = [entry["question"] for entry in ENTRIES if entry["kind"] == "no_answer"]
    answered = [question for question in asked if answers[question].is_supported]
    print(f"{len(asked)} unanswerable, answered: {answered}")
    assert len(answered) / len(asked) <= MAX_FALSE
    assert "Who is the president of France?" not in answered


def test_follow_ups_are_answered_about_what_they_ask(searcher: Searcher) -> None:
    """Each with its own sum, in the conversation of the question before it."""
    entries = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    history: list[ChatMessage] = []
    num_asked = 0
    for entry in entries:
        if entry["kind"] == "follow-up":
            found = answer(searcher, entry["question"], history)
            assert all(text in found.vouched_text for text in entry["must_contain"]), found.text
            assert entry["document"] in {citation.document for citation in found.citations}
            num_asked += 1
        else:
            history = [ChatMessage("user", entry["question"]), ChatMessage("assistant", "R585")]
    assert num_asked >= 2


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Within how many days must a travel claim be submitted?", "30 calendar days"),
        (
            "Within how many days must a travel claim be submitted under the 2023 policy?",
            "60 calendar days",
        ),
        ("Within how many days had a claim in force in 2024 to be submitted?", "60 calendar days"),
        ("What was the daily allowance in South Africa in the 2023 policy?", "R450"),
    ],
)
def test_a_question_that_names_a_time_gets_the_policy_of_it(
    searcher: Searcher, question: str, said: str
) -> None:
    """The quotation that opens the answer is of that policy; without a time, of the newer."""
    found = answer(searcher, question)
    assert said in found.text.split("\n\n")[0], found.text


def test_citations_are_exact(answers: dict[str, Answer], searcher: Searcher) -> None:
    """Every citation of every answer is the document's text at its span."""
    library = searcher._library
    for found in answers.values():
        for citation in (*found.citations, *found.closest):
            text = library.text(citation.document_id, "local").text  # type: ignore[attr-defined]
            assert text[citation.start : citation.end] == citation.text
