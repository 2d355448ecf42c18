"""Where a number comes from: the machine, the model, the commits, the command and the date.

Knows files and version numbers, measures nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import kit
from kit.engine.gguf import read_gguf
from kit.files import sha256_file


@dataclass(frozen=True)
class Conditions:
    """`facts` are the lines of the report's table of conditions."""

    date: str
    command: str
    facts: Mapping[str, str]

    @property
    def folder_name(self) -> str:
        """'2026-11-26T131646': the date and time as a name that sorts."""
        return self.date[:19].replace(":", "")


def gather(*, machine: str, model: Path, ctx: int, num_slots: int) -> Conditions:
    """The conditions of a measurement that begins now; `machine` is the CPU and its cores."""
    facts = {
        "machine": machine,
        "model": f"{model.name}, {read_gguf(model).type_name}, sha256 {sha256_file(model)}",
        "context": f"{ctx} tokens for each of {num_slots} slots",
        "kit": f"{kit.__version__}, commit {_commit()}",
        "llama-cpp-python": version("llama-cpp-python"),
        "Python": sys.version.split()[0],
        "OpenMP settings given": _openmp() or "none",
    }
    return Conditions(_now(), shlex.join(["kit", *sys.argv[1:]]), facts)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _commit() -> str:
    """The commit of the clone this runs from, marked where files differ from it."""
    command = ["git", "-C", str(Path(kit.__file__).parent), "describe", "--always", "--dirty"]
    return _said(command) or "unknown"


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _openmp() -> str:
    """What the environment tells the threads of both; the kit's engine has defaults of its own."""
    names = sorted(name for name in os.environ if name.startswith(("OMP_", "GOMP_", "KMP_")))
    return ", ".join(f"{name}={os.environ[name]}" for name in names)
