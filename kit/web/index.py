"""The dense index of this process: opened and kept up to date in the background.

Knows threads and timing, nothing of Chroma or of what vectors mean. Invariant: the page never waits
for it; until it is ready, search finds nothing here and the lexical half answers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kit.errors import KitError, LibraryError

log = logging.getLogger("kit.web")
FOLLOW_EVERY_S = 1.0
RETRY_AFTER_S = 5.0


class Index(Protocol):
    """What kit.library.index.vectors.VectorIndex offers."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def state(self) -> str: ...

    def follow(self) -> object: ...

    def close(self) -> object: ...

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]: ...


@dataclass(frozen=True)
class EmbeddingModel:
    """Whose vectors an index holds. Vectors of two models never mix."""

    name: str
    dim: int


def _no_index(model: EmbeddingModel) -> Index:
    raise LibraryError(f"there is no index for {model.name}")


class FollowedIndex:
    """An index that a thread opens and then keeps at the end of the change log.

    `wanted` names the model whose vectors are searched, None as long as nobody knows; when it
    changes, `open_index` opens the index of the new one, which is built while the old one serves,
    takes its place, and only then is `opened` told.
    """

    def __init__(
        self,
        wanted: Callable[[], EmbeddingModel | None],
        open_index: Callable[[EmbeddingModel], Index] = _no_index,
        opened: Callable[[EmbeddingModel], None] = lambda _: None,
        *,
        every_s: float = FOLLOW_EVERY_S,
    ) -> None:
        self._wanted = wanted
        self._open_index = open_index
        self._opened = opened
        self._is_told = False
        self._every_s = every_s
        self._index: Index | None = None
        self._model: EmbeddingModel | None = None
        self._problem = ""
        self._wake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop following and close the index; returns when the thread is done with it."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._close_index()

    def wake(self) -> None:
        """Follow the change log now rather than within a second."""
        self._wake.set()

    @property
    def is_ready(self) -> bool:
        index = self._index
        return index is not None and index.is_ready

    @property
    def state(self) -> str:
        """For people and /health: 'waiting', the index's own words, or the problem."""
        if self._problem:
            return self._problem
        index = self._index
        return index.state if index else "waiting"

    @property
    def model(self) -> str:
        """Whose vectors `search` compares with; '' as long as nobody knows."""
        model = self._model
        return model.name if model else ""

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        """(chunk id, cosine), best first; empty until the index is open."""
        index = self._index
        return index.search(vector, collection_ids, limit) if index else []

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._step()
                self._problem = ""
            except KitError as problem:
                self._complain(problem.message)
            except Exception:  # Chroma raises anything, and a bad index must not end the thread
                log.exception("the dense index failed")
                self._complain("failed, trying again; see logs/web.log")
            self._wake.wait(RETRY_AFTER_S if self._problem else self._every_s)
            self._wake.clear()

    def _step(self) -> None:
        wanted = self._wanted()
        if self._index is not None and self._model is not None:
            self._index.follow()
            if not self._is_told:
                self._opened(self._model)
                self._is_told = True
        if wanted is not None and wanted != self._model:
            self._replace(wanted)
            self._wake.set()  # to the end of the log, and tell

    def _replace(self, wanted: EmbeddingModel) -> None:
        """The index of another model takes the place of this one, if it can be built."""
        new, old = self._open_index(wanted), self._index
        if old is not None:
            try:
                new.follow()
            except BaseException:
                new.close()
                raise
        self._index, self._model, self._is_told = new, wanted, False
        if old is not None:
            old.close()

    def _close_index(self) -> None:
        index, self._index, self._model = self._index, None, None
        if index is not None:
            index.close()

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("dense index: %s", problem)
        self._problem = problem
