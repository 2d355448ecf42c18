"""The two that are compared: the kit's engine, and llama-server of the same llama.cpp.

Knows their command lines and what their requests may carry. Invariant: both get the same model,
context, slots and requests; all else is each one's own default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.engine.gguf import read_gguf
from kit.errors import UsageError
from kit.evaluate.goals import KIT, PEER
from kit.evaluate.servers import ServerSpec

BUILD_HINT = "build it and see its path: scripts/bench-peers"
VERSION_TIMEOUT_S = 30
_ENDS = ("eos", "eot", "eom")


def kit_spec(model: Path, flags: Sequence[str]) -> ServerSpec:
    """The kit's engine. `flags` are pairs; those of the port and the threads are left out."""
    pairs = zip(flags[::2], flags[1::2], strict=True)
    kept = [word for pair in pairs if pair[0] not in ("--port", "--threads") for word in pair]
    command = (sys.executable, "-m", "kit.engine.server", *kept)
    return ServerSpec(KIT, command, takes_namespace=True, fields={"logit_bias": end_bias(model)})


def peer_spec(program: Path, model: Path, *, ctx: int, num_slots: int) -> ServerSpec:
    """llama-server with as many slots, each of as much context. Raises: UsageError."""
    version = peer_version(program)
    command = [str(program), "--model", str(model), "-np", str(num_slots)]
    command += ["-c", str(num_slots * ctx), "--metrics", "--no-webui"]
    facts = {
        "version": version,
        "CPU code": "as the program was built; scripts/bench-peers: for this CPU, without AMX",
    }
    return ServerSpec(PEER, tuple(command), fields={"logit_bias": end_bias(model)}, facts=facts)


def peer_version(program: Path) -> str:
    """What `--version` says, in one line. Raises: UsageError if it is no llama-server that runs."""
    if not program.is_file() or not os.access(program, os.X_OK):
        raise UsageError(f"--peer: no program at {program}", hint=BUILD_HINT)
    try:
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise UsageError(f"--peer: {program} does not run: {problem}", hint=BUILD_HINT) from None
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    found = [line.removeprefix("version: ") for line in lines if line.startswith("version:")]
    if done.returncode or not found:
        raise UsageError(f"--peer: {program} is no llama-server that runs here", hint=BUILD_HINT)
    return found[0]


def end_bias(model: Path) -> dict[str, int]:
    """A logit bias that keeps answers from ending early, so that both sides write equally much."""
    metadata = read_gguf(model).metadata
    found = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in _ENDS]
    return {str(token): -100 for token in found if isinstance(token, int)}
