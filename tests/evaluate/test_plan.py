"""What is asked for on the command line becomes a plan or an error with words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import UsageError
from kit.evaluate.contestants import end_bias, kit_spec, peer_spec
from kit.evaluate.loads import TITLES
from kit.evaluate.plan import ALL_LOADS, read_loads, read_threads


def test_loads_are_known_and_in_order() -> None:
    """Load e brings b along; an unknown one is named with those there are."""
    assert read_loads("c, a") == ("a", "c")
    assert read_loads("e") == ("b", "e")
    assert read_loads(ALL_LOADS) == tuple(TITLES)
    with pytest.raises(UsageError, match="'x' observed") as caught:
        read_loads("a,x")
    assert ALL_LOADS in str(caught.value.hint)
    with pytest.raises(UsageError):
        read_loads(",")


def test_threads_are_numbers_or_one_and_all() -> None:
    """Without a wish, one thread and one per core."""
    assert read_threads("", num_cores=8) == (1, 8)
    assert read_threads("", num_cores=1) == (1,)
    assert read_threads("4,2,2", num_cores=8) == (2, 4)
    for wrong in ("0", "two", "1,,2", "-1"):
        with pytest.raises(UsageError):
            read_threads(wrong, num_cores=2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path)
    return path


def make_program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def test_missing_or_broken_peer_names_the_script_that_builds_it(
    model: Path, tmp_path: Path
) -> None:
    """No file, or a program that is no llama-server: the next step is the same."""
    other = make_program(tmp_path / "other", "print('hello')")
    for program in (tmp_path / "nothing", other):
        with pytest.raises(UsageError) as caught:
            peer_spec(program, model, ctx=4096, num_slots=8)
        assert "scripts/bench-peers" in str(caught.value.hint)


def test_peer_gets_the_context_of_all_slots(model: Path, tmp_path: Path) -> None:
    """llama-server divides its context among its slots; its commit is kept for the report."""
    text = "import sys; print('version: 7 (commit 0c1e570)', file=sys.stderr)"
    program = make_program(tmp_path / "llama-server", text)
    spec = peer_spec(program, model, ctx=4096, num_slots=8)
    assert " ".join(spec.command[1:]).endswith("-np 8 -c 32768 --metrics --no-webui")
    assert spec.facts["version"] == "7 (commit 0c1e570)"
    assert not spec.takes_namespace


def test_kit_gets_its_flags_without_port_and_threads(model: Path) -> None:
    """Those two are the round's."""
    flags = ["--model", str(model), "--port", "0", "--ctx", "4096", "--threads", "0"]
    spec = kit_spec(model, flags)
    assert spec.command[3:] == ("--model", str(model), "--ctx", "4096")
    assert spec.takes_namespace


def test_end_of_text_is_kept_from_both(model: Path) -> None:
    """Whatever tokens the file names as ends get a bias that no sampler overcomes."""
    assert all(bias == -100 for bias in end_bias(model).values())
    assert kit_spec(model, []).fields == {"logit_bias": end_bias(model)}
