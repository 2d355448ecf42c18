"""Texts as vectors, by a model whose file says how its tokens are pooled.

Knows the C API and batches, no requests. Keeps two invariants: a text's vector does not depend on
what else is in its batch, and every vector has length 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kit.engine.gguf import GgufFile
from kit.errors import EngineError, ModelError

MAX_TEXTS_PER_BATCH = 16
MIN_BATCH_TOKENS = 512
_POOLED = {1: "mean", 2: "first", 3: "last"}  # llama.h, enum llama_pooling_type; 4 ranks
_ENCODERS = ("bert", "gemma-embedding", "t5encoder")


def is_embedding_model(gguf: GgufFile) -> bool:
    """Whether the file is one for vectors, not for text: it says how to pool, or only encodes."""
    is_encoder = any(name in gguf.architecture for name in _ENCODERS)
    return gguf.number("pooling_type", 0) > 0 or is_encoder


def require_pooling(gguf: GgufFile) -> str:
    """How the file wants its tokens pooled. Raises: ModelError if not to one vector per text."""
    number = gguf.number("pooling_type", 0)
    if number not in _POOLED:
        what = "ranks passages" if number == 4 else "does not say how to make one vector of a text"
        raise ModelError(
            f"{gguf.path.name} {what}; an embedding model expected",
            hint="see: kit model list --all",
        )
    return _POOLED[number]


class Embedder:
    """A context for vectors. One thread at a time."""

    def __init__(self, model: Any, *, n_ctx: int, n_threads: int) -> None:
        """`n_ctx`: tokens of the longest text. Raises: EngineError if there is no memory for it."""
        self._lib = lib = model.lib
        self.dim = int(lib.llama_model_n_embd(model.handle))
        self.max_tokens = max(n_ctx, MIN_BATCH_TOKENS)
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.max_tokens
        params.n_seq_max = MAX_TEXTS_PER_BATCH
        params.n_threads = params.n_threads_batch = n_threads
        params.embeddings, params.kv_unified, params.no_perf = True, True, True
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError(f"no memory for a context of {n_ctx} tokens")
        self._memory = lib.llama_get_memory(self.handle)
        self._batch = lib.llama_batch_init(self.max_tokens, 0, 1)

    def batches(self, texts: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
        """The vectors of tokenized texts in order, batch after batch.

        Yields: float32, shape (num_texts, dim), rows of L2 norm 1. Texts are not empty.
        Raises: EngineError if llama.cpp cannot compute a batch.
        """
        for batch in split_batches(texts, self.max_tokens):
            vectors = self._compute(batch)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (num_texts, 1)
            if not np.isfinite(vectors).all() or not lengths.all():
                raise EngineError("the model's vectors are not finite numbers")
            yield vectors / lengths

    def _compute(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        batch, at = self._batch, 0
        for number, tokens in enumerate(texts):
            for position, token in enumerate(tokens):
                batch.token[at], batch.pos[at] = token, position
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, number
                batch.logits[at] = True
                at += 1
        batch.n_tokens = at
        if self._memory:
            self._lib.llama_memory_clear(self._memory, True)
        compute = self._lib.llama_decode if self._memory else self._lib.llama_encode
        if (status := compute(self.handle, batch)) != 0:
            raise EngineError(f"llama.cpp could not compute a batch of texts ({status})")
        return np.stack([self._pooled(number) for number in range(len(texts))])

    def _pooled(self, number: int) -> np.ndarray:
        pointer = self._lib.llama_get_embeddings_seq(self.handle, number)
        if not pointer:
            raise EngineError("llama.cpp pooled no vector")
        return np.ctypeslib.as_array(pointer, shape=(self.dim,)).copy()


def split_batches(
    texts: Sequence[Sequence[int]], max_tokens: int
) -> Iterator[Sequence[Sequence[int]]]:
    """The texts in order, as many at a time as a batch holds. None is longer than `max_tokens`."""
    start, size = 0, 0
    for at, tokens in enumerate(texts):
        if size + len(tokens) > max_tokens or at - start == MAX_TEXTS_PER_BATCH:
            yield texts[start:at]
            start, size = at, 0
        size += len(tokens)
    if start < len(texts):
        yield texts[start:]
