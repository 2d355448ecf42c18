"""The pace of a stream, and that a reader who leaves closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.web.page.stream import paced

pytestmark = pytest.mark.anyio


class Source:
    """Yields numbers, then waits for ever; remembers whether it was closed."""

    def __init__(self, num_items: int, *, ends: bool = False, fails: bool = False) -> None:
        self.num_items, self.ends, self.fails = num_items, ends, fails
        self.is_closed = False

    async def run(self) -> AsyncIterator[int]:
        try:
            for number in range(self.num_items):
                yield number
            if self.fails:
                raise ValueError("broken")
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def test_everything_arrives_in_order() -> None:
    """Batches put together are the stream, and its end ends them."""
    seen = [n async for batch in paced(Source(50, ends=True).run(), gap_s=0) for n in batch]
    assert seen == list(range(50))


async def test_silence_still_pulses() -> None:
    """A silent stream yields empty batches, so that a gone browser is noticed."""
    stream = paced(Source(0).run(), gap_s=0, pulse_s=0.01)
    assert [await anext(stream) for _ in range(3)] == [[], [], []]
    await stream.aclose()


async def test_closing_closes_the_source() -> None:
    """A reader who leaves between two batches closes what is behind, before this returns."""
    source = Source(1)
    stream = paced(source.run(), gap_s=0, pulse_s=5)
    assert await anext(stream) == [0]
    await stream.aclose()
    assert source.is_closed


async def test_cancelling_closes_the_source() -> None:
    """Stop, which cancels the task that waits for the next batch, closes what is behind."""
    source = Source(0)

    async def read() -> None:
        async for _ in paced(source.run(), pulse_s=60):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert source.is_closed


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    """What arrived is delivered, then the stream's own error is raised."""
    stream = paced(Source(2, fails=True).run(), gap_s=0)
    seen = await anext(stream)
    with pytest.raises(ValueError, match="broken"):
        await anext(stream)
    assert seen == [0, 1]


async def test_a_burst_is_one_batch() -> None:
    """Many items at once are drawn once."""
    batches = [batch async for batch in paced(Source(100, ends=True).run(), gap_s=0)]
    assert len([batch for batch in batches if batch]) <= 3
