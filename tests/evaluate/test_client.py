"""One question, timed: what counts as a token, as a first token, as an end."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from kit.evaluate.client import Reply, ask, open_client
from tests.evaluate.fake_server import Script, serving


def ask_once(script: Script, **fields: Any) -> Reply:
    """The reply of a fake server that behaves as `script` says."""

    async def go(url: str) -> Reply:
        async with open_client() as http:
            return await ask(
                http,
                url,
                [{"role": "user", "content": "Why?"}],
                person="thandi",
                turn=2,
                max_tokens=4,
                began=time.perf_counter(),
                extra=fields,
            )

    with serving(script) as url:
        return asyncio.run(go(url))


def test_tokens_and_times_of_an_answer() -> None:
    """Tokens are the server's count; the first one is the first text, not the role before it."""
    reply = ask_once(Script(first_s=0.2, gap_s=0.05))
    assert (reply.outcome, reply.person, reply.turn, reply.text) == (
        *("finished", "thandi", 2),
        "1 2 3 4 ",
    )
    assert (reply.prompt_tokens, reply.completion_tokens, len(reply.chunk_s)) == (50, 4, 4)
    assert reply.ttft_s == reply.chunk_s[0] >= 0.2
    assert all(
        at >= 0.2 + 0.05 * n for n, at in enumerate(reply.chunk_s)
    )  # none before it was sent
    assert list(reply.gaps_s) == pytest.approx(
        [after - at for at, after in itertools.pairwise(reply.chunk_s)]
    )
    assert reply.total_s >= reply.chunk_s[-1]
    seconds = reply.chunk_s[-1] - reply.chunk_s[0]
    assert reply.decode_tok_per_s == pytest.approx(3 / seconds)


def test_body_is_the_same_but_for_the_servers_own_fields() -> None:
    """Greedy, streamed, with usage; what only one server takes comes on top."""
    script = Script()
    ask_once(script, cache_namespace="office")
    body = script.seen[0]
    assert (body["temperature"], body["stream"], body["max_tokens"]) == (0, True, 4)
    assert body["stream_options"] == {"include_usage": True}
    assert (body["user"], body["cache_namespace"]) == ("thandi", "office")


def test_answer_that_breaks_off_is_a_failure() -> None:
    """Without a finish reason it is no answer, however many tokens came."""
    reply = ask_once(Script(breaks_after=3))
    assert (reply.outcome, reply.problem) == ("failed", "the answer broke off")
    assert len(reply.chunk_s) == 3


def test_error_in_the_stream_is_a_failure() -> None:
    """An error object in a stream of status 200 is told."""
    reply = ask_once(Script(error="out of memory"))
    assert reply.outcome == "failed"
    assert "out of memory" in reply.problem


def test_refusal_has_its_latency_and_no_first_token() -> None:
    """A 429 is a refusal: its time is what refusing took."""
    reply = ask_once(Script(max_running=0))
    assert (reply.outcome, reply.status, reply.ttft_s) == ("refused", 429, None)
    assert 0 < reply.total_s < 5


def test_nobody_there_is_a_failure() -> None:
    """A server that is gone is a reply, too."""

    async def go() -> Reply:
        async with open_client() as http:
            began = time.perf_counter()
            return await ask(
                *(http, "http://127.0.0.1:9/v1", []),
                person="p",
                turn=1,
                max_tokens=1,
                began=began,
                extra={},
            )

    assert asyncio.run(go()).outcome == "failed"
