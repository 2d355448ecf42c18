"""How likely the sampled tokens were, and what else was likely.

Knows numbers and OpenAI's two shapes for them, no model. The probabilities are the model's own: the
softmax of the raw logits, before temperature, penalties, biases and grammars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.errors import KitError


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sampled token with its log-probability and the likeliest tokens, best first.

    `error` is set instead where no token could be sampled; the sequence then ends with it.
    """

    token: int = -1
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    error: KitError | None = None

    def __int__(self) -> int:
        return self.token


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer: its bytes, where its text starts in characters, its log-probability."""

    piece: bytes
    start: int
    logprob: float
    top: tuple[tuple[bytes, float], ...]


def weigh(logits: np.ndarray, token: int, num_top: int) -> Sampled:
    """The token with its log-probability and the `num_top` likeliest; `logits`: (n_vocab,)."""
    highest = float(logits.max())
    total = highest + float(np.log(np.exp(logits - highest, dtype=np.float64).sum()))
    num_top = min(num_top, len(logits))
    best = np.argpartition(logits, -num_top)[len(logits) - num_top :]
    best = best[np.lexsort((best, -logits[best]))]
    top = tuple((int(at), float(logits[at]) - total) for at in best)
    return Sampled(token, float(logits[token]) - total, top)


def num_starts(piece: bytes) -> int:
    """Characters that begin in `piece`: its bytes that do not continue a UTF-8 character."""
    return sum(byte & 0xC0 != 0x80 for byte in piece)


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """The `logprobs` of a chat choice."""
    content = []
    for token in tokens:
        top = [_entry(piece, logprob) for piece, logprob in token.top]
        content.append(_entry(token.piece, token.logprob) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """The `logprobs` of a completion choice: parallel lists, the sampled token among the top."""
    tops = [{_text(p): logprob for p, logprob in token.top} for token in tokens]
    for top, token in zip(tops, tokens, strict=True):
        top.setdefault(_text(token.piece), token.logprob)
    return {
        "tokens": [_text(token.piece) for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": tops if any(token.top for token in tokens) else None,
        "text_offset": [token.start for token in tokens],
    }


def _entry(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _text(piece), "logprob": logprob, "bytes": list(piece)}


def _text(piece: bytes) -> str:
    """For reading; the bytes say more where a token is part of a character."""
    return piece.decode("utf-8", "replace")
