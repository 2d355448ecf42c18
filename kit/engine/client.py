"""The engine seen from the other processes: the OpenAI protocol over HTTP.

Knows no llama.cpp: any compatible server will do (`[engine] url`). Closing a stream early closes
the connection, which is how the engine learns that nobody waits for the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatDelta:
    """A piece of a streamed answer. `finish_reason` is set in the last one."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None


class Engine(Protocol):
    """What the answer room needs of a language model."""

    def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> AsyncIterator[ChatDelta]:
        """Stream an answer. Raises EngineUnavailable, ContextOverflow or EngineError."""
        ...

    async def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model; an estimate where the server cannot count."""
        ...

    async def context_tokens(self) -> int:
        """Context of one conversation in tokens."""
        ...
