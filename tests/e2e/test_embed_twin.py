"""The embedding model in two threads: the same weights, the same vectors, at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from kit.library.embed import LocalEmbedder

pytestmark = pytest.mark.e2e


def test_twins_share_weights_and_work_at_the_same_time(embedding_model: Path) -> None:
    """Many short questions beside long documents: every row is what it is alone."""
    first = LocalEmbedder(embedding_model, num_threads=1)
    twin = first.twin()
    pairs = zip(first._model.parameters(), twin._model.parameters(), strict=True)
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)
    documents = [f"Passage {n} about grants and their rules. " * n for n in range(1, 30)]
    alone = first.embed_passages(documents)
    beside: list[np.ndarray] = []
    reading = threading.Thread(target=lambda: beside.append(twin.embed_passages(documents)))
    reading.start()
    questions = [first.embed_queries(["who decides?"]) for _ in range(20)]
    reading.join()
    np.testing.assert_allclose(beside[0], alone, atol=1e-5)
    for row in questions:
        np.testing.assert_allclose(row, questions[0], atol=1e-6)
