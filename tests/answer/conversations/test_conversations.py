"""Conversations belong to their owner and keep what they were given."""

from __future__ import annotations

import pytest

from kit.answer.conversations.conversations import Conversations
from kit.answer.events import Answer, Timings
from kit.errors import KitError, NotFound, UsageError


@pytest.fixture
def conversations(database) -> Conversations:
    with database.write() as connection:
        connection.execute("INSERT INTO users VALUES ('ann', 'ann', 'staff', NULL, 0, '2026')")
        connection.execute("INSERT INTO users VALUES ('bob', 'bob', 'admin', NULL, 0, '2026')")
    return Conversations(database)


ANSWER = Answer("“Yes.” [1]", True, None, (), (), Timings(0.1, 0.2, 0.3), notices=("ä",))


def test_messages_come_back_as_stored(conversations: Conversations) -> None:
    """A question and its answer are read back equal, and the question names the conversation."""
    made = conversations.create("ann")
    number = conversations.begin(made.id, "ann", "Is it  open?")
    conversations.store(number, "complete", ANSWER.text, ANSWER)
    asked, answered = conversations.messages(made.id, "ann")
    assert (asked.role, asked.text, asked.state) == ("user", "Is it  open?", "complete")
    assert (answered.id, answered.text, answered.answer) == (number, ANSWER.text, ANSWER)
    assert conversations.get(made.id, "ann").title == "Is it open?"


def test_anothers_conversation_is_not_found_whatever_one_tries(conversations) -> None:
    """Nobody, an administrator included, reaches another's conversation by any method."""
    made = conversations.create("ann")
    number = conversations.begin(made.id, "ann", "Secret?")
    attempts = (
        lambda c: c.get(made.id, "bob"),
        lambda c: c.messages(made.id, "bob"),
        lambda c: c.message(number, "bob"),
        lambda c: c.rename(made.id, "mine", "bob"),
        lambda c: c.delete(made.id, "bob"),
        lambda c: c.set_feedback(number, "bob", 1),
        lambda c: c.truncate(number, "bob"),
        lambda c: c.begin(made.id, "bob", "hello"),
    )
    messages = []
    for attempt in attempts:
        with pytest.raises(NotFound) as caught:
            attempt(conversations)
        messages.append(caught.value.message)
    with pytest.raises(NotFound) as absent:
        conversations.get("nothing", "bob")
    assert absent.value.message in messages
    assert conversations.list("bob") == []
    assert conversations.list("bob", "Secret") == []
    assert len(conversations.messages(made.id, "ann")) == 2


def test_the_list_is_latest_first_and_searches_titles_and_texts(conversations) -> None:
    """A query finds a word in a title or a message; % and _ are plain characters."""
    first = conversations.create("ann", "Travel 100%")
    second = conversations.create("ann")
    conversations.begin(second.id, "ann", "Who pays the ferry_boat?")
    assert [c.id for c in conversations.list("ann")] == [second.id, first.id]
    assert [c.id for c in conversations.list("ann", "FERRY")] == [second.id]
    assert [c.id for c in conversations.list("ann", "0%")] == [first.id]
    assert [c.id for c in conversations.list("ann", "y_b")] == [second.id]
    assert conversations.list("ann", "nothing") == []


def test_rename_delete_feedback_and_truncate(conversations) -> None:
    """A conversation can be named, judged, cut and removed by its owner."""
    made = conversations.create("ann", "A")
    assert conversations.rename(made.id, " New \n name ", "ann").title == "New name"
    numbers = [conversations.begin(made.id, "ann", f"Q{n}") for n in range(3)]
    conversations.set_feedback(numbers[0], "ann", -1)
    assert conversations.message(numbers[0], "ann").feedback == -1
    conversations.truncate(numbers[1] - 1, "ann")
    assert [m.text for m in conversations.messages(made.id, "ann")] == ["Q0", ""]
    conversations.delete(made.id, "ann")
    with pytest.raises(NotFound):
        conversations.messages(made.id, "ann")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c, made, number: c.rename(made, "  ", "ann"),
        lambda c, made, number: c.set_feedback(number, "ann", 2),
        lambda c, made, number: c.set_feedback(number - 1, "ann", 1),
    ],
)
def test_wrong_use_is_a_plain_error(conversations, wrong) -> None:
    """An empty title, another feedback, or feedback on a question is refused."""
    made = conversations.create("ann")
    number = conversations.begin(made.id, "ann", "Q")
    with pytest.raises(UsageError) as caught:
        wrong(conversations, made.id, number)
    assert isinstance(caught.value, KitError)


def test_repair_stops_what_a_kill_left_streaming(conversations) -> None:
    """After a kill, answers left streaming are 'stopped' and keep what was shown."""
    made = conversations.create("ann")
    done = conversations.begin(made.id, "ann", "Q1")
    conversations.store(done, "complete", "A1", ANSWER)
    killed = conversations.begin(made.id, "ann", "Q2")
    conversations.store(killed, "streaming", "“Half", ANSWER)
    assert conversations.repair() == 1
    assert conversations.repair() == 0
    states = [(m.state, m.text) for m in conversations.messages(made.id, "ann")]
    assert states[1::2] == [("complete", "A1"), ("stopped", "“Half")]


def test_a_long_question_makes_a_short_title(conversations) -> None:
    """A title has at most eighty characters and ends at a word."""
    made = conversations.create("ann")
    conversations.begin(made.id, "ann", "why " * 50)
    title = conversations.get(made.id, "ann").title
    assert len(title) <= 82
    assert title.endswith("why …")
