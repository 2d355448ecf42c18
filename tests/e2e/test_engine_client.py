"""The kit's own client against the real engine: what the answer room relies on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kit.engine.client import ChatDelta, ChatMessage, EngineClient
from kit.errors import ContextOverflow, EngineUnavailable
from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.e2e

T = TypeVar("T")
STORY = [ChatMessage("user", "Write a long story about a lighthouse.")]


@pytest.fixture(scope="module")
def engine(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("engine")
    running = EngineProcess(chat_model, folder, "--parallel", "2", "--ctx", "1024")
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


def with_client(url: str, use: Callable[[EngineClient], Awaitable[T]]) -> T:
    """Run `use` with a client that is closed afterwards."""

    async def run() -> T:
        client = EngineClient(f"{url}/v1")
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def test_an_answer_streams_through_the_client(engine: EngineProcess) -> None:
    """Pieces arrive one by one; the last one says why the answer ended."""

    async def use(client: EngineClient) -> list[ChatDelta]:
        return [delta async for delta in client.stream_chat(STORY, max_tokens=12)]

    deltas = with_client(engine.root, use)
    assert len(deltas) > 5
    assert [delta.finish_reason for delta in deltas][-1] == "length"
    assert "".join(delta.text for delta in deltas).strip()


def test_tokens_and_context_are_the_models_own(engine: EngineProcess) -> None:
    """count_tokens counts with the model's tokenizer, context_tokens is one conversation's."""

    async def use(client: EngineClient) -> tuple[int, int, bool]:
        counted = await client.count_tokens("hello world")
        return counted, await client.context_tokens(), await client.healthy()

    assert with_client(engine.root, use) == (2, 1024, True)


def test_too_long_a_prompt_is_a_context_overflow(engine: EngineProcess) -> None:
    """The engine's refusal arrives as the kit's own error, with the numbers."""

    async def use(client: EngineClient) -> None:
        async for _ in client.stream_chat([ChatMessage("user", "word " * 2000)], max_tokens=5):
            raise AssertionError("an answer to a prompt that cannot fit")

    with pytest.raises(ContextOverflow, match="the context holds 1024"):
        with_client(engine.root, use)


def test_a_consumer_that_stops_frees_the_engine(engine: EngineProcess) -> None:
    """Leaving the loop early, or being cancelled, closes the connection and frees the slot."""

    async def leave(client: EngineClient) -> None:
        async with contextlib.aclosing(client.stream_chat(STORY, max_tokens=900)) as stream:
            async for _ in stream:
                break
        await asyncio.to_thread(engine.wait_for_metric, "requests_running", 0, 2)

    async def be_cancelled(client: EngineClient) -> None:
        async def read() -> None:
            async for _ in client.stream_chat(STORY, max_tokens=900):
                pass

        task = asyncio.create_task(read())
        await asyncio.to_thread(engine.wait_for_metric, "requests_running", 1, 5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(engine.wait_for_metric, "requests_running", 0, 2)

    with_client(engine.root, leave)
    with_client(engine.root, be_cancelled)


def test_a_killed_engine_is_unavailable_in_plain_words(chat_model: Path, tmp_path: Path) -> None:
    """Killed in the middle of an answer, and gone afterwards: EngineUnavailable both times."""
    running = EngineProcess(chat_model, tmp_path, "--parallel", "1", "--ctx", "1024")
    running.wait_until_ready()

    async def read(client: EngineClient) -> None:
        async for _ in client.stream_chat(STORY, max_tokens=900):
            running.process.kill()

    async def use(client: EngineClient) -> None:
        with pytest.raises(EngineUnavailable, match=r"stopped|cannot be reached"):
            await read(client)
        with pytest.raises(EngineUnavailable, match=r"cannot be reached"):
            await client.count_tokens("a")
        assert not await client.healthy()

    with_client(running.root, use)
    running.process.wait(10)
    running.http.close()
