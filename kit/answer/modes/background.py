"""Long work on the engine, without holding up those who chat.

Knows turns, not what is asked. Invariant: of all long work of one process at most one step is with
the engine at a time, so every other sequence of it is left to people who wait for an answer; and a
step counts for its own line of the engine's queue, never ahead of the same person's question.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from kit.engine.client import ChatDelta, ChatMessage, Engine, Reuse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LINE = "{person} (long work)"  # a name of its own in the engine's queue, and in its caches


class BackgroundEngine:
    """An Engine whose answers come one at a time, whoever asks; who waited longest is next."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    async def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        reuse: Reuse | None = None,
    ) -> AsyncIterator[ChatDelta]:
        """As the engine does. Raises: what the engine raises."""
        own = None if reuse is None else replace(reuse, person=LINE.format(person=reuse.person))
        async with self._turn:
            stream = self._engine.stream_chat(
                messages,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                stop=stop,
                reuse=own,
            )
            async with aclosing(cast("AsyncGenerator[ChatDelta, None]", stream)) as deltas:
                async for delta in deltas:
                    yield delta

    async def count_tokens(self, text: str) -> int:
        return await self._engine.count_tokens(text)

    async def context_tokens(self) -> int:
        return await self._engine.context_tokens()
