"""kit eval: what is wrong is said before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import NotFound, UsageError
from tests.cli.conftest import RunKit


@pytest.fixture
def gguf(tmp_path: Path) -> str:
    path = tmp_path / "office.gguf"
    write_tiny_model(path)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--loads", "a,z"], UsageError.exit_code, "'z' observed"),
        (["--threads", "many"], UsageError.exit_code, "'many' observed"),
        (["--model", "nothing"], NotFound.exit_code, "nothing"),
        (["--rounds", "0"], UsageError.exit_code, "--rounds"),
        (["--peer", "/nowhere/llama-server"], UsageError.exit_code, "scripts/bench-peers"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    run_kit: RunKit, gguf: str, arguments: list[str], code: int, words: str
) -> None:
    """A wrong load, number, model or peer, before a server is started."""
    given = ["--no-plots", "--model", gguf, "--loads", "a", *arguments]
    result = run_kit("eval", "serving", *given)
    assert (result.code, result.out) == (code, "")
    assert words in result.err


def test_load_e_wants_an_embedding_model(run_kit: RunKit, gguf: str) -> None:
    """Its lack is said with the command that gets it."""
    result = run_kit("eval", "serving", "--no-plots", "--model", gguf, "--loads", "e")
    assert result.code == NotFound.exit_code
    assert "kit model pull all-minilm-l6-v2" in result.err
