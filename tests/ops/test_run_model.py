"""A model in a process of its own: what its end means, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from kit.errors import MachineError, ModelError
from kit.ops import run_model
from kit.ops.child import ChildSpec
from kit.ops.run_model import running_model
from kit.supply.smoke.reply import Reply
from tests.supply.made_passport import MODEL

FAKE = Path(__file__).with_name("fake_engine.py")
HOME = Path("/some/home")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fake process runs in the mode that is appended here."""
    wanted: list[str] = []

    def spec(home: Path, model: object, port: int, work: Path) -> ChildSpec:
        command = (sys.executable, "-S", str(FAKE), str(port), wanted[-1], "kit.engine.server")
        return ChildSpec("smoke", command, work / "smoke.log", os.environ)

    monkeypatch.setattr(run_model, "_spec", spec)
    monkeypatch.setattr(run_model, "POLL_S", 0.02)
    return wanted


def test_it_answers_within_the_block_and_is_gone_after(mode: list[str]) -> None:
    """Its facts, an answer and its memory are there; the process does not outlive the block."""
    mode.append("answers")
    with running_model(HOME, MODEL) as running:
        assert running.facts["architecture"] == "llama"
        assert running.ask("/v1/chat/completions", {}) == Reply("Hello", "Hm.", "stop")
        assert running.resident_bytes() > 1 << 20
        pid = running._child.process.pid  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ("exits-11", ModelError),
        ("exits-0", ModelError),
        ("exits-4", MachineError),
        ("exits-5", MachineError),
        (f"killed-{signal.SIGSEGV.value}", ModelError),
        (f"killed-{signal.SIGILL.value}", ModelError),
        (f"killed-{signal.SIGKILL.value}", MachineError),
    ],
)
def test_an_end_before_it_is_ready(
    mode: list[str], ends: str, error: type[ModelError | MachineError]
) -> None:
    """A model's fault is the model's, want of memory the machine's; no folder of ours is told."""
    mode.append(ends)
    with pytest.raises(error) as caught, running_model(HOME, MODEL):
        pytest.fail("it was never ready")
    assert str(HOME) not in caught.value.message
    said = "models/office/a.gguf cannot be loaded" if "exits" in ends else "killed by SIG"
    assert said in caught.value.message


def test_an_end_while_it_is_asked(mode: list[str]) -> None:
    """A process that dies of a question is the model's fault, with the signal."""
    mode.append("dies-asked")
    with running_model(HOME, MODEL) as running, pytest.raises(ModelError, match="SIGSEGV"):
        running.ask("/v1/chat/completions", {})


def test_errors_over_http_are_replies(mode: list[str]) -> None:
    """A refusal has its code; a failure without words has its status."""
    mode.append("refuses")
    with running_model(HOME, MODEL) as running:
        reply = running.ask("/v1/chat/completions", {})
        assert (reply.error, reply.error_code) == ("too long", "context_length_exceeded")
        with pytest.raises(ModelError, match="too long"):
            running.embed(["a"])
    mode.append("nan")
    with running_model(HOME, MODEL) as running:
        assert running.ask("/v1/chat/completions", {}).error == "the engine failed with status 500"
