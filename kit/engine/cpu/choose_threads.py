"""Threads are chosen by measuring them in child processes, once for a model on a machine.

OpenMP reads how threads wait when it is loaded, so each way to wait is a process of its own. Knows
children, a clock and what was remembered. Keeps one invariant: what cannot be measured or
remembered costs speed, never a start, and no way takes longer than MAX_WAY_S.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import cpu_fingerprint, usable_cores
from kit.engine.cpu.threads import (
    WAITINGS,
    Figures,
    ThreadChoice,
    best,
    counts,
    default_choice,
    is_set_by_administrator,
)
from kit.engine.cpu.tiny_model import write_stand_in
from kit.engine.gguf import read_gguf, split_paths
from kit.errors import KitError, MachineError
from kit.files import write_atomic

MAX_WAY_S = 6.0  # for one way to wait; what it has not told by then is passed over
MAX_MEASURED_BYTES = 1 << 30  # a larger model is measured by a stand-in of a few megabytes
QUIET_SHARE = 0.25  # of a core that others may use when it is quiet
LOOK_S, MAX_WAIT_S = 0.2, 4.0
VERSION = 1  # raise it when the measuring changes, so that machines try again
Try = Callable[[str, Path], str]  # (way to wait, model) -> what its child printed


def choose_threads(
    home: Path | None, model: Path, variant: Path | None, *, n_threads: int = 0
) -> ThreadChoice:
    """What the engine runs with: as told, as the environment says, as remembered, or as measured.

    `n_threads` is a setting, 0 = choose. Nothing is measured without a `home` to remember it in.
    """
    if n_threads or home is None or is_set_by_administrator():
        return default_choice(n_threads or usable_cores())
    if known := remembered(home, model):
        return known
    print("measuring how threads best share this machine (once)", file=sys.stderr, flush=True)
    wait_until_quiet()
    figures = list(measure(model, functools.partial(run_trial, variant)))
    if not figures:
        print("no way to wait could be measured: the defaults stay", file=sys.stderr, flush=True)
        return default_choice(usable_cores())
    choice = best(figures)
    remember(home, model, choice)
    return choice


def measure(model: Path, try_way: Try) -> Iterator[Figures]:
    """The figures of every way that its child lives to tell."""
    with contextlib.suppress(KitError, OSError), _measurable(model) as path:
        for waiting in WAITINGS:
            yield from read_figures(waiting, try_way(waiting, path).splitlines())


@contextlib.contextmanager
def _measurable(model: Path) -> Iterator[Path]:
    """The model itself, or a stand-in for one that would take long to load three times."""
    if sum(part.stat().st_size for part in split_paths(model)) <= MAX_MEASURED_BYTES:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="kit-threads-") as folder:
        path = Path(folder) / "stand-in.gguf"
        write_stand_in(path)
        yield path


def read_figures(waiting: str, lines: Iterable[str]) -> Iterator[Figures]:
    """What a child said, a line for each number of threads; whatever is not a figure is left out.

    A line is [n_threads, prefill_alone, decode_alone, prefill_in_company, decode_in_company].
    """
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            n_threads, *speeds = json.loads(line)
            figures = Figures(waiting, int(n_threads), *map(float, speeds))
            if figures.n_threads > 0 and figures.is_sound:
                yield figures


def run_trial(variant: Path | None, waiting: str, model: Path) -> str:
    """What the trial's child printed before it ended, died, or MAX_WAY_S were over."""
    command = [sys.executable, "-m", "kit.engine.cpu.trial", str(variant or ""), waiting]
    command += [str(model), *map(str, counts(usable_cores()))]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, timeout=MAX_WAY_S, check=False)
    except subprocess.TimeoutExpired as problem:
        return (problem.stdout or b"").decode("utf-8", "replace")
    return child.stdout.decode("utf-8", "replace")


def wait_until_quiet(stat: Path = Path("/proc/stat")) -> None:
    """Others of normal priority leave the cores alone, or MAX_WAIT_S are over."""
    deadline = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < deadline:
        before = busy_s(stat.read_text())
        time.sleep(LOOK_S)
        if busy_s(stat.read_text()) - before < LOOK_S * QUIET_SHARE:
            return


def busy_s(stat: str) -> float:
    """Seconds that cores have worked at normal priority since the machine was started."""
    user, _nice, system = stat.split(maxsplit=4)[1:4]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# -- memory --------------------------------------------------------------------------------------


def memory_path(home: Path, model: Path) -> Path:
    """Where the choice for models of this kind and size is kept."""
    size = sum(part.stat().st_size for part in split_paths(model))
    kind = f"{read_gguf(model).type_name}-{size}" if size <= MAX_MEASURED_BYTES else "large"
    return home / "engine" / "threads" / f"{kind}.json"


def _key() -> dict[str, Any]:
    """What the choice depends on beside the model."""
    return {
        "cpu": cpu_fingerprint(),
        "cores": usable_cores(),
        "wheel": importlib.metadata.version("llama-cpp-python"),
        "version": VERSION,
    }


def remembered(home: Path, model: Path) -> ThreadChoice | None:
    """The choice made before for such a model on this machine, None if there is none.

    It is made anew from the figures, so that a damaged record cannot name what was not measured.
    """
    try:
        record = json.loads(memory_path(home, model).read_text())
        figures = [Figures(**figure) for figure in record["figures"]]
        if record["key"] == _key() and all(f.waiting in WAITINGS for f in figures):
            return best(figures)
    except (OSError, ValueError, TypeError, KeyError, KitError):
        pass
    return None


def remember(home: Path, model: Path, choice: ThreadChoice) -> None:
    """Keep the figures; a full disk costs the next start the measuring, no more."""
    record = {"key": _key(), "figures": [asdict(figures) for figures in choice.figures]}
    with contextlib.suppress(MachineError):
        write_atomic(memory_path(home, model), json.dumps(record, indent=1).encode())


def describe(choice: ThreadChoice) -> str:
    """'2 threads (1 for prompts), waiting: brief', as `kit doctor` and the engine's log say it."""
    threads = f"{choice.n_threads} threads"
    if choice.n_threads_batch != choice.n_threads:
        threads += f" ({choice.n_threads_batch} for prompts)"
    return f"{threads}, waiting: {choice.waiting}"
