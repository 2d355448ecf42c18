"""A loaded embedding model that answers: texts made tokens, batches computed in turn.

Knows requests and the embedder, no HTTP. Keeps one invariant: a text that is longer than the model
reads is refused with numbers, never cut.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.engine.cpu.machine import usable_cores
from kit.engine.cpu.variants import choose_variant
from kit.engine.embedding.embedder import Embedder, require_pooling
from kit.engine.fairness import MAX_WAITING, QueueFull
from kit.engine.gguf import read_gguf
from kit.engine.gpu import size_of
from kit.engine.http.embed_protocol import EmbedRequest
from kit.engine.http.fields import RequestRefused
from kit.engine.metrics import Counters, Sample, counter_samples
from kit.engine.native import Model, load_library, require_memory
from kit.engine.service import ServiceOptions
from kit.errors import ContextOverflow, EngineUnavailable


@dataclass(frozen=True)
class Embeddings:
    """`vectors`: float32, shape (num_inputs, dim), rows of L2 norm 1."""

    vectors: np.ndarray
    num_tokens: int


class EmbedRunner:
    """Requests in turn, batch by batch, and counts of them, as the runner of a chat model keeps."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._turn, self._account = threading.Lock(), threading.Lock()
        self._is_stopping = False
        self._num_open = 0
        self.counters = Counters()

    @property
    def num_running(self) -> int:
        return min(1, self._num_open)

    @property
    def num_waiting(self) -> int:
        return max(0, self._num_open - 1)

    def wait_s(self) -> float:
        """About how long whoever came now would wait: as long as those before took, each."""
        done = max(1, self.counters.finished)
        return self._num_open * self.counters.busy_s / done

    def samples(self) -> list[Sample]:
        """The numbers for /metrics."""
        return [
            Sample("kit_engine_requests_running", "requests being computed", self.num_running),
            Sample("kit_engine_requests_waiting", "requests in the queue", self.num_waiting),
            *counter_samples(self.counters),
        ]

    def run(self, texts: Sequence[Sequence[int]], is_cancelled: Callable[[], bool]) -> np.ndarray:
        """The texts' vectors. Raises: QueueFull; EngineUnavailable when stopped or cancelled."""
        with self._account:
            if self._num_open > MAX_WAITING:
                raise QueueFull
            self._num_open += 1
            self.counters.requests += 1
        try:
            vectors = self._compute(texts, is_cancelled)
        except EngineUnavailable:
            self.counters.cancelled += 1
            raise
        except Exception:
            self.counters.failed += 1
            raise
        else:
            self.counters.finished += 1
            return vectors
        finally:
            with self._account:
                self._num_open -= 1

    def _compute(
        self, texts: Sequence[Sequence[int]], is_cancelled: Callable[[], bool]
    ) -> np.ndarray:
        found: list[np.ndarray] = []
        batches = self._embedder.batches(texts)
        while sum(map(len, found)) < len(texts):
            with self._turn:
                if self._is_stopping or is_cancelled():
                    raise EngineUnavailable("the engine was stopped", hint="ask again in a moment")
                started = time.monotonic()
                found.append(next(batches))
                self.counters.busy_s += time.monotonic() - started
                self.counters.steps += 1
        self.counters.prompt_tokens += sum(map(len, texts))
        return np.concatenate(found)

    def end_soon(self) -> None:
        """Take no more requests and end those there are, after the batch in progress."""
        self._is_stopping = True

    def stop(self) -> None:
        """Wait for the batch in progress, so that native code is at rest."""
        self.end_soon()
        with self._turn:
            pass


class EmbedService:
    """One embedding model, loaded."""

    def __init__(self, options: ServiceOptions) -> None:
        """Raises: ModelError, MachineError or EngineError with the reason it cannot be loaded."""
        self.options = options
        gguf = read_gguf(options.model)
        self._pooling = require_pooling(gguf)
        self.n_ctx = min(options.ctx or 1 << 30, gguf.number("context_length", 512))
        require_memory(options.model.name, size_of(gguf, self.n_ctx, 1))
        self.variant = choose_variant(options.home).variant
        self.n_threads = options.threads or usable_cores()
        library = load_library(self.variant.path, debug=options.debug)
        self.model = Model(library, options.model)
        self._embedder = Embedder(self.model, n_ctx=self.n_ctx, n_threads=self.n_threads)
        self._max_piece_bytes = self.model.max_piece_bytes
        self.runner = EmbedRunner(self._embedder)

    def describe(self) -> dict[str, Any]:
        """The model's facts, as /v1/models shows them under "meta"."""
        return {
            "n_ctx": self.n_ctx,
            "n_ctx_train": self.model.n_ctx_train,
            "n_vocab": self.model.n_vocab,
            "n_embd": self._embedder.dim,
            "n_params": self.model.num_params,
            "size": self.model.size_bytes,
            "type": self.model.gguf.type_name,
            "architecture": self.model.gguf.architecture,
            "pooling": self._pooling,
            "parallel": 1,
            "threads": self.n_threads,
            "cpu_variant": self.variant.name,
        }

    def tokenize(self, text: str) -> list[int]:
        return self.model.tokenize(text, parse_special=False)

    def embed(
        self, request: EmbedRequest, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Embeddings:
        """The inputs' vectors, in order. Takes a while: call it in a thread.

        Raises: RequestRefused or ContextOverflow naming the input; QueueFull; EngineError.
        """
        if request.dimensions not in (None, self._embedder.dim):
            raise RequestRefused(
                f"dimensions: {self._embedder.dim} expected, {request.dimensions} observed",
                param="dimensions",
            )
        texts = [self._tokens(f"input[{n}]", item) for n, item in enumerate(request.inputs)]
        vectors = self.runner.run(texts, is_cancelled)
        return Embeddings(vectors, sum(map(len, texts)))

    def _tokens(self, name: str, item: str | tuple[int, ...]) -> list[int]:
        """An input's tokens, with those the model wants around a text."""
        if isinstance(item, str):
            least = len(item.encode()) // self._max_piece_bytes
            tokens = [] if least > self.n_ctx else self._around(item)
            size = len(tokens) or least
        else:
            tokens, size = list(item), len(item)
            if not all(0 <= token < self.model.n_vocab for token in tokens):
                said = f"{name}: tokens from 0 to {self.model.n_vocab - 1} expected"
                raise RequestRefused(said, param=name)
        if size > self.n_ctx:
            raise ContextOverflow(
                f"{name} has {size} or more tokens, the model reads {self.n_ctx}",
                hint="send it in parts",
            )
        return tokens

    def _around(self, text: str) -> list[int]:
        return self.model.tokenize(text, parse_special=False, add_special=True)

    def close(self) -> None:
        self.runner.stop()
