"""What a pull keeps while it goes on, who may touch it, and how all of a model goes away.

Knows the folders that work on one model uses under home/tmp. Invariants: one process at a time
works there; what is finished, or removed, leaves nothing there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import AlreadyRunning
from kit.files import explain_os_errors, make_private_folder
from kit.supply.store import (
    RECORD,
    InstalledModel,
    find_installed,
    model_folder,
    remove_model,
)

LOCK = "lock"


def pull_folder(home: Path, name: str) -> Path:
    """Where a pull of that model keeps what it fetched and converted, until it is done."""
    model_folder(home, name)  # threat: a name that leaves the folder
    return home / "tmp" / f"pull-{name}"


@contextmanager
def own_pull_folder(home: Path, name: str) -> Iterator[Path]:
    """The folder, which is this process's alone meanwhile; gone afterwards if it is empty.

    Raises: AlreadyRunning if another process pulls or removes that model.
    """
    folder = pull_folder(home, name)
    make_private_folder(home)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock(folder / LOCK)
    if handle is None:
        raise AlreadyRunning(
            f"another kit is pulling or removing {name}", hint="wait until it is done"
        )
    try:
        yield folder
    finally:
        if folder.is_dir() and [path.name for path in folder.iterdir()] == [LOCK]:
            shutil.rmtree(folder)
        os.close(handle)


def _lock(path: Path) -> int | None:
    """A handle that holds the lock; None if another does, or removed the file meanwhile."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def keep_only(folder: Path, *kept: Path) -> None:
    """Of the folder these and the lock remain; what an earlier pull of other files left is gone."""
    for path in folder.iterdir():
        if path.name != LOCK and path not in kept:
            _remove(path)


def remove(home: Path, name: str) -> InstalledModel | None:
    """Nothing of the model is left, nor of pulls of it that were cut short; None if that was all.

    Raises: NotFound if there was neither; AlreadyRunning while it is pulled.
    """
    folder = model_folder(home, name)
    left = (
        *(folder, pull_folder(home, name)),
        *(home / "tmp" / f"measure-{name}", home / "tmp" / f"importance-{name}.npz"),
    )
    if not any(path.exists() for path in left):
        find_installed(home, name)  # there is none, and says what to do
    with own_pull_folder(home, name):
        model = remove_model(home, name) if (folder / RECORD).is_file() else None
        with explain_os_errors(folder):
            for path in left:
                _remove(path)
    return model


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
