"""The client against servers of every manner: refusals, silence and nonsense become kit errors."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from kit.engine.client import ChatDelta, ChatMessage, EngineClient, Reuse
from kit.errors import ContextOverflow, EngineError, EngineUnavailable

T = TypeVar("T")
HELLO = [ChatMessage("user", "hello")]
MODELS = {"data": [{"id": "m", "meta": {"n_ctx": 512}}]}


class Server:
    """Answers each path with fixed bytes and records the bodies it got."""

    def __init__(self, replies: dict[str, bytes]) -> None:
        self.replies = replies
        self.bodies: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        pairs = [line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.bodies.append((path, headers, body))
        writer.write(self.replies.get(path, reply(404, {})))
        await writer.drain()
        writer.close()


def reply(status: int, body: Any) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw


def events(*chunks: Any, is_whole: bool = True) -> bytes:
    """A stream of server-sent events; without its end if it is not whole."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    text = "".join([": a comment\n\n", *lines, "data: [DONE]\n\n" if is_whole else ""])
    return b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n" + text.encode()


def delta(reason: str | None = None, **fields: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def against(
    replies: dict[str, bytes], use: Callable[[EngineClient], Awaitable[T]], **options: str
) -> tuple[T, Server]:
    """Run `use` with a client of a server that gives these replies."""

    async def run() -> tuple[T, Server]:
        server = Server({"/v1/models": reply(200, MODELS), **replies})
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = EngineClient(f"http://127.0.0.1:{port}/v1", **options)
        try:
            return await use(client), server
        finally:
            await client.close()
            listening.close()
            await listening.wait_closed()

    return asyncio.run(run())


async def chat(client: EngineClient) -> list[ChatDelta]:
    stream = client.stream_chat(HELLO, max_tokens=5, seed=1, stop=["\n"])
    return [piece async for piece in stream]


def test_answer_and_reasoning_are_read() -> None:
    """Text, reasoning under either name and the finish reason arrive; so does the request."""
    stream = events(
        delta(role="assistant"),
        delta(reasoning_content="hm"),
        delta(reasoning="hm2"),
        delta(content="hi"),
        delta(reason="stop"),
        {"choices": [], "usage": {"total_tokens": 3}},
    )
    got, server = against({"/v1/chat/completions": stream}, chat, api_key="secret")
    assert got == [
        ChatDelta(reasoning="hm"),
        ChatDelta(reasoning="hm2"),
        ChatDelta(text="hi"),
        ChatDelta(finish_reason="stop"),
    ]
    path, headers, body = server.bodies[-1]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "stream": True,
        "seed": 1,
        "stop": ["\n"],
    }


REFUSALS: list[tuple[bytes, type[EngineError], str]] = [
    (
        reply(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
        *(ContextOverflow, "too long"),
    ),
    (
        reply(400, {"message": "This model's maximum context length is 4096 tokens"}),
        *(ContextOverflow, "maximum context length"),
    ),
    (reply(400, {"error": {"message": "bad temperature"}}), EngineError, "bad temperature"),
    (reply(401, {"error": "no key"}), EngineError, "no key"),
    (reply(429, {}), EngineUnavailable, "too many questions"),
    (reply(503, {"error": {"message": "the model is loading"}}), EngineUnavailable, "loading"),
    (reply(500, b"<html>"), EngineError, "status 500"),
    (events({"error": {"message": "ran out"}}), EngineError, "ran out"),
    (events(delta(content="h"), is_whole=False), EngineUnavailable, "in the middle"),
    (reply(200, b"data: {broken\n\n"), EngineError, "does not speak the OpenAI protocol"),
    (reply(200, b"data: []\n\n"), EngineError, "does not speak the OpenAI protocol"),
    (b"", EngineUnavailable, "cannot be reached"),
    (b"nonsense\r\n\r\n", EngineUnavailable, "cannot be reached"),
]


@pytest.mark.parametrize(("raw", "kind", "said"), REFUSALS, ids=lambda value: str(value)[:50])
def test_each_failure_has_its_error(raw: bytes, kind: type[EngineError], said: str) -> None:
    """Whatever a server does, the caller gets one of three errors, in words."""
    with pytest.raises(EngineError, match=said) as failed:
        against({"/v1/chat/completions": raw}, chat)
    assert type(failed.value) is kind


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Connection refused is EngineUnavailable with a next step, and unhealthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def use() -> None:
        client = EngineClient(f"http://127.0.0.1:{port}/v1", model="given")
        assert not await client.healthy()
        with pytest.raises(EngineUnavailable) as failed:
            await client.count_tokens("a")
        assert failed.value.hint
        with pytest.raises(EngineUnavailable):
            await chat(client)
        await client.close()

    asyncio.run(use())


def test_a_server_that_cannot_count_gets_an_estimate() -> None:
    """Without /tokenize, tokens are estimated on the safe side; without n_ctx, 4096 is assumed."""

    async def use(client: EngineClient) -> tuple[int, int, int]:
        counts = await client.count_tokens("x" * 10), await client.count_tokens("x" * 9)
        return (*counts, await client.context_tokens())

    replies = {"/v1/models": reply(200, {"data": [{"id": "far"}]})}
    got, server = against(replies, use)
    assert got == (4, 3, 4096)
    assert [path for path, _, _ in server.bodies].count("/tokenize") == 1


def test_the_context_of_other_servers_is_understood() -> None:
    """vLLM calls it max_model_len; a configured model is looked up by its name."""
    models = {"data": [{"id": "a", "max_model_len": 1}, {"id": "b", "max_model_len": 8192}]}

    async def use(client: EngineClient) -> int:
        return await client.context_tokens()

    assert against({"/v1/models": reply(200, models)}, use, model="b")[0] == 8192


def test_health_of_servers_without_a_health_page() -> None:
    """A server without /health is healthy if it lists its models."""

    async def use(client: EngineClient) -> bool:
        return await client.healthy()

    assert against({}, use)[0]
    assert not against({"/health": reply(503, {})}, use)[0]


REUSE = Reuse("ana", "everyone", shared_message=1, shared_chars=42)


@pytest.mark.parametrize("is_ours", [True, False])
def test_only_our_own_engine_hears_who_asks(is_ours: bool) -> None:
    """The person and who may share the prefix go to the kit's engine, to no other server."""
    owner = {"owned_by": "kit"} if is_ours else {}
    models = {"data": [{"id": "m", **owner, "meta": {"n_ctx": 512}}]}

    async def chat(client: EngineClient) -> list[ChatDelta]:
        return [d async for d in client.stream_chat(HELLO, max_tokens=5, reuse=REUSE)]

    answer = events(delta(content="hi"), delta(reason="stop"))
    replies = {"/v1/models": reply(200, models), "/v1/chat/completions": answer}
    _, server = against(replies, chat)
    body = json.loads(server.bodies[-1][2])
    own = {
        name: body[name] for name in ("user", "cache_namespace", "shared_prefix") if name in body
    }
    shared = {"namespace": "everyone", "message": 1, "chars": 42}
    expected = {"user": "ana", "cache_namespace": "person ana", "shared_prefix": shared}
    assert own == (expected if is_ours else {})


def test_a_pinned_beginning_is_said_to_be() -> None:
    """The flag is sent where it is set, and only there."""
    fields = replace(REUSE, is_pinned=True).fields()
    assert fields["shared_prefix"]["pin"] is True
    assert "pin" not in REUSE.fields()["shared_prefix"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_is_pinned_is_listed_and_forgotten(is_ours: bool) -> None:
    """Our engine lists its namespaces and forgets by name; no other server is asked."""
    owner = {"owned_by": "kit"} if is_ours else {}

    async def use(client: EngineClient) -> list[str]:
        names = await client.pinned()
        for name in names:
            await client.forget(name)
        return names

    replies = {
        "/v1/models": reply(200, {"data": [{"id": "m", **owner}]}),
        "/v1/cache/pinned": reply(200, {"namespaces": ["a b"]}),
        "/v1/cache/forget": reply(200, {"forgotten": True}),
    }
    names, server = against(replies, use)
    paths = [path for path, _, _ in server.bodies]
    if is_ours:
        assert names == ["a b"]
        assert json.loads(server.bodies[-1][2]) == {"namespace": "a b"}
        assert paths[1:] == ["/v1/cache/pinned", "/v1/cache/forget"]
    else:
        assert names == []
        assert paths == ["/v1/models"]


@pytest.mark.parametrize("path", ["/v1/cache/pinned", "/v1/cache/forget"])
def test_what_cannot_be_forgotten_now_is_an_error(path: str) -> None:
    """A refusal is raised, so that it is tried again."""

    async def use(client: EngineClient) -> None:
        for name in await client.pinned():
            await client.forget(name)

    replies = {
        "/v1/models": reply(200, {"data": [{"id": "m", "owned_by": "kit"}]}),
        "/v1/cache/pinned": reply(200, {"namespaces": ["a"]}),
        "/v1/cache/forget": reply(200, {}),
        path: reply(503, {"error": {"message": "the model is loading"}}),
    }
    with pytest.raises(EngineUnavailable, match="loading"):
        against(replies, use)


def test_a_server_that_is_loading_is_asked_again_what_it_is() -> None:
    """What it says of itself then is not taken for all there is to know."""

    async def use(client: EngineClient) -> int:
        with pytest.raises(EngineUnavailable):
            await client.context_tokens()
        server.replies["/v1/models"] = reply(200, MODELS)
        return await client.context_tokens()

    server = Server({"/v1/models": reply(503, {})})

    async def run() -> int:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = EngineClient(f"http://127.0.0.1:{port}/v1", model="m")
        async with listening:
            found = await use(client)
            await client.close()
        return found

    assert asyncio.run(run()) == 512


def test_the_place_in_the_queue_is_read() -> None:
    """Comments of a waiting stream tell how many come before and how long that takes."""
    queued = b': queued {"ahead": 2, "wait_s": 7.5}\n\n'
    stream = events(delta(content="hi"), delta(reason="stop"))
    head, rest = stream.split(b": a comment\n\n")
    got, _ = against({"/v1/chat/completions": head + queued + rest}, chat)
    assert got[0] == ChatDelta(ahead=2, wait_s=7.5)
    assert got[1].text == "hi"
