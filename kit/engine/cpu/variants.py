"""The build of llama.cpp's CPU code that runs fastest here without dying.

Knows where variants lie and how to try one; a variant's own word is not enough, since a virtual
machine may advertise instructions it does not allow. Keeps one invariant: this process never loads
a variant that has not first survived real products in a child process, on this CPU, as this file.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import cpu_fingerprint, cpu_name
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import MachineError, Problem
from kit.files import write_atomic

PROBE_TIMEOUT_S = 60
PROBE_VERSION = 1  # raise it when the probe becomes stricter, so that machines try again
NATIVE = "native"


@dataclass(frozen=True)
class Variant:
    """A build of the CPU code. `path` is None for the one linked into the library itself."""

    name: str
    path: Path | None
    score: int = 0


@dataclass(frozen=True)
class Trial:
    """What became of a candidate: "works", or how it failed ("killed by SIGILL")."""

    name: str
    score: int
    outcome: str


@dataclass(frozen=True)
class Choice:
    """The chosen variant and the trials that led to it, best score first."""

    variant: Variant
    trials: tuple[Trial, ...]


@functools.cache
def lib_folder() -> Path:
    """llama_cpp's folder of shared libraries, found without importing it."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise MachineError("llama-cpp-python is not installed", hint="run scripts/up")
    return Path(spec.origin).parent / "lib"


def variant_folders() -> tuple[Path, ...]:
    """Where a build with variants leaves them."""
    return (lib_folder().parent.parent / "bin", lib_folder())


def candidates(folders: Sequence[Path] | None = None) -> list[Variant]:
    """Every variant this CPU claims to support, best score first; ["native"] for a plain build."""
    folders = variant_folders() if folders is None else folders
    paths = [path for folder in folders for path in sorted(folder.glob("libggml-cpu-*.so"))]
    if not paths:
        return [Variant(NATIVE, None)]
    names = [path.stem.removeprefix("libggml-cpu-") for path in paths]
    found = map(Variant, names, paths, _scores(paths))
    return sorted((v for v in found if v.score > 0), key=lambda v: (-v.score, v.name))


def _scores(paths: Sequence[Path]) -> list[int]:
    """Each variant's score, asked in a child; one that dies on the question scores 0."""
    scores: list[int] = []
    while len(scores) < len(paths):
        rest = [str(path) for path in paths[len(scores) :]]
        answered = _child("score", str(lib_folder()), *rest).stdout.split()
        scores += [int(line) for line in answered]
        if len(answered) < len(rest):
            scores.append(0)
    return scores


def _child(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kit.engine.cpu.probe", *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        said = f"no result after {PROBE_TIMEOUT_S} s"
        return subprocess.CompletedProcess(command, 1, stdout="", stderr=said)


def try_variant(variant: Variant, model_path: Path) -> str:
    """Run real products with the variant in a child process: "works" or what happened instead."""
    child = _child("run", str(variant.path or NATIVE), str(model_path))
    if child.returncode == 0:
        return "works"
    if child.returncode < 0:
        return f"killed by {signal.Signals(-child.returncode).name}"
    last = child.stderr.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
    return f"failed: {last[0]}"


def choose_variant(home: Path | None, *, folders: Sequence[Path] | None = None) -> Choice:
    """The first candidate that survives; remembered under `home` until build or CPU change.

    Raises: MachineError, with what each candidate did, if none survives.
    """
    key = _key(folders)
    if home is not None and (remembered := _remembered(home, key)):
        return remembered
    choice = _choose(candidates(folders))
    if home is not None:
        _remember(home, key, choice)
    return choice


def _choose(found: Sequence[Variant]) -> Choice:
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="kit-probe-") as folder:
        model_path = Path(folder) / "tiny.gguf"
        write_tiny_model(model_path)
        for variant in found:
            outcome = try_variant(variant, model_path)
            trials.append(Trial(variant.name, variant.score, outcome))
            if outcome == "works":
                return Choice(variant, tuple(trials))
    raise MachineError(
        "no build of llama.cpp runs on this CPU",
        hint="build it on this machine: delete .venv, then run scripts/up",
        problems=[Problem(trial.name, trial.outcome) for trial in trials]
        or [Problem(cpu_name(), "every variant says this CPU lacks something it needs")],
    )


def memory_path(home: Path) -> Path:
    return home / "engine" / "variant.json"


def _key(folders: Sequence[Path] | None) -> dict[str, Any]:
    """What the choice depends on: the build, the CPU and the probe."""
    folders = variant_folders() if folders is None else folders
    files = [path for folder in folders for path in sorted(folder.glob("libggml-cpu*"))]
    files += [path for path in [lib_folder() / "libllama.so"] if path.exists()]
    return {
        "wheel": importlib.metadata.version("llama-cpp-python"),
        "cpu": cpu_fingerprint(),
        "probe": PROBE_VERSION,
        "files": [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
    }


def _remembered(home: Path, key: dict[str, Any]) -> Choice | None:
    """The choice made before, if it was made for the same build, CPU and probe."""
    try:
        record = json.loads(memory_path(home).read_text())
        if record["key"] != key:
            return None
        path = record["path"]
        trials = tuple(Trial(**trial) for trial in record["trials"])
        return Choice(
            Variant(record["name"], Path(path) if path else None, record["score"]), trials
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(home: Path, key: dict[str, Any], choice: Choice) -> None:
    variant = choice.variant
    record = {
        "key": key,
        "name": variant.name,
        "path": str(variant.path) if variant.path else None,
        "score": variant.score,
        "trials": [asdict(trial) for trial in choice.trials],
    }
    with contextlib.suppress(MachineError):  # a full disk costs the next start a second, no more
        write_atomic(memory_path(home), json.dumps(record, indent=1).encode())


def describe(home: Path | None) -> dict[str, Any]:
    """What `kit doctor` shows: the variant in use and what the better-scored ones did.

    Raises: MachineError as `choose_variant` does.
    """
    choice = choose_variant(home)
    return {
        "variant": choice.variant.name,
        "path": str(choice.variant.path or lib_folder()),
        "cpu": cpu_name(),
        "wheel": importlib.metadata.version("llama-cpp-python"),
        "trials": [asdict(trial) for trial in choice.trials],
    }
