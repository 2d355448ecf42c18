"""Runs made by hand, whose figures can be worked out by eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.evaluate.client import Reply
from kit.evaluate.rounds import Run
from kit.evaluate.servers import Work


def reply(ttft_s: float = 1.0, *, tokens: int = 11, gap_s: float = 0.1, turn: int = 1) -> Reply:
    """An answer whose tokens come `gap_s` apart: 10 tokens per second by default."""
    chunks = tuple(ttft_s + gap_s * n for n in range(tokens))
    return Reply(
        person="p",
        turn=turn,
        sent_s=0.0,
        total_s=chunks[-1],
        outcome="finished",
        status=200,
        ttft_s=ttft_s,
        chunk_s=chunks,
        prompt_tokens=100,
        completion_tokens=tokens,
    )


def refusal(total_s: float) -> Reply:
    return Reply("p", 1, 0.0, total_s, "refused", status=429)


def run(
    server: str = "kit",
    load: str = "a",
    replies: Sequence[Reply] = (),
    *,
    wall_s: float = 2.0,
    number: int = 1,
    **fields: Any,
) -> Run:
    """A sound run with one answer, unless told otherwise."""
    return Run(
        server=server,
        load=load,
        threads=fields.pop("threads", 1),
        round=number,
        replies=tuple(replies) or (reply(),),
        wall_s=wall_s,
        work=Work(prompt_tokens=80, cached_tokens=20, generated_tokens=11, steps=12),
        **fields,
    )
