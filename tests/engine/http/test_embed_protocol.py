"""Embeddings: requests read, texts put into batches, vectors in both encodings."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.embedding.embedder import MAX_TEXTS_PER_BATCH, split_batches
from kit.engine.http.embed_protocol import embeddings_reply, read_embeddings
from kit.engine.http.fields import RequestRefused


def inputs(value: Any) -> tuple[Any, ...]:
    return read_embeddings(json.dumps({"input": value}).encode()).inputs


def test_all_four_forms_are_read() -> None:
    """A text, texts, tokens, and lists of tokens."""
    assert inputs("a") == ("a",)
    assert inputs(["a", "b"]) == ("a", "b")
    assert inputs([1, 2]) == ((1, 2),)
    assert inputs([[1], [2, 3]]) == ((1,), (2, 3))


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "input"),
    ({"input": []}, "input"),
    ({"input": ""}, "input"),
    ({"input": ["a", ""]}, "input[1]"),
    ({"input": ["a", 1]}, "input[1]"),
    ({"input": [1, "a"]}, "input"),
    ({"input": [[1], [True]]}, "input[1]"),
    ({"input": "\ud800"}, "input"),
    ({"input": {"a": 1}}, "input"),
    ({"input": ["a"] * 2049}, "input"),
    ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=lambda value: str(value)[:40])
def test_an_odd_field_is_named(fields: dict[str, Any], param: str) -> None:
    """What is no input is a 400 that names it."""
    with pytest.raises(RequestRefused) as refused:
        read_embeddings(json.dumps(fields).encode())
    assert refused.value.body["error"]["param"] == param


def test_both_encodings_hold_the_same_vector() -> None:
    """base64 is little-endian float32 of the same numbers."""
    vectors = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    plain, coded = (
        embeddings_reply(vectors, model="m", num_tokens=3, is_base64=is_base64)
        for is_base64 in (False, True)
    )
    assert plain["data"][0]["embedding"] == pytest.approx([0.6, 0.8])
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == plain["data"][0]["embedding"]
    assert [entry["index"] for entry in plain["data"]] == [0, 1]
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 120))
def test_batches_hold_every_text_once_and_in_order(sizes: list[int], room: int) -> None:
    """No batch is larger than allowed, none is empty, and joined they are the texts."""
    texts = [[n] * size for n, size in enumerate(sizes)]
    batches = list(split_batches(texts, room))
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        assert 1 <= len(batch) <= MAX_TEXTS_PER_BATCH
        assert sum(map(len, batch)) <= room
