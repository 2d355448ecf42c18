"""A conversation without its oldest exchanges, where the whole does not fit.

Knows messages, not tokens. Keeps one invariant: every system message stays, and so does everything
from the last user message on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]


def trim_oldest(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool]
) -> tuple[list[Message], int]:
    """The longest rest of the conversation that fits, and how many messages were dropped.

    It begins with a user message. If not even the last exchange fits, that is what is returned.
    `fits` is asked about log2(exchanges) times.
    """
    cuts = [0, *(at for at, message in enumerate(messages) if at and message["role"] == "user")]
    low, high = 0, len(cuts) - 1
    while low < high:
        middle = (low + high) // 2
        if fits(_from(messages, cuts[middle])):
            high = middle
        else:
            low = middle + 1
    kept = _from(messages, cuts[low])
    return kept, len(messages) - len(kept)


def _from(messages: Sequence[Message], cut: int) -> list[Message]:
    return [m for at, m in enumerate(messages) if at >= cut or m["role"] == "system"]
