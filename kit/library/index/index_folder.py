"""The folder of the dense index: who owns it, what was left in it, and whether it is still that.

Knows files, neither Chroma nor vectors. Invariant: a state without `is_writing` is on the disk
only after everything it lists is.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kit.database import Database
from kit.errors import AlreadyRunning
from kit.files import explain_os_errors, write_atomic

# Part of what a folder is made with: raise it, and every folder is rebuilt at its next opening.
GENERATION = 1
_FORGETS = "index_forgets"  # in settings: the change log's entry up to which vectors must be gone


class DamagedIndex(Exception):
    """Chroma failed, or does not hold what it should."""


@dataclass(frozen=True)
class FolderState:
    """What the folder held when it was last at rest; beside it as state.json.

    `files` maps each file to (size, mtime in ns). `is_writing` = a write or an opening
    began and did not end. `built_seq` = where the change log ended when the folder was made: of
    what was removed before, no vector is in any of its files. `num_cut` = owners in a row that
    opened it and never closed it: killed, or ended by what is wrong in its files.
    """

    model: str
    dim: int
    seq: int = 0  # the last entry of the change log that is in the index
    built_seq: int = 0
    num_cut: int = 0
    is_writing: bool = False
    generation: int = GENERATION
    files: dict[str, list[int]] = field(default_factory=dict)

    def is_made_for(self, model: str, dim: int) -> bool:
        return (self.model, self.dim, self.generation) == (model, dim, GENERATION)


def folder_of(home: Path, model: str) -> Path:
    """The folder for the vectors of one model: Chroma's own is in it, with state.json beside."""
    return home / "index" / (re.sub(r"[^\w.-]", "-", model).lstrip(".") or "model")


def index_folders(home: Path) -> list[Path]:
    """Those there are, of whatever model."""
    return [path.parent for path in sorted((home / "index").glob("*/owner.lock"))]


def forget_index(database: Database) -> None:
    """Of what was removed until now, no vector may stay in an index: it has to be built anew."""
    with database.write() as connection:
        connection.execute(
            "INSERT INTO settings SELECT ?, max(seq) FROM index_log WHERE op = 'delete'"
            " GROUP BY op ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_FORGETS,),
        )


def forget_seq(database: Database) -> int:
    """The entry of the change log that an index must be built after; 0 = any will do."""
    row = database.row("SELECT value FROM settings WHERE key = ?", (_FORGETS,))
    return int(row[0]) if row else 0


def forgotten_by_index(home: Path, database: Database) -> bool:
    """Whether no folder holds a vector of what `forget_index` was called for."""
    wanted = forget_seq(database)
    for folder in index_folders(home):
        state = read_state(folder / "state.json")
        if (folder / "chroma").exists() and (state is None or state.built_seq < wanted):
            return False
    return True


def drop_index(home: Path) -> bool:
    """The dense indexes are gone, to be built anew when they are wanted; False if one is in use."""
    for folder in index_folders(home):
        try:
            handle = own_folder(folder)
        except AlreadyRunning:
            return False
        with explain_os_errors(folder):
            (folder / "state.json").unlink(missing_ok=True)
            shutil.rmtree(folder / "chroma", ignore_errors=True)
        os.close(handle)
    return True


def remove_other_indexes(home: Path, model: str) -> None:
    """Only the index of `model` is left; also what an older kit left there is gone."""
    kept = folder_of(home, model)
    for path in (home / "index").iterdir() if (home / "index").is_dir() else ():
        if path == kept:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def own_folder(folder: Path) -> int:
    """A handle that owns the folder for as long as it is open. Raises AlreadyRunning."""
    path = folder / "owner.lock"
    with explain_os_errors(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AlreadyRunning(
            f"another process owns the index in {folder}",
            hint="use the kit that is running, or stop it: kit status",
        ) from None
    return handle


def read_state(path: Path) -> FolderState | None:
    """None if there is no whole state file."""
    try:
        return FolderState(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_state(path: Path, state: FolderState) -> None:
    write_atomic(path, json.dumps(asdict(state)).encode(), mode=0o600)


def list_files(folder: Path) -> dict[str, list[int]]:
    """Every file under `folder`: [size in bytes, mtime in ns]."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = [status.st_size, status.st_mtime_ns]
    return found


def sync_files(folder: Path) -> dict[str, list[int]]:
    """As `list_files`, after the files reached the disk: Chroma syncs only its SQLite."""
    for path in folder.rglob("*"):
        if path.is_file() or path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    return list_files(folder)


def max_bytes(num_rows: int, dim: int) -> int:
    """Far more than a whole folder of so many rows takes (measured: 2.0 to 2.4 kB per row of 384
    dimensions), and room for what was removed; past it the index is built anew, without that."""
    return (128 << 20) + num_rows * (24 * dim + 8192)


def require_sane_size(folder: Path, num_rows: int, dim: int) -> None:
    """Threat: link_lists.bin of a damaged index grows to hundreds of GB, sparse or not."""
    with explain_os_errors(folder):
        statuses = [path.stat() for path in folder.rglob("*") if path.is_file()]
    size_bytes = sum(max(status.st_size, status.st_blocks * 512) for status in statuses)
    if size_bytes > max_bytes(num_rows, dim):
        raise DamagedIndex(f"its folder takes {size_bytes} bytes for {num_rows} vectors")
