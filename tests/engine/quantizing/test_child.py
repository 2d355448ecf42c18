"""Native work in a child: however it ends, the error says which end it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kit.engine.cpu.variants import Choice, Variant
from kit.engine.quantizing import child
from kit.engine.quantizing.child import run_child
from kit.errors import EngineError, KitError, ModelError

REFUSED = json.dumps({"message": "a.gguf is damaged", "hint": "get it again"})
ENDS = {
    "an assert": (
        "echo 'ggml.c:1: GGML_ASSERT(a > 0) failed' >&2; kill -ABRT $$",
        EngineError,
        "quantize of a.gguf failed: killed by SIGABRT (ggml.c:1: GGML_ASSERT(a > 0) failed)",
        None,
    ),
    "no memory": (
        "kill -KILL $$",
        EngineError,
        "quantize of a.gguf failed: killed by SIGKILL (no reason given)",
        child.OUT_OF_MEMORY,
    ),
    "an error": (
        "echo 'llama.cpp could not quantize (1)' >&2; exit 1",
        EngineError,
        "quantize of a.gguf failed: llama.cpp could not quantize (1)",
        None,
    ),
    "a model that is refused": (
        f"echo '{REFUSED}' >&2; exit {ModelError.exit_code}",
        ModelError,
        "a.gguf is damaged",
        "get it again",
    ),
    "time": ("exec sleep 9", EngineError, "quantize did not end within 0 s", None),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Killed, failed, refused or too slow: signal and last words are in the error."""
    script, kind, message, hint = ENDS[name]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(child, "choose_variant", lambda _: Choice(Variant("native", None), ()))
    timeout_s = 0.2 if name == "time" else 60
    with pytest.raises(KitError) as ended:
        run_child("quantize", ["a.gguf"], home=None, timeout_s=timeout_s)
    assert (type(ended.value), ended.value.message, ended.value.hint) == (kind, message, hint)
