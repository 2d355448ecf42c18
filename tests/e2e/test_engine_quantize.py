"""Quantizing and measuring with the real starter model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kit.engine.gguf import read_gguf
from kit.engine.quantize import fastest, measure_types, quantize
from kit.errors import EngineError, ModelError, UsageError

pytestmark = pytest.mark.e2e


def test_the_starter_model_is_requantized_and_measured(chat_model: Path, tmp_path: Path) -> None:
    """Each type becomes a whole model of that type, is measured, and the fastest is one of them."""
    started = time.monotonic()
    types = ["Q4_1", "Q4_0", "Q8_0"]
    found = measure_types(chat_model, types, tmp_path, home=tmp_path, num_rounds=1)
    assert [m.type_name for m in found] == types
    for m in found:
        assert read_gguf(m.path).type_name == m.type_name
        assert m.size_bytes == m.path.stat().st_size
        assert min(m.prefill_tok_per_s, m.decode_tok_per_s) > 1
    assert found[0].path == chat_model  # the type it arrived in is not made again
    assert fastest(found) in found
    assert time.monotonic() - started < 60


def test_a_failed_quantization_leaves_nothing(chat_model: Path, tmp_path: Path) -> None:
    """A damaged source, an unknown type and a type that cannot be made leave no file behind."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(chat_model.read_bytes()[:-1000])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match="cut short"):
        quantize(cut, out / "a.gguf", "Q4_0")
    with pytest.raises(UsageError, match="unknown quantization type"):
        quantize(chat_model, out / "a.gguf", "Q3")
    with pytest.raises(EngineError):  # needs an importance matrix
        quantize(chat_model, out / "a.gguf", "IQ1_S")
    assert list(out.iterdir()) == []
