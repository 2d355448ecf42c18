"""One request on its way through the engine: its tokens, its text, and how it ended.

Knows nothing of slots' contents or of native code. Keeps one invariant: `num_computed` tokens from
the front of `tokens` have their keys and values in the slot's cache, and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kit.engine.detokenize import Detokenizer
from kit.engine.sampler import Sampling
from kit.errors import KitError

FinishReason = Literal["stop", "length", "cancelled", "error"]


class Vocabulary(Protocol):
    """What a sequence needs of a model's vocabulary."""

    def piece(self, token: int) -> bytes: ...
    def is_end(self, token: int) -> bool: ...


@dataclass(frozen=True)
class Text:
    """A piece of generated text, whole characters only."""

    text: str


@dataclass(frozen=True)
class Finish:
    """The last event of every sequence, with its token counts."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    error: KitError | None = None


@dataclass(eq=False)
class Sequence:
    """`tokens` begins as the prompt and grows; `emit` receives Text events and one Finish.

    `cache_namespace` names who may reuse this sequence's cache; None = nobody.
    """

    tokens: list[int]
    max_tokens: int
    emit: Callable[[Text | Finish], None]
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    cache_namespace: str | None = None
    slot: int | None = None
    arrival: int = 0
    num_computed: int = 0
    num_cached: int = 0
    is_cancelled: bool = False
    finish: Finish | None = None
    sampler: Any = None

    def __post_init__(self) -> None:
        self.num_prompt = len(self.tokens)
        self._text = Detokenizer(self.stop)

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether the prompt is read and only the newest token waits to be computed."""
        return self.num_generated > 0 and self.num_uncomputed == 1

    def accept(self, token: int, vocabulary: Vocabulary, n_ctx: int) -> None:
        """Take a sampled token: emit its text and end where the request says so."""
        if vocabulary.is_end(token):
            self.end("stop")
            return
        self.tokens.append(token)
        self._emit_text(self._text.feed(vocabulary.piece(token)))
        if self._text.is_stopped:
            self.end("stop")
        elif self.num_generated >= self.max_tokens or len(self.tokens) >= n_ctx:
            self.end("length")

    def end(self, reason: FinishReason, error: KitError | None = None) -> None:
        """Emit what was held back and the one Finish. A second call changes nothing."""
        if self.finish is not None:
            return
        if reason in ("stop", "length"):
            self._emit_text(self._text.flush())
        counts = (self.num_prompt, self.num_generated, self.num_cached)
        self.finish = Finish(reason, *counts, error)
        self.emit(self.finish)

    def _emit_text(self, text: str) -> None:
        if text:
            self.emit(Text(text))
