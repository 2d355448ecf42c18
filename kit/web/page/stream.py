"""A stream of events at the pace of a page.

Knows no event. Invariant: when the reader leaves, in whatever way, the stream behind it is closed
before this one is: that is how the engine learns that nobody waits for the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def paced(
    stream: AsyncIterator[T], *, gap_s: float = 0.08, pulse_s: float = 1.0
) -> AsyncGenerator[list[T], None]:
    """The stream's items in batches, at most one per `gap_s`, and an empty one when it is silent.

    Gradio notices that a browser has gone only when the handler yields, so a handler that waits for
    the engine must yield now and then: a closed tab frees the engine within `pulse_s`.
    Raises: what the stream raises, after the items before it.
    """
    items: asyncio.Queue[T] = asyncio.Queue()
    pump = asyncio.create_task(_pump(stream, items))
    try:
        while not (pump.done() and items.empty()):
            batch = await _batch(items, pump, pulse_s)
            yield batch
            if batch:
                await asyncio.sleep(gap_s)
        await pump
    finally:
        pump.cancel()
        await asyncio.wait([pump])


async def _pump(stream: AsyncIterator[T], items: asyncio.Queue[T]) -> None:
    try:
        async for item in stream:
            items.put_nowait(item)
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


async def _batch(items: asyncio.Queue[T], pump: asyncio.Task[None], pulse_s: float) -> list[T]:
    """What is there, waiting for the first item at most `pulse_s` or until the stream ends."""
    if items.empty():
        getter = asyncio.create_task(items.get())
        try:
            await asyncio.wait([getter, pump], timeout=pulse_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not getter.done():
                getter.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await getter
        batch = [] if getter.cancelled() else [getter.result()]
    else:
        batch = []
    while not items.empty():
        batch.append(items.get_nowait())
    return batch
