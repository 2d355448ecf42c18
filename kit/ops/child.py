"""One supervised process: started, watched, started again after a growing wait, stopped.

Knows processes and log files, nothing of what runs in them. Invariants: a child dies with its
supervisor, even one killed with SIGKILL; after a stop nothing of its process group is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kit.files import explain_os_errors
from kit.isolate import die_with_parent

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
HEALTHY_S = 60.0  # a child that ran this long starts from the first wait again
MAX_LOG_BYTES = 5 << 20
NUM_OLD_LOGS = 2


@dataclass(frozen=True)
class ChildSpec:
    """What to run. `name` is also the name of its log."""

    name: str
    command: tuple[str, ...]
    log: Path
    environ: Mapping[str, str]
    oom_score_adj: int = 0
    """How much sooner the kernel ends this one when memory runs out; 0 to 1000."""


@dataclass
class Backoff:
    """How long to wait before the next start: 0.5, 1, 2 … 30 s; from 0.5 after a healthy minute."""

    num_failures: int = 0

    def next_wait_s(self, ran_s: float) -> float:
        """The wait after a run of that length."""
        self.num_failures = 1 if ran_s >= HEALTHY_S else self.num_failures + 1
        return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self.num_failures - 1, 16)))


@dataclass(frozen=True)
class Death:
    """A child ended without being asked to."""

    name: str
    exit_code: int
    """Negative: the signal that killed it."""
    ran_s: float
    wait_s: float
    num_failures: int
    log: Path

    def how(self) -> str:
        """'ended with exit code 3', 'was killed by SIGSEGV'."""
        if self.exit_code < 0:
            return f"was killed by {signal.Signals(-self.exit_code).name}"
        return f"ended with exit code {self.exit_code}"


@dataclass
class Child:
    """The life of one process. Every method is called from one thread, the main one."""

    spec: ChildSpec
    backoff: Backoff = field(default_factory=Backoff)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0

    def start(self, now: float) -> None:
        """Run it, in a process group of its own, its output appended to its log."""
        with explain_os_errors(self.spec.log), open_log(self.spec.log) as log:
            self.process = subprocess.Popen(
                self.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.spec.environ),
                # Of its own, so that Ctrl-C in the terminal reaches the supervisor alone. Not a
                # session of its own: the kernel shares cores out fairly between sessions
                # (autogroup), and priorities count only within one.
                process_group=0,
                preexec_fn=_prepare_child(os.getpid(), self.spec.oom_score_adj),
            )
        self.started_at = now

    def tick(self, now: float) -> Death | None:
        """Notice that it ended, or start it again when its wait is over."""
        if self.process is None:
            if now >= self.start_again_at:
                self.start(now)
            return None
        if not _has_ended(self.process.pid):
            return None
        self.kill_group()  # what it started must not outlive it
        exit_code = self.process.wait()
        self.process = None
        ran_s = now - self.started_at
        wait_s = self.backoff.next_wait_s(ran_s)
        self.start_again_at = now + wait_s
        return Death(
            self.spec.name, exit_code, ran_s, wait_s, self.backoff.num_failures, self.spec.log
        )

    def ask_to_stop(self) -> None:
        """SIGTERM to the child; it stops its own children."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGTERM)  # not terminate(), which reaps

    @property
    def has_ended(self) -> bool:
        return self.process is None or _has_ended(self.process.pid)

    def kill_group(self) -> None:
        """SIGKILL to the child and everything it started; call it before the child is reaped."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def bury(self) -> None:
        """Nothing of its group is left, and the child is reaped."""
        self.kill_group()
        if self.process is not None:
            self.process.wait()
            self.process = None


def _has_ended(pid: int) -> bool:
    """Without reaping it, so that its number and its group's are not given away yet."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def open_log(path: Path) -> IO[bytes]:
    """The log, open for appending; a large one is moved to .1 first, .1 to .2, .2 is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        for number in range(NUM_OLD_LOGS, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            if newer.exists():
                os.replace(newer, older)
    return path.open("ab")


def _prepare_child(parent: int, oom_score_adj: int) -> Callable[[], None]:
    """Runs in the child before its program: the kernel kills it when its parent ends.

    SIGKILL, not SIGTERM: the next kit may start at once, and two owners of one index must not meet.
    """
    score = str(oom_score_adj).encode()

    def prepare() -> None:
        if oom_score_adj:
            with contextlib.suppress(OSError):  # a container may forbid it
                handle = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
                os.write(handle, score)
                os.close(handle)
        die_with_parent(parent)

    return prepare
