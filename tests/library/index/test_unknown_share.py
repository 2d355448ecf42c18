"""How much of a question an embedding model can read, told by its vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tokenizers import Tokenizer, models, pre_tokenizers

from kit.library.index.embed import WorkerEmbedder, load_tokenizer, share_unknown
from kit.library.worker import Worker, build_app

WORDS = ("who", "decides", "the", "board")


@pytest.fixture(params=["[UNK]", "<unk>"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    """A file of four words, its unknown token named as one of two families does."""
    vocabulary = {word: number for number, word in enumerate((request.param, *WORDS))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=request.param))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("text", "share"),
    [("who decides", 0.0), ("who décide the board", 0.25), ("谁", 1.0), ("", 0.0)],
)
def test_share(tokenizer: Tokenizer, text: str, share: float) -> None:
    """Tokens outside the vocabulary, of all; nothing of nothing."""
    assert share_unknown(tokenizer, text) == share


def test_the_worker_tells_it(tokenizer: Tokenizer) -> None:
    """Whoever asks the worker learns the same as beside the model."""

    class Serving(Worker):
        def __init__(self) -> None: ...

        def count_tokens(self, text: str) -> int:
            return len(tokenizer.encode(text).ids)

        def unknown_share(self, text: str) -> float:
            return share_unknown(tokenizer, text)

    embedder = WorkerEmbedder("http://worker")
    embedder._client = TestClient(build_app(Serving()), base_url="http://worker")
    assert embedder.unknown_share("who décide the board") == 0.25
    assert embedder.count_tokens("who décide the board") == 4
