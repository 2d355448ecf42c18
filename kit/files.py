"""Durable, checked file operations: every lasting write of the kit goes through here.

Knows nothing of what the files mean. Keeps one invariant: a file under its final name is whole;
a write that is cut short leaves only a temporary name behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kit.errors import DiskFull, MachineError, UsageError

BLOCK_BYTES = 1 << 20
DISK_FLOOR_BYTES = 256 << 20  # below this much free space nothing new is stored


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """A full disk, a read-only folder or a missing right is an error that says what to do."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left while writing {path}",
                hint="free some space, or set another folder: KIT_HOME=/path or --home /path",
            ) from problem
        if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise MachineError(
                f"cannot write {path}: {problem.strerror}",
                hint="give this user the right to write there, or use another folder: --home /path",
            ) from problem
        if problem.errno in (errno.ENOTDIR, errno.EEXIST):
            raise MachineError(
                f"cannot write {path}: a file stands where a folder is needed",
                hint="move that file away, or choose another folder: --home /path",
            ) from problem
        if problem.errno == errno.EIO:
            raise MachineError(
                f"the disk reports an error at {path}: {problem.strerror}",
                hint="look at the disk: dmesg | tail; nothing is lost that was on it before",
            ) from problem
        raise


def sha256_file(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):  # hashlib.file_digest is of Python 3.11
            digest.update(block)
    return digest.hexdigest()


def digests_differ(expected: str, observed: str) -> str:
    """What is said of a file whose SHA-256 is not the one that is known."""
    return f"sha256 expected {expected[:12]}…, observed {observed[:12]}…"


def copy_hashing(
    source: IO[bytes],
    destination: Path,
    *,
    max_bytes: int | None = None,
    on_progress: Callable[[int], None] = lambda _num_bytes: None,
) -> tuple[str, int]:
    """Copy a stream to `destination` durably, reading each byte once.

    Returns: (sha256 hex digest, size in bytes). `on_progress` receives the bytes written so far.
    Raises: UsageError if the stream holds more than `max_bytes`; DiskFull, MachineError.
    """
    digest, size_bytes = hashlib.sha256(), 0
    with (
        explain_os_errors(destination),
        atomic_path(destination) as temporary,
        temporary.open("wb") as out,
    ):
        while block := source.read(BLOCK_BYTES):
            size_bytes += len(block)
            if max_bytes is not None and size_bytes > max_bytes:
                raise UsageError(f"{destination.name} is larger than {format_bytes(max_bytes)}")
            digest.update(block)
            out.write(block)
            on_progress(size_bytes)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), size_bytes


@contextlib.contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """A temporary path beside `destination` that takes its name only if the block succeeds."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.replace(temporary, destination)
        fsync_folder(destination.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(destination: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file's content as a whole; readers see the old or the new, never a mixture."""
    with explain_os_errors(destination), atomic_path(destination) as temporary:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(mode)


def fsync_folder(folder: Path) -> None:
    """Make a rename or a new name in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def safe_join(root: Path, name: str) -> Path:
    """The path of `name` inside `root`.

    Threat: a name from a bundle, archive or request that leaves its folder ("../", absolute, NUL).
    Raises: UsageError if it would.
    """
    parts = Path(name).parts
    if not parts or "\0" in name or Path(name).is_absolute() or ".." in parts:
        raise UsageError(f"unsafe path: {name!r}")
    return root.joinpath(*parts)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise DiskFull unless `needed_bytes` plus a floor are free where `folder` will lie."""
    existing = next(p for p in [folder, *folder.parents] if p.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes + DISK_FLOOR_BYTES:
        raise DiskFull(
            f"not enough space in {existing}: {format_bytes(needed_bytes + DISK_FLOOR_BYTES)} "
            f"expected, {format_bytes(free_bytes)} free",
            hint="free some space, or set another folder: KIT_HOME=/path or --home /path",
        )


def require_writable_folder(folder: Path) -> None:
    """Create the folder if need be and prove that a file can be written there."""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
            probe.flush()


def make_private_folder(folder: Path) -> None:
    """Create the folder if need be, for this user alone; one that is there stays as it is."""
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def format_bytes(size_bytes: int) -> str:
    """98362432 -> '93.8 MiB'."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{int(size)} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
