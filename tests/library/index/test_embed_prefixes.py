"""What an embedding model wants before a question, and before a passage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.library.index.embed import read_prefixes

E5 = {"query_prefix": "query: ", "passage_prefix": "passage: "}


@pytest.mark.parametrize(
    ("record", "prompts", "expected"),
    [
        (json.dumps(E5), {}, ("query: ", "passage: ")),
        (json.dumps(E5), {"query": "other"}, ("query: ", "passage: ")),
        (json.dumps({"query_prefix": "Query:", "passage_prefix": ""}), {}, ("Query:", "")),
        (json.dumps({"name": "older"}), {"query": "q: ", "document": "d: "}, ("q: ", "d: ")),
        (None, {"query": "q: ", "document": "", "passage": "p: "}, ("q: ", "p: ")),
        (None, {}, ("", "")),
        ("{cut", {}, ("", "")),
        ("[]", {}, ("", "")),
    ],
)
def test_the_card_goes_before_the_models_own_word(
    tmp_path: Path, record: str | None, prompts: dict[str, str], expected: tuple[str, str]
) -> None:
    """Its record, as a pull writes it; a model that no card describes says it itself."""
    if record is not None:
        (tmp_path / "installed.json").write_text(record)
    assert read_prefixes(tmp_path, prompts) == expected
