"""A consistent copy of a home while it serves, and the way back from one.

A backup is a folder: kit.db, the originals its documents name, kit.toml, and backup.json, which
lists every file with its SHA-256 and is written last. Models and derived indexes are not in it:
they are fetched or built again. Invariants: a folder without backup.json is no backup; a restore
changes nothing before every byte of the backup was checked, and keeps what it replaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from kit import __version__
from kit.database import Database
from kit.errors import LibraryError, MachineError, NotFound, Problem, UsageError
from kit.files import (
    copy_hashing,
    digests_differ,
    explain_os_errors,
    fsync_folder,
    make_private_folder,
    require_space,
    safe_join,
    sha256_file,
    write_atomic,
)
from kit.instance import own_home
from kit.supply.store import list_installed

LIST = "backup.json"
FORMAT = 1
DATABASE, SETTINGS, ORIGINALS = "kit.db", "kit.toml", "originals"
DERIVED = ("index", "prefixes")
STALE_S = 24 * 3600
Progress = Callable[[str, int, int], None]
"""(what is going on, bytes done, bytes in all)"""


def _quiet(what: str, done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class SavedFile:
    """One file of a backup, by its path below the backup's folder."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Backup:
    """A whole backup. `models` are the names of those that were installed: get them again."""

    folder: Path
    created: str
    version: str
    models: tuple[str, ...]
    files: tuple[SavedFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


# -- making one ----------------------------------------------------------------------------------


def back_up(
    home: Path, destination: Path, *, link: bool = False, on_progress: Progress = _quiet
) -> Backup:
    """A new backup in a folder of its own below `destination`. The kit may go on serving.

    With `link` the originals, which never change, are hard links where the disk is the same: that
    takes a moment, and guards against what becomes of the data but not of the disk.
    Raises: NotFound if the home holds no data; UsageError if `destination` lies in it; DiskFull.
    """
    _require_outside(home, destination)
    if not (home / DATABASE).is_file():
        raise NotFound(f"{home} holds no kit's data", hint="name the right one: --home /path")
    now = datetime.now(UTC)
    folder = destination / f"kit-backup-{now:%Y-%m-%dT%H%M%S}Z"
    if folder.exists():
        raise UsageError(f"{folder} is there already", hint="try again in a second")
    with explain_os_errors(folder), _frozen(home) as frozen:
        total = sum(path.stat().st_size for path in frozen.rglob("*") if path.is_file())
        require_space(destination, 0 if link else total)
        make_private_folder(folder)
        try:
            files = _copy_all(frozen, folder, total, link, on_progress)
            models = tuple(model.name for model in list_installed(home))
            made = Backup(folder, f"{now:%Y-%m-%dT%H:%M:%SZ}", __version__, models, files)
            write_atomic(folder / LIST, _to_json(made), mode=0o600)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return made


def _require_outside(home: Path, destination: Path) -> None:
    inside = destination.resolve()
    if inside == home.resolve() or home.resolve() in inside.parents:
        raise UsageError(
            f"{destination} lies in the home it would be a copy of",
            hint="choose a folder on another disk",
        )


@contextlib.contextmanager
def _frozen(home: Path) -> Iterator[Path]:
    """A folder that holds the home's data of one moment, its originals as hard links.

    The write lock keeps documents from being removed between the copy of the database and the last
    link; it is held for the links only.
    """
    for left in (home / "tmp").glob("backup-*"):  # by a kill; a day is longer than any copy
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    frozen = home / "tmp" / f"backup-{uuid.uuid4().hex}"
    frozen.mkdir(parents=True, mode=0o700)
    database, reader = Database(home / DATABASE), Database(home / DATABASE)
    try:
        with database.write():
            reader.snapshot(frozen / DATABASE)
            _link_originals(home, frozen, reader)
        if (home / SETTINGS).is_file():
            shutil.copyfile(home / SETTINGS, frozen / SETTINGS)
        yield frozen
    finally:
        database.close()
        reader.close()
        shutil.rmtree(frozen, ignore_errors=True)


def _link_originals(home: Path, frozen: Path, reader: Database) -> None:
    missing: list[Problem] = []
    for name, digest in reader.rows("SELECT name, sha256 FROM documents GROUP BY sha256"):
        path = f"{ORIGINALS}/{digest[:2]}/{digest}"
        link = frozen / path
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(home / path, link)
        except FileNotFoundError:
            missing.append(Problem(name, f"its original {digest[:12]}… is missing"))
    if missing:
        raise LibraryError(
            "the originals of some documents are gone, so no whole backup can be made",
            problems=missing,
            hint="add these files again, or remove the documents",
        )


def _copy_all(
    source: Path, folder: Path, total: int, link: bool, on_progress: Progress
) -> tuple[SavedFile, ...]:
    files: list[SavedFile] = []
    done = 0
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source).as_posix()
        on_progress(f"copying {name}", done, total)
        is_original = name.startswith(f"{ORIGINALS}/")
        if link and is_original and _linked(path, folder / name):
            digest = path.name
        else:
            digest = _copy(path, folder / name, is_original)
        size = path.stat().st_size
        done += size
        files.append(SavedFile(name, size, digest))
    return tuple(files)


def _linked(path: Path, link: Path) -> bool:
    """Whether `link` is the same file now; False on another disk, or one without links."""
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, link)
    except OSError:
        return False
    return True


def _copy(path: Path, copy: Path, is_original: bool) -> str:
    """Returns: the copy's SHA-256. Raises: LibraryError if an original is not what it was."""
    with path.open("rb") as stream:
        digest, _ = copy_hashing(stream, copy)
    if is_original and path.name != digest:
        raise LibraryError(
            f"the original {path.name[:12]}… is damaged: its digest is {digest[:12]}…",
            hint="add that file again, or remove the document; then make the backup",
        )
    copy.chmod(0o600)
    return digest


def _to_json(backup: Backup) -> bytes:
    record = {"format": FORMAT, **asdict(backup)}
    del record["folder"]
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


# -- going back to one ---------------------------------------------------------------------------


def read_backup(folder: Path) -> Backup:
    """The backup in that folder, its files not yet checked. Raises: UsageError, LibraryError."""
    path = folder / LIST
    if not path.is_file():
        raise UsageError(
            f"{folder} is no backup: it has no {LIST}",
            hint="name the folder that kit backup printed; one that was cut short is none",
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("format") != FORMAT:
            raise ValueError("made by a newer kit")
        files = tuple(SavedFile(**file) for file in record.pop("files"))
        return Backup(folder, files=files, **{**record, "models": tuple(record["models"])})
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise LibraryError(f"{path} cannot be read: {problem}") from None


def check_backup(backup: Backup, *, on_progress: Progress = _quiet) -> None:
    """Every file is there with its digest. Raises: LibraryError naming every bad one."""
    problems: list[Problem] = []
    done = 0
    for file in backup.files:
        path = safe_join(backup.folder, file.path)
        on_progress(f"checking {file.path}", done, backup.size_bytes)
        if not path.is_file() or path.is_symlink():
            problems.append(Problem(file.path, "missing"))
        elif (observed := sha256_file(path)) != file.sha256:
            problems.append(Problem(file.path, digests_differ(file.sha256, observed)))
        done += file.size_bytes
    if DATABASE not in {file.path for file in backup.files}:
        problems.append(Problem(DATABASE, "not in the backup"))
    if problems:
        raise LibraryError("the backup is damaged", problems=problems, hint="use another one")


def restore(
    home: Path, folder: Path, *, replace: bool = False, on_progress: Progress = _quiet
) -> Backup:
    """The home holds what the backup holds; what it held before is in home/replaced-<time>.

    Raises: AlreadyRunning while the kit runs there; UsageError if the home has data and `replace`
    is False; LibraryError if the backup is damaged, before anything is changed; DiskFull.
    """
    backup = read_backup(folder)
    with own_home(home):
        if (home / DATABASE).exists() and not replace:
            raise UsageError(
                f"{home} has data already",
                hint="restore into another --home, or add --replace: what is there is kept aside",
            )
        check_backup(backup, on_progress=on_progress)
        require_space(home, backup.size_bytes)
        with explain_os_errors(home):
            for left in (home / "tmp").glob("restore-*"):  # by a kill: nobody else is here
                shutil.rmtree(left)
            arrived = home / "tmp" / f"restore-{uuid.uuid4().hex}"
            try:
                _fetch(backup, arrived, home, on_progress)
                _swap(home, arrived)
            finally:
                shutil.rmtree(arrived, ignore_errors=True)
    return backup


def _fetch(backup: Backup, arrived: Path, home: Path, on_progress: Progress) -> None:
    """Originals take their places, which are their digests; the rest waits in `arrived`."""
    done = 0
    for file in backup.files:
        is_original = file.path.startswith(f"{ORIGINALS}/")
        path = safe_join(home if is_original else arrived, file.path)
        on_progress(f"copying {file.path}", done, backup.size_bytes)
        done += file.size_bytes
        if is_original and path.is_file() and sha256_file(path) == file.sha256:
            continue
        with safe_join(backup.folder, file.path).open("rb") as stream:
            digest, _ = copy_hashing(stream, path)
        if digest != file.sha256:
            raise LibraryError(f"the backup changed while it was read: {file.path}")
    _make_ready(arrived / DATABASE)


def _make_ready(path: Path) -> None:
    """A database of an older kit is brought up to this one's; nobody is signed in by a restore."""
    database = Database(path)
    try:
        with database.write() as connection:
            connection.execute("DELETE FROM sessions")
    finally:
        database.close()


def _swap(home: Path, arrived: Path) -> None:
    """The new database takes the old one's place at one moment; derived folders are built again."""
    aside = home / f"replaced-{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}Z"
    if (home / DATABASE).exists():
        make_private_folder(aside)
        _settle(home / DATABASE)
        os.link(home / DATABASE, aside / DATABASE)
        for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):  # of another database's, they do harm
            if (home / name).exists():
                os.replace(home / name, aside / name)
    if (arrived / SETTINGS).exists():
        if (home / SETTINGS).exists():
            make_private_folder(aside)
            os.link(home / SETTINGS, aside / SETTINGS)
        os.replace(arrived / SETTINGS, home / SETTINGS)
    for name in DERIVED:
        shutil.rmtree(home / name, ignore_errors=True)
    os.replace(arrived / DATABASE, home / DATABASE)
    fsync_folder(home)


def _settle(path: Path) -> None:
    """All of the old database is in its one file, unless it is too damaged for that."""
    with contextlib.suppress(MachineError):
        database = Database(path)
        try:
            database.row("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.close()
