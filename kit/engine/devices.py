"""Which GPUs llama.cpp can use here, asked in a child process: a driver may crash, or hang.

Knows a child and what it printed. Keeps one invariant: whatever a driver does, the asking process
has an answer within LIFETIME_S.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.engine.gpu import Device
from kit.errors import KitError

LIFETIME_S = 60  # the first use of a driver may compile code


@dataclass(frozen=True)
class Seen:
    """The devices; without any, `said` is what native code complained about last."""

    devices: tuple[Device, ...]
    said: str = ""


def ask(variant: Path) -> str:
    """What the child printed before it ended, died, or LIFETIME_S were over."""
    command = [sys.executable, "-m", "kit.engine.devices", str(variant)]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=LIFETIME_S, check=False
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"devices": [], "said": f"no answer after {LIFETIME_S} s"})
    if child.returncode < 0:
        ended = f"killed by {signal.Signals(-child.returncode).name}"
        return json.dumps({"devices": [], "said": ended})
    return child.stdout


def find_devices(variant: Path, ask: Callable[[Path], str] = ask) -> Seen:
    """The GPUs that llama.cpp can use with what lies beside this CPU variant."""
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
        told = json.loads(ask(variant).strip().splitlines()[-1])
        return Seen(tuple(Device(**device) for device in told["devices"]), str(told["said"]))
    return Seen((), "llama.cpp did not answer")


def main(argv: Sequence[str]) -> int:
    """Print one line of JSON: the devices, and what was wrong."""
    from kit.engine.native import gpu_devices, last_error, load_library

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        devices = gpu_devices(load_library(Path(argv[0]), with_gpu=True))
        said = "" if devices else last_error("no driver shows one")
    except KitError as problem:
        devices, said = [], problem.message
    print(json.dumps({"devices": [asdict(device) for device in devices], "said": said}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
