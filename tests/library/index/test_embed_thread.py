"""Embedders in threads of their own: what yields holds up nobody, and priorities stay apart."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kit.errors import EmbedError
from kit.library.index import embed_thread
from kit.library.index.embed_thread import YIELDING_NICE, EmbedThread


class Recorder:
    """An embedder that says which thread called it, and waits until it is told to go on."""

    model, dim = "fake", 2

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.seen: list[tuple[int, int, int]] = []

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        if not texts:
            raise EmbedError("no texts")
        thread = threading.get_native_id()
        priority = os.getpriority(os.PRIO_PROCESS, thread)
        self.seen.append((thread, priority, os.sched_getscheduler(thread)))
        self.go_on.wait(10)
        return np.full((len(texts), batch_size), 1.0, dtype=np.float32)

    embed_queries = embed_passages

    def count_tokens(self, text: str) -> int:
        return len(text)


def test_documents_yield_and_questions_do_not() -> None:
    """Both have threads of their own; only the documents' has the lowest priority."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    recorder = Recorder()
    EmbedThread(recorder).embed_queries(["a"])
    EmbedThread(recorder, yields=True).embed_passages(["a"])
    (question, *its), (document, *theirs) = recorder.seen
    assert question != document != threading.get_native_id() != question
    assert its == [before, os.SCHED_OTHER]
    assert theirs == [YIELDING_NICE, os.SCHED_BATCH]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_question_is_answered_while_documents_are_embedded() -> None:
    """A question does not wait for the batch at hand."""
    recorder = Recorder()
    recorder.go_on.clear()
    documents = EmbedThread(recorder, yields=True)
    reading = threading.Thread(target=documents.embed_passages, args=(["long"],))
    reading.start()
    try:
        assert EmbedThread(Recorder()).embed_queries(["q"]).shape == (1, 32)
        assert reading.is_alive()
    finally:
        recorder.go_on.set()
        reading.join()


def test_what_the_embedder_says_comes_through() -> None:
    """Rows, names, counts and errors are the embedder's own."""
    thread = EmbedThread(Recorder(), yields=True)
    assert (thread.model, thread.dim, thread.count_tokens("four")) == ("fake", 2, 4)
    assert thread.embed_passages(["a", "b"], batch_size=3).shape == (2, 3)
    with pytest.raises(EmbedError, match="no texts"):
        thread.embed_passages([])


def test_a_kernel_that_forbids_the_policy_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container forbids SCHED_BATCH the nice value alone does the work."""

    def forbidden(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(embed_thread.os, "sched_setscheduler", forbidden)
    recorder = Recorder()
    EmbedThread(recorder, yields=True).embed_passages(["a"])
    assert recorder.seen[0][1] == YIELDING_NICE
