"""Fakes for fast tests at our own seams, shipped so that users can test their own code too.

They are exact and readable by eye: FakeEmbedder places texts by the words they share, FakeEngine
answers from a script. Neither loads a model or opens a socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from kit.engine.client import ChatDelta, ChatMessage, Reuse
from kit.errors import EngineUnavailable


class FakeEmbedder:
    """Texts as bags of words: unit vectors whose dot product grows with the words they share."""

    model = "fake-words-64"
    dim = 64

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """float32, shape (len(texts), 64), rows of L2 norm 1."""
        del batch_size
        rows = np.stack([self._row(text) for text in texts]) if texts else np.zeros((0, self.dim))
        return rows.astype(np.float32)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed_passages(texts)

    def _row(self, text: str) -> np.ndarray:
        row = np.full(self.dim, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % self.dim] += 1.0
        return np.asarray(row / np.linalg.norm(row))

    def unknown_share(self, text: str) -> float:
        del text
        return 0.0

    def count_tokens(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", text))


class FakeEngine:
    """Streams what `script` says for the messages it gets, a word at a time.

    `delay_s` is slept before each word; `fails` makes every call raise EngineUnavailable.
    `seen` records the messages of every call, `reused` who might share what is computed for it;
    `num_cancelled` counts streams closed early.
    """

    def __init__(
        self,
        script: str | Callable[[Sequence[ChatMessage]], str] = "I do not know.",
        *,
        delay_s: float = 0.0,
        fails: bool = False,
    ) -> None:
        self._script = script
        self._delay_s = delay_s
        self.fails = fails
        self.seen: list[list[ChatMessage]] = []
        self.reused: list[Reuse | None] = []
        self.num_cancelled = 0

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
        del temperature, seed, stop
        self.seen.append(list(messages))
        self.reused.append(reuse)
        if self.fails:
            raise EngineUnavailable("the engine is restarting", hint="ask again in a moment")
        text = self._script if isinstance(self._script, str) else self._script(messages)
        words = re.findall(r"\S+\s*", text)[:max_tokens]
        try:
            for word in words:
                await asyncio.sleep(self._delay_s)
                yield ChatDelta(text=word)
            yield ChatDelta(finish_reason="stop")
        except (GeneratorExit, asyncio.CancelledError):
            self.num_cancelled += 1
            raise

    async def count_tokens(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", text))

    async def context_tokens(self) -> int:
        """Context of one conversation in tokens."""
        return 4096
