"""kit model: what is there, what arrives, what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import FetchError, ModelError, NotFound, UsageError
from tests.cli.conftest import RunKit


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Office-Q8_0.gguf"
    write_tiny_model(path)
    return path


def test_import_list_show_check_rm(run_kit: RunKit, gguf: Path) -> None:
    """A GGUF file is imported, listed, shown, checked byte by byte, and removed."""
    result = run_kit("model", "import", str(gguf), "--name", "office", "--json")
    assert result.code == 0
    assert result.json()["model"]["active"] == "Office-Q8_0.gguf"
    listed = run_kit("model", "list", "--json").json()["models"]
    by_name = {model["name"]: model for model in listed}
    assert by_name["office"]["installed"] is not None
    assert by_name["qwen3-8b"]["installed"] is None
    assert "office" in run_kit("model", "list").out
    assert "Office-Q8_0.gguf" in run_kit("model", "show", "office").out
    assert "office: whole (1 files)" in run_kit("model", "check").out
    assert run_kit("model", "rm", "office").code == 0
    assert run_kit("model", "check", "office").code == NotFound.exit_code


def test_check_names_a_changed_bit(run_kit: RunKit, gguf: Path, home: Path) -> None:
    """One changed bit is found, the file is named, and the next step is given."""
    run_kit("model", "import", str(gguf), "--name", "office")
    path = home / "models" / "office" / gguf.name
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    result = run_kit("model", "check")
    assert result.code == ModelError.exit_code
    assert "models/office/Office-Q8_0.gguf" in result.err
    assert "hint: " in result.err


def test_import_refuses_what_is_no_model(run_kit: RunKit, tmp_path: Path) -> None:
    """A file that is no GGUF, or is not there, is one clear error."""
    other = tmp_path / "letter.gguf"
    other.write_bytes(b"Dear Sir")
    assert run_kit("model", "import", str(other), "--name", "x").code == ModelError.exit_code
    absent = run_kit("model", "import", str(tmp_path / "absent.gguf"), "--name", "x")
    assert absent.code == ModelError.exit_code
    assert "absent.gguf" in absent.err


def test_import_refuses_an_unknown_type_before_copying(
    run_kit: RunKit, gguf: Path, home: Path
) -> None:
    """A quantization type that does not exist is refused before anything is copied."""
    result = run_kit("model", "import", str(gguf), "--name", "office", "--type", "Q9_9")
    assert result.code == UsageError.exit_code
    assert not (home / "models").exists()


def test_pull_says_when_the_hub_is_out_of_reach(
    run_kit: RunKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that does not answer is named, with what to check."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = run_kit("model", "pull", "qwen3-8b")
    assert result.code == FetchError.exit_code
    assert "hf://Qwen/Qwen3-8B cannot be reached" in result.err
    assert "HF_ENDPOINT" in result.err


def test_show_states_the_memory_need(run_kit: RunKit) -> None:
    """`kit model show` says how much memory the model needs."""
    assert (
        "memory for one conversation of 8,192 tokens: about"
        in run_kit("model", "show", "qwen3-8b").out
    )
