"""An embedder in a thread of its own, at a priority of its own.

Knows threads and priorities, not models. Invariant: what yields never holds up what does not: the
two share weights, and no lock.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kit.library.index.embed import Embedder

YIELDING_NICE = 19  # beside one busy thread of normal priority: 1.5 % of a core


class EmbedThread:
    """Does what `embedder` does, one call at a time, in one thread.

    A thread at normal priority is started by the first caller, so that caller must have it too.
    With `yields` it gets the time that nobody else wants. The threads that torch starts for it
    inherit that, and since its nice value is the highest, so does what it reads from the disk.
    """

    def __init__(self, embedder: Embedder, *, yields: bool = False) -> None:
        name, prepare = ("documents", yield_to_others) if yields else ("questions", None)
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(1, name, initializer=prepare)
        self.model, self.dim = embedder.model, embedder.dim

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        embed = self._embedder.embed_passages
        return self._thread.submit(embed, texts, batch_size=batch_size).result()

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._thread.submit(self._embedder.embed_queries, texts).result()

    def count_tokens(self, text: str) -> int:
        return self._embedder.count_tokens(text)

    def unknown_share(self, text: str) -> float:
        return self._embedder.unknown_share(text)


def yield_to_others() -> None:
    """This thread, and those it starts, get only what nobody of normal priority wants.

    Not SCHED_IDLE: its share is smaller still, and a question waits whenever this thread was
    interrupted while it held Python's lock.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), YIELDING_NICE)
    with contextlib.suppress(OSError):  # a container may forbid it; the nice value does the most
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
