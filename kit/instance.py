"""What runs on a KIT_HOME right now: the lock of its one supervisor, and where its parts listen.

Knows nothing about the parts themselves. Keeps two invariants: at most one owner per KIT_HOME (an
advisory lock that the kernel drops with the process, so a kill leaves nothing stale), and the run
file, which carries the token of the local user, is readable by this user alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.errors import AlreadyRunning
from kit.files import explain_os_errors, make_private_folder, write_atomic


@dataclass(frozen=True)
class Instance:
    """A running kit. URLs have no trailing slash; `token` is the local user's bearer token."""

    pid: int
    web_url: str
    engine_url: str
    worker_url: str
    token: str


def lock_path(home: Path) -> Path:
    return home / "run" / "lock"


def instance_path(home: Path) -> Path:
    return home / "run" / "kit.json"


@contextlib.contextmanager
def own_home(home: Path) -> Iterator[None]:
    """Hold KIT_HOME as its only owner for the length of the block.

    Raises: AlreadyRunning if another process holds it.
    """
    path = lock_path(home)
    make_private_folder(home)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = find_instance(home)
            where = f" at {running.web_url}/" if running else ""
            raise AlreadyRunning(
                f"the kit already runs on {home}{where}",
                hint="open that page, stop that process, or choose another folder with --home",
            ) from None
        withdraw(home)  # what a killed owner announced is not what runs now
        yield
    finally:
        os.close(handle)


def announce(home: Path, instance: Instance) -> None:
    """Write the run file, whole and private."""
    write_atomic(instance_path(home), json.dumps(asdict(instance)).encode(), mode=0o600)


def withdraw(home: Path) -> None:
    instance_path(home).unlink(missing_ok=True)


def find_instance(home: Path) -> Instance | None:
    """The kit that runs on this KIT_HOME, or None. A run file left by a kill does not count."""
    try:
        record = json.loads(instance_path(home).read_text())
        instance = Instance(**record)
        handle = os.open(lock_path(home), os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError, TypeError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return instance
    else:
        return None
    finally:
        os.close(handle)
