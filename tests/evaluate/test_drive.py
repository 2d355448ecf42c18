"""A load driven against a server: who asks when, and that every question has a reply."""

from __future__ import annotations

import pytest

from kit.evaluate.drive import drive
from kit.evaluate.loads import Load, Script
from tests.evaluate import fake_server


def one_turn(person: str, *, start_s: float = 0.0) -> Script:
    return Script(person, person, (f"I am {person}.",), max_tokens=2, start_s=start_s)


def test_conversation_carries_the_servers_own_answers() -> None:
    """A turn of a conversation has the earlier ones and their answers; other turns stand alone."""
    fake = fake_server.Script()
    talk = Script("a", "a", ("One?", "Two?"), max_tokens=2, is_conversation=True)
    alone = Script("b", "b", ("One?", "Two?"), max_tokens=2)
    with fake_server.serving(fake) as url:
        driven = drive(url, Load("d", "", (talk, alone)))
    contents: dict[str, list[list[str]]] = {"a": [], "b": []}
    for body in fake.seen:
        contents[body["user"]].append([m["content"] for m in body["messages"][1:]])
    assert contents == {"a": [["One?"], ["One?", "1 2 ", "Two?"]], "b": [["One?"], ["Two?"]]}
    assert {(reply.person, reply.turn) for reply in driven.replies} == {
        *(("a", 1), ("a", 2)),
        *(("b", 1), ("b", 2)),
    }


def test_people_begin_when_their_script_says() -> None:
    """In an open load a person does not wait for those before."""
    fake = fake_server.Script(first_s=0.3)
    scripts = tuple(one_turn(f"p{n}", start_s=0.1 * n) for n in range(3))
    with fake_server.serving(fake) as url:
        driven = drive(url, Load("f", "", scripts))
    sent = sorted(reply.sent_s for reply in driven.replies)
    assert [round(s, 1) >= 0.1 * n for n, s in enumerate(sent)] == [True] * 3
    assert sent[2] < 0.3, "the third began before the first was answered"
    assert driven.wall_s >= max(reply.sent_s + reply.total_s for reply in driven.replies) - 0.05


def test_refusals_are_counted_with_their_latency() -> None:
    """Of four at once, a server of one answers one and refuses three at once."""
    fake = fake_server.Script(first_s=0.4, max_running=1)
    with fake_server.serving(fake) as url:
        driven = drive(url, Load("f", "", tuple(one_turn(f"p{n}") for n in range(4))))
    outcomes = sorted(reply.outcome for reply in driven.replies)
    assert outcomes == ["finished", "refused", "refused", "refused"]
    assert all(0 < r.total_s < 0.4 for r in driven.replies if r.outcome == "refused")


def test_unanswered_question_is_a_failure_not_a_gap() -> None:
    """What has no answer when time is up, and what was never asked, have failed replies."""
    fake = fake_server.Script(first_s=2.0)
    script = Script("a", "a", ("One?", "Two?"), max_tokens=2)
    with fake_server.serving(fake) as url:
        driven = drive(url, Load("a", "", (script,)), max_load_s=0.2)
    assert [(r.turn, r.outcome) for r in driven.replies] == [(1, "failed"), (2, "failed")]
    assert driven.wall_s == pytest.approx(0.2, abs=0.5)
