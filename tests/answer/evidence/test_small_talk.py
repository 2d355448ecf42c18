"""Greetings get fixed words; anything that asks goes to the documents."""

from __future__ import annotations

import pytest

from kit.answer.evidence.small_talk import ABILITIES, GOODBYE, GREETING, THANKS, small_talk


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hi", GREETING),
        ("Good morning!", GREETING),
        ("hello, how are you?", GREETING),
        ("Thanks a lot.", THANKS),
        ("thank you for your help", THANKS),
        ("What can you do?", ABILITIES),
        ("help", ABILITIES),
        ("bye", GOODBYE),
        ("Hello, when does the committee meet?", None),
        ("Thanks. And for students?", None),
        ("What can you do with a berth licence?", None),
        ("Who are you allowed to appeal to?", None),
        ("?!", None),
    ],
)
def test_small_talk(text: str, reply: str | None) -> None:
    """Only a text that asks nothing gets a fixed reply."""
    assert small_talk(text) == reply
