"""Native work on a model's file, done in a child process: a crash there is an error here.

Knows nothing of the work; `child_main` is the child's side.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.engine.cpu.variants import choose_variant
from kit.errors import EngineError, ModelError

OUT_OF_MEMORY = (
    "Linux kills what takes more memory than there is: end other programs, and try again"
)


def run_child(
    verb: str, arguments: Sequence[str], *, home: Path | None, timeout_s: float, text: str = ""
) -> str:
    """What a child printed that did the verb; it reads `text` from its standard input.

    Raises: ModelError if that is what the child raised; EngineError with its last words if it
    failed otherwise, was killed or took longer.
    """
    variant = choose_variant(home).variant.path
    command = [sys.executable, "-m", "kit.engine.quantizing.child_main", str(os.getpid())]
    command += [str(variant or ""), verb, *arguments]
    try:
        child = subprocess.run(
            command,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise EngineError(f"{verb} did not end within {timeout_s:.0f} s") from problem
    if child.returncode == 0:
        return child.stdout
    last = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
    if child.returncode == ModelError.exit_code:
        told = json.loads(last)
        raise ModelError(told["message"], hint=told["hint"])
    raise EngineError(
        f"{verb} of {arguments[0]} failed: {_how_it_ended(child.returncode, last)}",
        hint=OUT_OF_MEMORY if child.returncode == -signal.SIGKILL else None,
    )


def _how_it_ended(status: int, last: str) -> str:
    """The signal, if one killed it, and its last words: those of an assert say which it was."""
    return f"killed by {signal.Signals(-status).name} ({last})" if status < 0 else last
