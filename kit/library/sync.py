"""The library follows a folder: what is new, changed, moved or gone there is so here.

Knows folders and documents, not how documents are read. Invariants: a file is read only if its
size, time or inode changed; every step is durable by itself, so a cut sync goes on where it was; a
share that vanished removes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from kit.errors import KitError, MachineError, UsageError
from kit.files import BLOCK_BYTES
from kit.library.folders import Folder, Folders, Known, forget_file, write_file
from kit.library.lineage import rename, settle
from kit.library.reading.scan import Found, Scan, scan_folder
from kit.library.store import Library, clean_name, insert_document

MIN_GONE = 10  # fewer files than this may go at once without a question
MAX_GONE_FRACTION = 0.5
T = TypeVar("T")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What differs between a folder and what is known of it, before any file is read."""

    unchanged: tuple[Known, ...]
    suspects: tuple[Found, ...]
    """Known paths whose size, time or inode changed: to be hashed."""
    moved: tuple[tuple[Known, Found], ...]
    """The same file by inode, size and time, at another path."""
    new: tuple[Found, ...]
    gone: tuple[Known, ...]


@dataclass
class Summary:
    """What a sync did, or would do: paths inside the folder."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Gone from the folder, and kept in the library."""
    num_unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    document_ids: list[str] = field(default_factory=list)
    """Of what was added or changed."""

    def counts(self) -> dict[str, int]:
        names = ("added", "changed", "moved", "removed", "kept", "skipped")
        counts = {name: len(getattr(self, name)) for name in names}
        return counts | {"unchanged": self.num_unchanged}


def make_plan(known: dict[str, Known], scan: Scan, *, rehash: bool) -> Plan:
    """Compare. With `rehash` no file is believed to be unchanged."""
    found = {file.path: file for file in scan.files}
    gone = {
        path: one for path, one in known.items() if path not in found and not scan.may_hold(path)
    }
    by_inode = {(k.file.inode, k.file.size_bytes, k.file.mtime_ns): k for k in gone.values()}
    unchanged: list[Known] = []
    suspects, moved, new = [], [], []
    for file in scan.files:
        before = known.get(file.path)
        if before is not None and before.file == file and not rehash:
            unchanged.append(before)
        elif before is not None:
            suspects.append(file)
        elif one := by_inode.pop((file.inode, file.size_bytes, file.mtime_ns), None):
            del gone[one.file.path]
            moved.append((one, file))
        else:
            new.append(file)
    gone_now = tuple(gone.values())
    return Plan(tuple(unchanged), tuple(suspects), tuple(moved), tuple(new), gone_now)


def sync_folder(
    library: Library,
    folder: Folder,
    *,
    max_bytes: int,
    rehash: bool = False,
    force: bool = False,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Summary:
    """Bring the library in line with the folder; what changed waits to be read.

    Raises: MachineError if the folder is not there; UsageError if so much is gone that a share may
    have vanished, unless `force`, or if the folder is being followed at this moment; DiskFull.
    """
    folders = Folders(library.database)
    with _alone(library.home):
        try:
            scan = scan_folder(folder.path, max_bytes=max_bytes)
            plan = make_plan(folders.files(folder), scan, rehash=rehash)
            if not force:
                _require_plausible(folder, plan, scan)
            sync = _Sync(library, folder, plan, scan, dry_run=dry_run, on_progress=on_progress)
            summary = sync.run()
        except KitError as problem:
            if not dry_run:
                folders.note_scan(folder, {}, problem.message)
            raise
        if not dry_run:
            folders.note_scan(folder, summary.counts(), None)
        return summary


def _require_plausible(folder: Folder, plan: Plan, scan: Scan) -> None:
    """Threat: a share that is not mounted looks like a folder from which everything was deleted."""
    num_known = len(plan.gone) + len(plan.unchanged) + len(plan.suspects) + len(plan.moved)
    if folder.keeps_missing or not plan.gone:
        return
    is_empty = not scan.files
    is_much = len(plan.gone) >= MIN_GONE and len(plan.gone) > MAX_GONE_FRACTION * num_known
    if is_empty or is_much:
        what = "it is empty" if is_empty else f"{len(plan.gone):,} of them are gone"
        raise UsageError(
            f"{folder.path} held {num_known:,} files when it was last looked into, and now {what};"
            " nothing was changed",
            hint="is the share mounted? if they were deleted on purpose: kit docs sync"
            f" {folder.path} --force",
        )


class _Sync:
    """One sync. Additions come before removals, so that what moved is not read again."""

    def __init__(
        self,
        library: Library,
        folder: Folder,
        plan: Plan,
        scan: Scan,
        *,
        dry_run: bool,
        on_progress: OnProgress,
    ) -> None:
        self._library, self._folder, self._plan = library, folder, plan
        self._dry_run, self._on_progress = dry_run, on_progress
        self._summary = Summary(num_unchanged=len(plan.unchanged))
        self._summary.skipped = [(shown(path), why) for path, why in scan.skipped]
        self._gone = {one.file.path: one for one in plan.gone}

    def run(self) -> Summary:
        for one in self._plan.unchanged:
            if one.document_id is None:
                self._skip(one.file.path, "its document was removed from the library by a person")
                self._summary.num_unchanged -= 1
        known = Folders(self._library.database).files(self._folder)
        files = [*self._plan.suspects, *self._plan.new]
        for one, file in self._plan.moved:
            if not self._move(one, file):
                self._gone[one.file.path] = one
                files.append(file)
        for number, file in enumerate(files, start=1):
            self._on_progress("reading the folder", number, len(files))
            try:
                self._take(file, known.get(file.path))
            except OSError as problem:
                self._skip(file.path, f"it cannot be opened: {problem.strerror}")
            except (_Unsettled, UsageError) as problem:
                self._skip(file.path, str(problem))
        for one in list(self._gone.values()):
            self._remove(one)
        return self._summary

    def _skip(self, path: str, why: str) -> None:
        self._summary.skipped.append((shown(path), why))

    def _take(self, file: Found, before: Known | None) -> None:
        """A file that is new, or looks changed."""
        is_twin = any(one.file.size_bytes == file.size_bytes for one in self._gone.values())
        if before is not None or is_twin or self._dry_run:
            sha256 = self._read(file, _hash)
            if before is not None and before.sha256 == sha256 and before.document_id is not None:
                self._note(file, sha256, before.document_id)
                self._summary.num_unchanged += 1
                return
            twin = next((one for one in self._gone.values() if one.sha256 == sha256), None)
            if before is None and twin is not None and self._move(twin, file):
                return
        what = self._summary.added if before is None else self._summary.changed
        what.append(shown(file.path))
        if self._dry_run:
            return
        sha256, size_bytes = self._read(file, self._library.keep)
        with self._library.database.write() as connection:
            added = (
                *(self._name(file), self._folder.collection_id, self._folder.added_by),
                *(sha256, size_bytes),
            )
            document_id, _ = insert_document(connection, added)
            write_file(connection, self._folder, file, sha256, document_id)
        self._summary.document_ids.append(document_id)

    def _move(self, one: Known, file: Found) -> bool:
        """The document has its new name; False if there is one of that name and content already."""
        name = self._name(file)
        if not self._dry_run:
            with self._library.database.write() as connection:
                taken = connection.execute(
                    "SELECT 1 FROM documents WHERE collection_id = ? AND sha256 = ? AND name = ?",
                    (self._folder.collection_id, one.sha256, name),
                )
                if next(iter(taken), None) is not None:
                    return False
                if one.document_id is not None:
                    rename(connection, one.document_id, name)
                    settle(connection, one.document_id)
                forget_file(connection, self._folder, one.file.path)
                write_file(connection, self._folder, file, one.sha256, one.document_id)
        self._gone.pop(one.file.path, None)
        self._summary.moved.append((shown(one.file.path), shown(file.path)))
        return True

    def _remove(self, one: Known) -> None:
        """A file that is gone from the folder."""
        kept = self._folder.keeps_missing
        (self._summary.kept if kept else self._summary.removed).append(shown(one.file.path))
        if self._dry_run:
            return
        if not kept and one.document_id is not None:
            with contextlib.suppress(KitError):  # a person was first
                self._library.remove(one.document_id, self._folder.added_by)
        with self._library.database.write() as connection:
            forget_file(connection, self._folder, one.file.path)

    def _note(self, file: Found, sha256: str, document_id: str | None) -> None:
        if not self._dry_run:
            with self._library.database.write() as connection:
                write_file(connection, self._folder, file, sha256, document_id)

    def _name(self, file: Found) -> str:
        return clean_name(f"{self._folder.name}/{shown(file.path)}")

    def _read(self, file: Found, use: Callable[[IO[bytes]], T]) -> T:
        """Threat: a file that is exchanged for a link while it is looked at. Raises: OSError;
        _Unsettled if it is not the file that was found, or changes meanwhile.
        """
        path = self._folder.path / file.path
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if _state(stream) != (file.size_bytes, file.mtime_ns, file.inode):
                raise _Unsettled("it changed while it was looked at; the next sync reads it")
            result = use(stream)
            if _state(stream) != (file.size_bytes, file.mtime_ns, file.inode):
                raise _Unsettled("it is being written; the next sync reads it")
            return result


class _Unsettled(Exception):
    """A file that is not the same from one moment to the next."""


def _state(stream: IO[bytes]) -> tuple[int, int, int]:
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ino


def _hash(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two syncs at the same time would each take the other's additions for their own."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    with (home / "tmp" / "sync.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MachineError(
                "another sync of this library is running",
                hint="try again in a moment; the running kit looks into watched folders by itself",
            ) from None
        yield


def shown(path: str) -> str:
    """A path of the file system as text: bytes that are no UTF-8 show as a replacement mark."""
    return os.fsencode(path).decode("utf-8", "replace")
