"""Asking one document: all of it where it fits, pinned for its readers, nothing of any other."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kit.answer.answer import NOT_IN_DOCUMENT, NOT_IN_PASSAGES, answer_question
from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.conversations.forget import forget_removed
from kit.answer.events import Answer, Event, Notice, Retrieved
from kit.answer.prompt import EVERYONE
from kit.answer.retrieve import OTHER_MODEL, Searcher
from kit.config import AnswerSettings, LibrarySettings
from kit.database import Database
from kit.engine.client import ChatMessage, Reuse
from kit.errors import DocumentRefused, NotFound, UsageError
from kit.library.index.lexical import search_lexical
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.testing import FakeEmbedder, FakeEngine

NO_MODES: Any = None  # nothing but questions is asked here

RULES = {
    "Meals": "The daily meal rate is R 650 for every traveller.",
    "Hotels": "A hotel room may cost at most R 1,900 a night.",
    "Flights": "Flights within the country are booked in economy class.",
    "Claims": "A claim is sent to the finance desk within 30 days.",
    "Visas": "Visas are paid for by the faculty that sends the traveller.",
    "Cars": "A hired car needs the signature of the head of department.",
    "Trains": "The night train to Mafikeng leaves from platform nine.",
}
POLICY = "\n\n".join(f"# {title}\n\n{text}" for title, text in RULES.items())
QUESTION = "What is the daily meal rate?"


class NoIndex:
    """Never asked: one document is scored from SQLite."""

    is_ready = True

    def search(self, *_: object) -> list[tuple[int, float]]:
        raise AssertionError("the dense index was asked")


@pytest.fixture
def library(home: Any, database: Database) -> Library:
    with database.write() as connection:
        for name, role in (("ann", "admin"), ("bob", "staff")):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (name, name, role)
            )
    return Library(home, database)


@pytest.fixture
def add(library: Library) -> Callable[..., str]:
    """Add a text as a document of ann's, read it, and return its id."""

    def run(text: str = POLICY, name: str = "policy.md", **options: Any) -> str:
        is_read = options.pop("is_read", True)
        record = library.add(io.BytesIO(text.encode()), name, added_by="ann", **options)
        ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings(chunk_tokens=20))
        while is_read and ingestor.run_next():
            pass
        return record.id

    return run


@pytest.fixture
def searcher(library: Library, database: Database) -> Searcher:
    return Searcher(library, database, NoIndex(), FakeEmbedder())


@pytest.fixture
def ask(searcher: Searcher, collect: Callable[..., list[Event]]) -> Callable[..., list[Event]]:
    def run(document_id: str, question: str = QUESTION, engine: Any = None, **options: Any) -> Any:
        known = {
            "history": (),
            "reader": "ann",
            "searcher": searcher,
            "engine": engine or FakeEngine(),
            "settings": AnswerSettings(),
            "document_id": document_id,
        }
        return collect(answer_question(question, **(known | options)))

    return run


def final(events: list[Event]) -> Answer:
    return events[-1].answer  # type: ignore[union-attr]


def whole(library: Library, document_id: str) -> list[str]:
    return [hit.text for hit in library.whole(document_id, "ann").hits]


# Ranking ----------------------------------------------------------------------------------------


def test_every_passage_is_scored_whatever_else_the_library_holds(
    add, searcher, database, library
) -> None:
    """Three hundred better passages elsewhere push none of the document out of its own ranking."""
    document_id = add()
    for n in range(3):
        flood = "\n\n".join(f"# Part {n} {i}\n\n{QUESTION} Rate {i}." for i in range(100))
        add(flood, f"flood-{n}.md")
    found = asyncio.run(searcher.search_document(QUESTION, reader="ann", document_id=document_id))
    assert {hit.document_id for hit in found.hits} == {document_id}
    assert sorted(hit.text for hit in found.hits) == sorted(whole(library, document_id))
    assert [hit.rank for hit in found.hits] == [*range(1, len(found.hits) + 1)]
    assert "R 650" in found.hits[0].text
    assert found.notices == ()


def test_scores_are_those_of_the_whole_library(add, searcher, database, library) -> None:
    """Words count as in a search of everything, meanings by the stored vectors themselves."""
    add("The meal was daily. The rate was fine.", "other.md")
    document_id = add()
    found = asyncio.run(searcher.search_document(QUESTION, reader="ann", document_id=document_id))
    everywhere = dict(search_lexical(database, QUESTION, [1], 100))
    query = FakeEmbedder().embed_queries([QUESTION])[0]
    rows = dict(database.rows("SELECT chunk_id, vector FROM vectors"))
    import numpy as np

    for hit in found.hits:
        assert hit.lexical == everywhere.get(hit.chunk_id)
        assert hit.dense == pytest.approx(float(np.frombuffer(rows[hit.chunk_id], "<f4") @ query))


def test_vectors_of_another_model_are_said_to_be(add, library, database) -> None:
    """Where the document was embedded by another model it is ranked by words, with a notice."""

    class Other(FakeEmbedder):
        model = "another"

    document_id = add()
    searcher = Searcher(library, database, NoIndex(), Other())
    found = asyncio.run(searcher.search_document(QUESTION, reader="ann", document_id=document_id))
    assert "R 650" in found.hits[0].text
    assert OTHER_MODEL in found.notices[0]


# The prompt -------------------------------------------------------------------------------------


def test_the_whole_document_is_the_prompts_beginning(ask, add, library) -> None:
    """All passages stand in it, in the order of the text, whatever is asked."""
    document_id, engine = add(), FakeEngine()
    events = ask(document_id, engine=engine)
    ask(document_id, "How long until a claim is sent?", engine=engine)
    first, second = (seen[1].content for seen in engine.seen)
    places = [first.index(text) for text in whole(library, document_id)]
    assert places == sorted(places)
    end = engine.reused[0].shared_chars
    assert first[:end] == second[:end]
    assert first[end:] == f"Question: {QUESTION}"
    assert final(events).is_supported
    assert not any(isinstance(event, Notice) for event in events)
    (retrieved,) = (event for event in events if isinstance(event, Retrieved))
    assert len(retrieved.passages) == len(whole(library, document_id))


def test_a_shared_document_is_pinned_for_all_its_readers(ask, add) -> None:
    """Two people name the same prefix, a document that was read again another."""
    document_id, engine = add(), FakeEngine()
    ask(document_id, engine=engine, reader="ann")
    ask(document_id, engine=engine, reader="bob")
    ann, bob = engine.reused
    assert ann.is_pinned
    assert ann.fields()["shared_prefix"]["pin"] is True
    assert (ann.person, bob.person) == ("ann", "bob")
    assert replace(ann, person="bob") == bob
    assert document_id in ann.shared_namespace
    other = add(POLICY + "\n\nMore.", "second.md")
    ask(other, engine=engine)
    assert engine.reused[2].shared_namespace != ann.shared_namespace


def test_a_private_document_stays_its_owners(ask, add) -> None:
    """It is read whole, and what is computed of it is shared with nobody and not kept on disk."""
    document_id, engine = add(is_private=True), FakeEngine()
    assert final(ask(document_id, engine=engine)).is_supported
    assert engine.reused == [Reuse("ann")]
    assert "shared_prefix" not in engine.reused[0].fields()


def test_a_long_document_gives_its_best_passages_and_says_so(ask, add, library) -> None:
    """What does not fit is read in part: the reader is told how many passages of how many."""
    filler = "\n\n".join(
        f"# Part {n}\n\n" + f"Paragraph {n} tells of kelp. " * 9 for n in range(40)
    )
    document_id, engine = add(f"{filler}\n\n{POLICY}\n\n{filler}"), FakeEngine()
    settings = AnswerSettings(max_prompt_tokens=400, max_document_tokens=900)
    events = ask(document_id, engine=engine, settings=settings)
    given = engine.seen[0][1].content.count("</passage")
    total = len(whole(library, document_id))
    assert 0 < given < total
    (notice,) = (event.text for event in events if isinstance(event, Notice))
    assert "longer than the model can read at once" in notice
    assert f"{given} of its {total} passages" in notice
    assert "R 650" in final(events).text
    assert engine.reused[0].shared_namespace == EVERYONE
    assert not engine.reused[0].is_pinned


def test_a_small_context_bounds_the_document_too(ask, add) -> None:
    """The engine's own context counts, whatever the settings allow."""

    class Small(FakeEngine):
        async def context_tokens(self) -> int:
            return 700

    engine = Small()
    events = ask(add(), engine=engine, settings=AnswerSettings(max_answer_tokens=400))
    assert any("longer than the model" in e.text for e in events if isinstance(e, Notice))
    assert not engine.reused[0].is_pinned


def test_the_conversation_makes_way_for_the_document(ask, add, library) -> None:
    """History is left out, oldest first, before the document is read in part."""
    document_id, engine = add(), FakeEngine()
    ask(document_id, engine=engine)
    alone = sum(asyncio.run(engine.count_tokens(m.content)) + 8 for m in engine.seen[0])
    history = [
        ChatMessage(role, f"{word} " * 60)  # type: ignore[arg-type]
        for word in ("old", "new")
        for role in ("user", "assistant")
    ]
    settings = AnswerSettings(max_prompt_tokens=100, max_document_tokens=alone + 160)
    ask(document_id, engine=engine, history=history, settings=settings)
    said = " ".join(message.content for message in engine.seen[1])
    assert all(text in said for text in whole(library, document_id))
    assert "new new" in said
    assert "old old" not in said
    assert engine.reused[1].is_pinned
    assert engine.reused[1].shared_namespace == engine.reused[0].shared_namespace


# What it says -----------------------------------------------------------------------------------


def test_another_document_answers_nothing_here(ask, add) -> None:
    """What only another document says is not in this one, and the model is not asked."""
    add("# Parking\n\nThe parking fee is R 12 an hour.", "parking.md")
    engine = FakeEngine("The parking fee is R 12 an hour.")
    answer = final(ask(add(), "What is the parking fee an hour?", engine))
    assert answer.text.startswith(NOT_IN_DOCUMENT)
    assert {citation.document for citation in answer.closest} == {"policy.md"}
    assert engine.seen == []


def test_a_part_that_does_not_say_is_not_the_whole(ask, add) -> None:
    """Where only some passages were read, no more than these are said to be silent."""
    document_id = add()
    settings = AnswerSettings(top_k=2, max_prompt_tokens=200, max_document_tokens=200)
    events = ask(document_id, "Who is the president of France?", settings=settings)
    assert final(events).text.startswith(NOT_IN_PASSAGES)
    assert any("2 of its" in event.text for event in events if isinstance(event, Notice))


def test_every_passage_may_support_a_sentence(ask, add) -> None:
    """Two sentences that rest on two passages are both supported, where one passage is the most
    that a search would give: the check has them all."""
    engine = FakeEngine("The daily meal rate is R 650. The night train leaves from platform nine.")
    question = "What is the daily meal rate, and from which platform leaves the night train?"
    answer = final(ask(add(), question, engine, settings=AnswerSettings(top_k=1)))
    assert [sentence.support for sentence in answer.sentences] == ["supported"] * 2
    places = {text for citation in answer.citations for text in RULES.values()
              if citation.text in text}  # fmt: skip
    assert places == {RULES["Meals"], RULES["Trains"]}


def test_an_engine_that_is_away_costs_the_models_text_alone(ask, add) -> None:
    """The quote is there, with the reason why there is no more."""

    class Away(FakeEngine):
        async def context_tokens(self) -> int:
            from kit.errors import EngineUnavailable

            raise EngineUnavailable("the engine is starting")

    answer = final(ask(add(), engine=Away()))
    assert "R 650" in answer.text
    assert len(answer.notices) == 1
    assert "the engine is starting" in answer.notices[0]


# Who may, and what may not be asked --------------------------------------------------------------


def test_anothers_document_is_one_that_is_not_there(ask, add) -> None:
    """Another person's private document and one that never was: the same words, and no model."""
    engine, said = FakeEngine(), []
    for document_id in (add(is_private=True), "0" * 32):
        with pytest.raises(NotFound) as caught:
            ask(document_id, engine=engine, reader="bob")
        said.append((caught.value.message.replace(document_id, "X"), caught.value.hint))
    assert said[0] == said[1]
    assert engine.seen == []


def test_a_document_without_text_says_why(ask, add) -> None:
    """One that is still read, and one that has no text, are told apart, in words."""
    with pytest.raises(NotFound, match=r"new\.md is still being read"):
        ask(add("text", "new.md", is_read=False))
    with pytest.raises(DocumentRefused, match=r"empty\.md has no text"):
        ask(add("  ", "empty.md"))


def test_a_document_and_a_collection_exclude_each_other(ask, add) -> None:
    """Two answers to "which documents?" are a mistake, not a guess."""
    with pytest.raises(UsageError, match="one of them"):
        ask(add(), collection="library")


# Conversations ----------------------------------------------------------------------------------


@pytest.fixture
def chat(database: Database, searcher: Searcher) -> tuple[Chat, Conversations, FakeEngine]:
    conversations, engine = Conversations(database), FakeEngine("The daily meal rate is R 650.")
    return (
        Chat(conversations, searcher, engine, AnswerSettings(), modes=NO_MODES),
        conversations,
        engine,
    )


def test_a_conversation_remembers_its_document(add, chat, collect, library) -> None:
    """Asked of a document once, its next questions and their repetition are of it too."""
    talk, conversations, engine = chat
    document_id = add()
    made = conversations.create("ann")
    options = {"owner_id": "ann", "conversation_id": made.id}
    collect(talk.ask(QUESTION, document_id=document_id, **options))
    collect(talk.ask("And the hotel room, a night?", **options))
    collect(talk.regenerate(made.id, "ann"))
    assert conversations.get(made.id, "ann").document_id == document_id
    assert [reuse.is_pinned for reuse in engine.reused] == [True] * 3
    conversations.set_document(made.id, "ann", None)
    assert conversations.list("ann")[0].document_id is None


def test_a_removed_document_is_missed_not_replaced(add, chat, collect, library) -> None:
    """A conversation about it does not turn to the other documents by itself."""
    talk, conversations, engine = chat
    document_id = add()
    add("# Meals\n\nThe daily meal rate is R 999.", "other.md")
    made = conversations.create("ann", document_id=document_id)
    library.remove(document_id, "ann")
    with pytest.raises(NotFound):
        collect(talk.ask(QUESTION, owner_id="ann", conversation_id=made.id))
    assert engine.seen == []
    assert conversations.messages(made.id, "ann")[-1].state == "failed"


def test_nobody_sets_anothers_conversations_document(add, chat) -> None:
    """It is NotFound, as everything of another's conversation."""
    _, conversations, _ = chat
    made = conversations.create("ann")
    with pytest.raises(NotFound):
        conversations.set_document(made.id, "bob", add())
    assert conversations.get(made.id, "ann").document_id is None


# Forgetting -------------------------------------------------------------------------------------


class Pins:
    """An engine's pinned namespaces."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    async def pinned(self) -> list[str]:
        return self.names

    async def forget(self, namespace: str) -> None:
        self.names = [name for name in self.names if name != namespace]


def test_the_engine_forgets_what_was_removed(add, library, database) -> None:
    """Of the names the engine has, those go whose document is gone or was read again, and no
    name of another kit or another use."""
    kept, removed, again = (add(f"{POLICY}\nForm {n} is used.", f"{n}.md") for n in range(3))
    names = [library.whole(document_id, "ann").prefix for document_id in (kept, removed, again)]
    library.remove(removed, "ann")
    with database.write() as connection:
        connection.execute("UPDATE documents SET state = 'queued' WHERE id = ?", (again,))
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    foreign = [names[0].replace("document ", "document f"), "readers", "document", ""]
    engine = Pins(*names, *foreign)
    assert asyncio.run(forget_removed(engine, database)) == 2
    assert engine.names == [names[0], *foreign]
    assert library.whole(again, "ann").prefix not in names
    assert asyncio.run(forget_removed(engine, database)) == 0
