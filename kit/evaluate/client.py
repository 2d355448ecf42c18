"""One question asked over HTTP, its answer timed as it streams in.

Knows the OpenAI protocol and a clock, not which server answers. Invariant: only an answer that
said it had finished counts as finished; one that broke off is a failure, however fast it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

Outcome = Literal["finished", "refused", "failed"]
REFUSALS = (429, 503)
CONNECT_S = 30.0


@dataclass(frozen=True)
class Reply:
    """What became of one question. Times are in seconds; `sent_s` is from the load's beginning.

    `ttft_s` is from sending to the first piece of text, `chunk_s` when each piece came, from
    sending; `total_s` is from sending to the end or the refusal. Tokens are the server's count.
    """

    person: str
    turn: int
    sent_s: float
    total_s: float
    outcome: Outcome
    status: int = 0
    problem: str = ""
    ttft_s: float | None = None
    chunk_s: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    text: str = ""

    @property
    def gaps_s(self) -> tuple[float, ...]:
        """Seconds between one piece of text and the next."""
        return tuple(b - a for a, b in zip(self.chunk_s, self.chunk_s[1:], strict=False))

    @property
    def decode_tok_per_s(self) -> float | None:
        """Tokens per second after the first one; None for an answer without a second."""
        if len(self.chunk_s) < 2 or self.completion_tokens < 2:
            return None
        seconds = self.chunk_s[-1] - self.chunk_s[0]
        return (self.completion_tokens - 1) / seconds if seconds > 0 else None


class _Stream:
    """What has arrived of one answer."""

    def __init__(self) -> None:
        self.chunk_s: list[float] = []
        self.text: list[str] = []
        self.usage: Mapping[str, Any] = {}
        self.has_finished = False
        self.problem = ""

    def take(self, line: str, now_s: float) -> None:
        """One line of server-sent events."""
        if not line.startswith("data:") or line[5:].strip() in ("", "[DONE]"):
            return
        chunk = json.loads(line[5:])
        if "error" in chunk:
            self.problem = str(chunk["error"])
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            piece = (delta.get("reasoning_content") or "") + (delta.get("content") or "")
            if piece:
                self.chunk_s.append(now_s)
                self.text.append(piece)
            self.has_finished = self.has_finished or bool(choice.get("finish_reason"))


async def ask(
    http: httpx.AsyncClient,
    url: str,
    messages: Sequence[Mapping[str, str]],
    *,
    person: str,
    turn: int,
    max_tokens: int,
    began: float,
    extra: Mapping[str, Any],
) -> Reply:
    """Ask once and time what comes. Never raises for what a server does: that is in the reply.

    `url` ends in /v1; `began` is time.perf_counter() at the load's beginning; `extra` are fields of
    the body that this server takes.
    """
    body = {
        "model": "any",
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": person,
        **extra,
    }
    stream, status, sent = _Stream(), 0, time.perf_counter()
    try:
        async with http.stream("POST", f"{url}/chat/completions", json=body) as response:
            status = response.status_code
            if status == 200:
                async for line in response.aiter_lines():
                    stream.take(line, time.perf_counter() - sent)
            else:
                await response.aread()
                stream.problem = f"status {status}: {response.text[:200]}"
    except (httpx.HTTPError, ValueError) as problem:
        stream.problem = f"{type(problem).__name__}: {problem}"
    total_s = time.perf_counter() - sent
    return _reply(stream, status, person, turn, sent - began, total_s)


def _reply(
    stream: _Stream, status: int, person: str, turn: int, sent_s: float, total_s: float
) -> Reply:
    outcome: Outcome = "failed"
    if status in REFUSALS:
        outcome = "refused"
    elif stream.has_finished and not stream.problem:
        outcome = "finished"
    return Reply(
        person=person,
        turn=turn,
        sent_s=sent_s,
        total_s=total_s,
        outcome=outcome,
        status=status,
        problem=stream.problem or ("" if outcome == "finished" else "the answer broke off"),
        ttft_s=stream.chunk_s[0] if stream.chunk_s else None,
        chunk_s=tuple(stream.chunk_s),
        prompt_tokens=int(stream.usage.get("prompt_tokens") or 0),
        completion_tokens=int(stream.usage.get("completion_tokens") or 0),
        text="".join(stream.text),
    )


def open_client() -> httpx.AsyncClient:
    """A client that waits as long as an answer takes, for any number of people at once.

    Every question has a connection of its own: a kept one may be closed by the server at the very
    moment it is used again, which would look like a failure.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(None, connect=CONNECT_S)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
