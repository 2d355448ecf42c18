"""Asking within a conversation stores everything, whatever happens to the stream."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.events import Draft, Finished, Retrieved, Waiting
from kit.config import AnswerSettings
from kit.errors import NotFound, UsageError
from kit.testing import FakeEngine
from tests.answer.conftest import OFFICE

QUESTION = "When does the licensing panel meet?"
NO_MODES: Any = None  # nothing but questions is asked here
TEXT = "The panel has five members. The panel is chaired by Ms Lindiwe Okoro."


@pytest.fixture
def conversations(database, plant) -> Conversations:
    plant(*{hit.document_id for hit in OFFICE.passage_hits()})
    return Conversations(database)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(TEXT)


@pytest.fixture
def chat(conversations, searcher, engine) -> Chat:
    return Chat(conversations, searcher, engine, AnswerSettings(), modes=NO_MODES)


@pytest.fixture
def conversation_id(conversations) -> str:
    return conversations.create("local").id


def told(conversations, conversation_id) -> list[tuple[str, str, str]]:
    messages = conversations.messages(conversation_id, "local")
    return [(m.role, m.state, m.text) for m in messages]


def test_question_and_answer_are_stored(chat, conversations, conversation_id, collect) -> None:
    """After a finished stream the conversation holds the question and the whole answer."""
    events = collect(chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id))
    answer = events[-1].answer
    asked, answered = conversations.messages(conversation_id, "local")
    assert (asked.text, answered.state) == (QUESTION, "complete")
    assert (answered.text, answered.answer) == (answer.text, answer)
    assert "five members" in answer.text


@pytest.mark.parametrize("at", range(6))
def test_a_stream_closed_at_any_event_stores_what_was_shown(
    at, chat, conversations, conversation_id, collect
) -> None:
    """Wherever the reader goes away, the question is there and the answer is as it was shown."""
    seen: list = []

    def reached(event) -> bool:
        seen.append(event)
        return len(seen) == at + 1

    collect(chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id), reached)
    drafts = [event.text for event in seen if isinstance(event, Draft)]
    (asked, answered) = told(conversations, conversation_id)
    assert asked == ("user", "complete", QUESTION)
    if isinstance(seen[-1], Finished):
        assert answered[1] == "complete"
    else:
        assert answered == ("assistant", "stopped", drafts[-1] if drafts else "")
    stored = conversations.messages(conversation_id, "local")[1].answer
    assert stored is not None
    assert stored.is_supported == bool(drafts)


@pytest.mark.parametrize("kind", [Retrieved, Draft, Waiting])
def test_a_cancelled_task_stores_what_was_shown(
    kind, conversations, conversation_id, searcher
) -> None:
    """A task cancelled while it waits leaves a stopped answer."""
    chat = Chat(
        conversations, searcher, FakeEngine(TEXT, delay_s=60), AnswerSettings(), modes=NO_MODES
    )
    reached = asyncio.Event()

    async def read() -> None:
        stream = chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, kind):
                    reached.set()

    async def go() -> None:
        task = asyncio.create_task(read())
        await reached.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    (_, answered) = told(conversations, conversation_id)
    assert answered[1] == "stopped"
    assert answered[2].startswith("“The licensing panel meets")


def test_an_error_is_stored_as_failed_and_raised(chat, conversations, conversation_id, collect):
    """An impossible question is kept, marked failed, and the error reaches the caller."""
    with pytest.raises(UsageError):
        collect(chat.ask("x" * 5_000, owner_id="local", conversation_id=conversation_id))
    assert [state for _, state, _ in told(conversations, conversation_id)] == ["complete", "failed"]


def test_regenerate_replaces_the_last_answer(
    chat, conversations, conversation_id, engine, collect
) -> None:
    """The last question is answered again in place; what came before stays."""
    for question in (QUESTION, "How long is a berth licence valid?"):
        collect(chat.ask(question, owner_id="local", conversation_id=conversation_id))
    before = conversations.messages(conversation_id, "local")
    collect(chat.regenerate(conversation_id, "local"))
    after = conversations.messages(conversation_id, "local")
    assert [m.text for m in after] == [m.text for m in before]
    assert [m.id for m in after[:3]] == [m.id for m in before[:3]]
    assert after[3].id > before[3].id
    assert engine.seen[-1] == engine.seen[-2]


def test_edit_asks_anew_from_that_question_on(
    chat, conversations, conversation_id, collect
) -> None:
    """An edited question replaces the old one and everything after it."""
    for question in (QUESTION, "How long is a berth licence valid?"):
        collect(chat.ask(question, owner_id="local", conversation_id=conversation_id))
    first = conversations.messages(conversation_id, "local")[0]
    collect(chat.edit(first.id, "How long must a password be?", "local"))
    messages = conversations.messages(conversation_id, "local")
    assert [m.role for m in messages] == ["user", "assistant"]
    assert messages[0].text == "How long must a password be?"
    assert "14 characters" in messages[1].text


def test_others_are_not_found(chat, conversations, conversation_id, collect) -> None:
    """Asking, regenerating, editing in another's conversation is NotFound and changes nothing."""
    collect(chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id))
    before = told(conversations, conversation_id)
    number = conversations.messages(conversation_id, "local")[0].id
    for stream in (
        chat.ask("Hm?", owner_id="eve", conversation_id=conversation_id),
        chat.regenerate(conversation_id, "eve"),
        chat.edit(number, "Hm?", "eve"),
    ):
        with pytest.raises(NotFound):
            collect(stream)
    assert told(conversations, conversation_id) == before


def test_nothing_to_regenerate_or_edit(chat, conversations, conversation_id, collect) -> None:
    """An empty conversation has nothing to regenerate, and an answer cannot be edited."""
    with pytest.raises(UsageError):
        collect(chat.regenerate(conversation_id, "local"))
    collect(chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id))
    answer_id = conversations.messages(conversation_id, "local")[1].id
    with pytest.raises(UsageError):
        collect(chat.edit(answer_id, "Hm?", "local"))


def test_history_reaches_the_model_without_markers(
    chat, conversations, conversation_id, engine, collect
) -> None:
    """A follow-up brings the earlier exchange, without citation numbers of another answer."""
    collect(chat.ask(QUESTION, owner_id="local", conversation_id=conversation_id))
    collect(chat.ask("And who chairs it?", owner_id="local", conversation_id=conversation_id))
    earlier = [m.content for m in engine.seen[-1] if m.role == "assistant"]
    assert len(earlier) == 1
    assert "second Thursday" in earlier[0]
    assert "[1]" not in earlier[0]


def test_an_answer_rests_on_the_answers_that_the_model_read(
    database, chat, conversations, conversation_id, searcher, collect
) -> None:
    """Where the sources of an earlier answer are closed or removed, what was written with that
    answer before the model's eyes is too."""

    def ask(question: str) -> tuple[int, set[str]]:
        collect(chat.ask(question, owner_id="local", conversation_id=conversation_id))
        message = conversations.messages(conversation_id, "local")[-1]
        rows = database.rows(
            "SELECT document_id FROM message_sources WHERE message_id = ?", (message.id,)
        )
        return message.id, {str(row[0]) for row in rows}

    every = OFFICE.passage_hits()
    [panel] = {hit.document_id for hit in every if "icensing panel" in hit.text}
    searcher._hits = [hit for hit in every if hit.document_id == panel]
    assert ask(QUESTION)[1] == {panel}
    searcher._hits = [hit for hit in every if hit.document_id != panel]
    later, sources = ask("Where may a bicycle be left?")
    assert panel in sources
    assert len(sources) > 1
    with database.write() as connection:
        connection.execute("DELETE FROM documents WHERE id = ?", (panel,))
    shown = next(m for m in conversations.messages(conversation_id, "local") if m.id == later)
    assert shown.is_closed
