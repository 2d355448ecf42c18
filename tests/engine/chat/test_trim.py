"""Trimming: the oldest exchanges go, system and last question stay, no more than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.engine.chat.trim import Message, trim_oldest

roles = st.sampled_from(["system", "user", "assistant", "tool"])


@given(st.lists(st.tuples(roles, st.integers(0, 9)), min_size=1, max_size=12), st.integers(0, 60))
def test_as_little_as_possible_is_dropped(talk: list[tuple[str, int]], room: int) -> None:
    """What is kept is the longest rest that fits, starts an exchange, and has every system text."""
    messages = [{"role": role, "content": "x" * size} for role, size in talk]

    def fits(kept: object) -> bool:
        return sum(len(m["content"]) for m in kept) <= room  # type: ignore[attr-defined]

    kept, num_dropped = trim_oldest(messages, fits)
    assert num_dropped == len(messages) - len(kept)
    system = [m for m in messages if m["role"] == "system"]
    assert [m for m in kept if m["role"] == "system"] == system
    rest: list[Message] = [m for m in kept if m["role"] != "system"]
    said = [m for m in messages if m["role"] != "system"]
    assert said[len(said) - len(rest) :] == rest
    if num_dropped:
        assert rest[0]["role"] == "user"
        users = [at for at, m in enumerate(said) if m["role"] == "user"]
        start = len(said) - len(rest)
        before = max([at for at in users if at < start], default=0)
        assert not fits([*system, *said[before:]])
    else:
        assert kept == messages


def test_the_last_question_stays_even_if_it_does_not_fit() -> None:
    """Whether it fits is for the caller to say."""
    messages = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    assert trim_oldest(messages, lambda kept: False) == (messages[2:], 2)
