"""A place without a network where commands run under strace: this process goes there and stays.

Invariant: what runs here reaches loopback alone, and each of its processes is traced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kit.errors import MachineError
from kit.ops.prove.trace import CALLS, Trace, read_traces

STOPPED_WITHIN_S = 90.0
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x1 | 0x40


def require_tools() -> None:
    """Raises: MachineError naming what is missing, with the command that installs it."""
    missing = [
        (tool, package)
        for tool, package in (("strace", "strace"), ("unshare", "util-linux"))
        if shutil.which(tool) is None
    ]
    if missing:
        names = " and ".join(tool for tool, _ in missing)
        packages = " ".join(package for _, package in missing)
        raise MachineError(
            f"the proof needs {names}",
            hint=f"install from this system's own media: apt install {packages}",
        )
    probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise MachineError(
            "this system lets no user make a network namespace",
            hint="run it as root, or allow it: sysctl kernel.unprivileged_userns_clone=1",
        )


def raise_loopback() -> None:
    """`ip link set lo up`: a new namespace starts with loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sH14s", b"lo", _UP_AND_RUNNING, bytes(14))
        fcntl.ioctl(handle, _SET_FLAGS, request)


def has_other_interfaces() -> bool:
    """Whether there is a way out after all."""
    return any(name != "lo" for _, name in socket.if_nameindex())


class Stage:
    """Runs commands in a folder of its own; each has its traces there."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = dict(environ)
        self._number = 0

    def run(
        self, command: Sequence[str], *, timeout_s: float, stdin: str = ""
    ) -> tuple[int, str, str, Trace]:
        """(exit code, stdout, stderr, what it tried) of a command that ends by itself."""
        prefix = self._next()
        done = subprocess.run(
            [*strace(prefix), *command],
            input=stdin,
            env=self._environ,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr, read_traces(prefix)

    @contextlib.contextmanager
    def running(self, command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """A command that goes on until the block ends; (the process, where its traces begin)."""
        prefix = self._next()
        out = prefix.with_suffix(".out")
        with out.open("wb") as stream:
            process = subprocess.Popen(
                [*strace(prefix), *command],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            yield process, prefix
        finally:
            _end(process)

    def _next(self) -> Path:
        self._number += 1
        return self._folder / f"trace-{self._number:02}"


def strace(prefix: Path) -> list[str]:
    """What stands before a command to trace it and its children, a file for each process."""
    traced = f"trace=execve,{CALLS}"
    return ["strace", "-ff", "-qq", "--seccomp-bpf", "-s", "64", "-e", traced, "-o", str(prefix)]


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to what is traced, as strace passes none on; then to all that is left."""
    for child in _children_of(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(text) for text in path.read_text().split()]
    except OSError:
        return []
