"""One request on its way through the engine: its tokens, its text, and how it ended.

Knows nothing of slots' contents or of native code. Keeps one invariant: `num_computed` tokens from
the front of `tokens` have their keys and values in the slot's cache, and no others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kit.engine.detokenize import Detokenizer
from kit.engine.logprobs import Sampled, TokenLogprob, num_starts
from kit.engine.sampler import Sampling
from kit.errors import KitError

FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "error"]


class Vocabulary(Protocol):
    """What a sequence needs of a model's vocabulary."""

    def piece(self, token: int) -> bytes: ...
    def label(self, token: int) -> bytes: ...
    def is_end(self, token: int) -> bool: ...


@dataclass(frozen=True)
class Text:
    """A piece of generated text, whole characters only, and the tokens it completes if asked."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Queued:
    """The sequence waits: how many come before it, and about how long that takes."""

    ahead: int
    wait_s: float


@dataclass(frozen=True)
class Finish:
    """The last event of every sequence, with its token counts."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    error: KitError | None = None


@dataclass(frozen=True)
class Sharing:
    """Who may reuse the keys and values of a sequence.

    Whoever passes the same `namespace` may reuse all of them, whoever passes the same
    `shared_namespace` the first `num_shared`; None = nobody.
    """

    namespace: str | None = None
    shared_namespace: str | None = None
    num_shared: int = 0

    @property
    def is_private(self) -> bool:
        """Whether nobody may ever reuse anything."""
        return self.namespace is None and (self.shared_namespace is None or not self.num_shared)

    def names(self, namespace: str) -> bool:
        """Whether anybody may reuse anything by that name."""
        return namespace in (self.namespace, self.shared_namespace)

    def limit(self, other: Sharing) -> int:
        """Tokens that two sequences may have in common at most."""
        if self.namespace is not None and self.namespace == other.namespace:
            return sys.maxsize
        if self.shared_namespace is not None and self.shared_namespace == other.shared_namespace:
            return min(self.num_shared, other.num_shared)
        return 0


@dataclass(eq=False)
class Sequence:
    """`tokens` begins as the prompt and grows; `emit` receives Queued and Text events, one Finish.

    `person` is who asks, for fairness; `deadline`, of time.monotonic() as `arrived_s` and
    `last_token_s` are, says until when the answer is waited for; `is_pinned` asks to keep the
    shared part of the prompt on disk.
    """

    tokens: list[int]
    max_tokens: int
    emit: Callable[[Queued | Text | Finish], None]
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    sharing: Sharing = field(default_factory=Sharing)
    person: str = ""
    deadline: float | None = None
    is_pinned: bool = False
    slot: int | None = None
    arrival: int = 0
    num_computed: int = 0
    num_cached: int = 0
    num_ahead: int | None = None
    arrived_s: float = 0.0
    last_token_s: float | None = None
    is_cancelled: bool = False
    finish: Finish | None = None
    sampler: Any = None

    def __post_init__(self) -> None:
        self.num_prompt = len(self.tokens)
        self._text = Detokenizer(self.stop)
        self._logprobs: list[TokenLogprob] = []  # of tokens whose text is not emitted yet
        self._num_chars = self._num_emitted = 0

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def num_to_read(self) -> int:
        """Prompt tokens that are not computed yet; 0 once the answer has begun."""
        return 0 if self.is_decoding else self.num_uncomputed

    @property
    def next_stop(self) -> int:
        """Where reading the prompt pauses: behind its shared part, if that is to be pinned."""
        end = self.sharing.num_shared
        return end if self.is_pinned and self.num_computed < end else len(self.tokens)

    @property
    def row_slot(self) -> int:
        """The slot of a sequence that has one."""
        if self.slot is None:
            raise RuntimeError("a sequence without a slot was scheduled")
        return self.slot

    @property
    def is_decoding(self) -> bool:
        """Whether the prompt is read and only the newest token waits to be computed."""
        return self.num_generated > 0 and self.num_uncomputed == 1

    def accept(self, sampled: int | Sampled, vocabulary: Vocabulary, n_ctx: int) -> None:
        """Take a sampled token: emit its text and end where the request says so."""
        token = sampled if isinstance(sampled, int) else self._weigh(sampled, vocabulary)
        if self.finish is not None:
            return
        if vocabulary.is_end(token):
            self.end("stop")
            return
        self.tokens.append(token)
        self._emit_text(self._text.feed(vocabulary.piece(token)))
        if self._text.is_stopped:
            self.end("stop")
        elif self.num_generated >= self.max_tokens or len(self.tokens) >= n_ctx:
            self.end("length")

    def tell_ahead(self, ahead: int, wait_s: float) -> None:
        self.num_ahead = ahead
        self.emit(Queued(ahead, wait_s))

    def _weigh(self, sampled: Sampled, vocabulary: Vocabulary) -> int:
        """Keep a token's probabilities until its text is emitted; end if there is no token."""
        if sampled.error is not None:
            self.end("error", sampled.error)
        elif not vocabulary.is_end(sampled.token):
            piece = vocabulary.piece(sampled.token)
            top = tuple((vocabulary.label(token), logprob) for token, logprob in sampled.top)
            self._logprobs.append(TokenLogprob(piece, self._num_chars, sampled.logprob, top))
            self._num_chars += num_starts(piece)
        return sampled.token

    def end(self, reason: FinishReason, error: KitError | None = None) -> None:
        """Emit what was held back and the one Finish. A second call changes nothing."""
        if self.finish is not None:
            return
        if reason in ("stop", "length"):
            self._emit_text(self._text.flush(), is_last=not self._text.is_stopped)
        counts = (self.num_prompt, self.num_generated, self.num_cached)
        self.finish = Finish(reason, *counts, error)
        self.emit(self.finish)

    def _emit_text(self, text: str, *, is_last: bool = False) -> None:
        """Emit text with the probabilities of the tokens that begin in it, or all that are left."""
        self._num_emitted += len(text)
        shown = [token for token in self._logprobs if is_last or token.start < self._num_emitted]
        if text or (is_last and shown):
            self._logprobs = self._logprobs[len(shown) :]
            self.emit(Text(text, tuple(shown)))
