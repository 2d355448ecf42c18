"""What lies in a folder: every file that may be a document, and why the others are not.

Knows the file system, nothing of the library. Invariants: no link is followed, so nothing outside
the folder is looked at; a folder that cannot be opened is named, never taken for an empty one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import MachineError
from kit.files import format_bytes
from kit.library.reading.junk import why_junk


@dataclass(frozen=True)
class Found:
    """A file as the folder lists it; three numbers tell whether it changed without reading it."""

    path: str
    """Inside the folder, with '/'; bytes that are no UTF-8 as surrogates."""
    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass
class Scan:
    """One look into a folder."""

    files: list[Found] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(path, why)."""
    unopened: list[str] = field(default_factory=list)
    """Paths that cannot be looked into: what they hold is not known."""

    def may_hold(self, path: str) -> bool:
        """Whether a file that was not found may still be there."""
        return any(path == place or path.startswith(f"{place}/") for place in self.unopened)


def scan_folder(folder: Path, *, max_bytes: int) -> Scan:
    """Everything under the folder. Raises: MachineError if it is not there or cannot be opened."""
    scan = Scan()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(folder / inside) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = f"{inside}/{entry.name}" if inside else entry.name
                    if _look(scan, entry, path, max_bytes):
                        waiting.append(path)
        except OSError as problem:
            if not inside:
                raise MachineError(
                    f"the folder {folder} cannot be opened: {problem.strerror}",
                    hint="is the share mounted, and may this user read it? nothing was changed",
                ) from None
            scan.unopened.append(inside)
            scan.skipped.append((inside, f"the folder cannot be opened: {problem.strerror}"))
    return scan


def _look(scan: Scan, entry: os.DirEntry[str], path: str, max_bytes: int) -> bool:
    """Note the entry; True if it is a folder to look into."""
    why = why_junk(entry.name)
    if why is None and entry.is_symlink():
        why = "a link, which is not followed"
    if why is None and entry.is_dir(follow_symlinks=False):
        return True
    if why is None and not entry.is_file(follow_symlinks=False):
        why = "no regular file"
    if why is None:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False  # it went this moment
        if status.st_size <= max_bytes:
            found = Found(path, status.st_size, status.st_mtime_ns, status.st_ino)
            scan.files.append(found)
            return False
        why = f"larger than {format_bytes(max_bytes)}, the largest file that is read"
        scan.unopened.append(path)  # an earlier version of it is not taken for removed
    scan.skipped.append((path, why))
    return False
