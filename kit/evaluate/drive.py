"""A load driven against one server: every person asks in their own time.

Knows scripts and replies, not processes. Invariant: every question of the load has a reply, and
what was not answered in time is a failure, not a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from kit.evaluate.client import Reply, ask, open_client
from kit.evaluate.loads import SYSTEM, Load, Script

MAX_LOAD_S = 600.0

Extra = Callable[[Script], Mapping[str, Any]]


@dataclass(frozen=True)
class Driven:
    """Every reply to one load, and the seconds from its beginning to the last of them."""

    replies: tuple[Reply, ...]
    wall_s: float


def drive(
    url: str,
    load: Load,
    *,
    extra: Extra = lambda _script: {},
    max_load_s: float = MAX_LOAD_S,
) -> Driven:
    """Put the load on the server at `url`, which ends in /v1; returns when all is answered.

    `extra` gives the fields of a script's requests that only this server takes.
    """
    _allow_many_connections(len(load.scripts))
    return asyncio.run(_drive(url, load, extra, max_load_s))


def _allow_many_connections(num_people: int) -> None:
    """An open load keeps as many connections as people wait; the usual limit is 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_people + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _drive(url: str, load: Load, extra: Extra, max_load_s: float) -> Driven:
    replies: list[Reply] = []
    async with open_client() as http:
        began = time.perf_counter()
        people = [
            asyncio.create_task(_play(http, url, script, began, extra(script), replies))
            for script in load.scripts
        ]
        await asyncio.wait(people, timeout=max_load_s)
        wall_s = time.perf_counter() - began
        for person in people:
            person.cancel()
        outcomes = await asyncio.gather(*people, return_exceptions=True)
        for problem in outcomes:
            if isinstance(problem, Exception):
                raise problem
    return Driven((*replies, *_unanswered(load.scripts, replies, wall_s)), wall_s)


async def _play(
    http: httpx.AsyncClient,
    url: str,
    script: Script,
    began: float,
    extra: Mapping[str, Any],
    replies: list[Reply],
) -> None:
    """One person's turns; who gets no answer asks no further."""
    await asyncio.sleep(max(0.0, script.start_s - (time.perf_counter() - began)))
    history = [{"role": "system", "content": SYSTEM}]
    for turn, question in enumerate(script.turns, start=1):
        messages = [*history, {"role": "user", "content": question}]
        reply = await ask(
            http,
            url,
            messages,
            person=script.person,
            turn=turn,
            max_tokens=script.max_tokens,
            began=began,
            extra=extra,
        )
        replies.append(reply)
        if reply.outcome != "finished":
            return
        if script.is_conversation:
            history = [*messages, {"role": "assistant", "content": reply.text}]


def _unanswered(scripts: Sequence[Script], replies: Sequence[Reply], wall_s: float) -> list[Reply]:
    """The questions that nobody answered, or that were never asked because one before failed."""
    seen = {(reply.person, reply.turn) for reply in replies}
    return [
        Reply(script.person, turn, wall_s, 0.0, "failed", problem="not answered in time")
        for script in scripts
        for turn in range(1, len(script.turns) + 1)
        if (script.person, turn) not in seen
    ]
