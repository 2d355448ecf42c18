"""Texts to unit vectors. LocalEmbedder owns sentence-transformers; WorkerEmbedder asks the worker.

Knows nothing of documents. Invariant: rows are in the order of the texts and have L2 norm 1, so
dot product = cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Embedder(Protocol):
    """What makes vectors. `model` names it in the store; vectors of two models never mix."""

    model: str
    dim: int

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """float32, shape (len(texts), dim), rows of L2 norm 1, in order. Raises EmbedError."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As embed_passages, with the model's query prefix."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model, without truncation."""
        ...
