"""The real embedding model: two threads at a time, and what a card puts before texts."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from kit.library.index.embed import LocalEmbedder

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


def test_questions_and_passages_get_what_the_card_wants(
    embedding_model: Path, tmp_path: Path
) -> None:
    """As e5's cards say: the vectors are those of 'query: …' and 'passage: …'."""
    folder = tmp_path / "prefixed"
    folder.mkdir()
    for path in embedding_model.iterdir():
        if path.name != "installed.json":
            (folder / path.name).symlink_to(path)
    record = {"query_prefix": "query: ", "passage_prefix": "passage: "}
    (folder / "installed.json").write_text(json.dumps(record))
    plain, prefixed = LocalEmbedder(embedding_model), LocalEmbedder(folder)
    text = "Who decides about grants?"
    for made, wanted in (
        (prefixed.embed_queries([text]), f"query: {text}"),
        (prefixed.embed_passages([text]), f"passage: {text}"),
        (plain.embed_queries([text]), text),
    ):
        np.testing.assert_allclose(made, plain.embed_passages([wanted]), atol=1e-5)


def test_an_english_model_says_what_it_cannot_read(embedding_model: Path) -> None:
    """Nothing of English or German is unknown to it, half of a Chinese question is."""
    embedder = LocalEmbedder(embedding_model)
    assert embedder.unknown_share("Who decides about grants?") == 0.0
    assert embedder.unknown_share("Wer entscheidet über Zuschüsse?") == 0.0
    assert embedder.unknown_share("谁决定拨款的分配？") > 0.5
