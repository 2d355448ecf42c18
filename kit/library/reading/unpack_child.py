"""The child process that takes one archive apart: a job on stdin, its members as files.

Runs alone in its cage, as kit/library/reading/parse_child.py does. Knows archives, not documents.
Invariant: what is written is counted as it is written, never as the archive declares it.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from kit.errors import DocumentRefused
from kit.files import format_bytes
from kit.isolate import die_with_parent
from kit.library.reading import cage
from kit.library.reading.junk import why_junk

MAX_MEMBERS = 10_000
MAX_MEMBER_BYTES = 256 << 20
MAX_TOTAL_BYTES = 2 << 30
MAX_RATIO = 250  # documents are packed by 2 to 20; runs of zeros by 1000
MIN_RATIO_BYTES = 32 << 20  # below this even an absurd ratio does no harm
MAX_SKIPPED_SHOWN = 200
BLOCK_BYTES = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)


def main() -> None:
    """Confine, unpack, write the result."""
    job = json.loads(sys.stdin.buffer.readline())
    die_with_parent(job["parent_pid"])
    result_stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cage.limit_resources(
        memory_bytes=job["memory_mb"] << 20, cpu_s=job["cpu_s"], file_bytes=MAX_MEMBER_BYTES
    )
    path = Path(job["path"])
    cage.confine(readable=[*cage.python_folders(), path], writable=[Path.cwd()])
    result_stream.write(json.dumps(_run(path, job["name"])).encode("utf-8", "replace"))
    result_stream.close()


def _run(path: Path, name: str) -> dict[str, Any]:
    try:
        return unpack(path, name, Path.cwd())
    except DocumentRefused as problem:
        return {"refused": problem.message, "hint": problem.hint}
    except MemoryError:
        return {"refused": "out_of_memory", "hint": None}


def unpack(path: Path, name: str, folder: Path) -> dict[str, Any]:
    """``{"is_archive", "members": [{"name", "file"}], "skipped": [[name, why]]}``; the members lie
    in `folder` under numbers.

    Raises: DocumentRefused for a bomb, a damaged archive, or one that is locked as a whole.
    """
    try:
        return _unpack(path, name, folder)
    except DocumentRefused:
        raise
    except (*_DAMAGE, RuntimeError, ValueError, NotImplementedError) as problem:
        raise DocumentRefused(
            f"the archive is cut short or damaged ({type(problem).__name__}: {str(problem)[:120]})",
            hint="copy or download it again, then add it again",
        ) from problem


def _unpack(path: Path, name: str, folder: Path) -> dict[str, Any]:
    out = _Out(folder, path.stat().st_size)
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            if _is_document(archive):
                return {"is_archive": False}
            _take_zip(archive, out)
    elif head[257:262] == b"ustar":
        with path.open("rb") as stream:
            _take_tar(stream, out)
    else:
        _take_compressed(path, name, out)
    return {"is_archive": True, "members": out.members, "skipped": out.skipped}


def _is_document(archive: zipfile.ZipFile) -> bool:
    names = set(archive.namelist())
    return bool(names & {"[Content_Types].xml", "mimetype"})


class _Out:
    """Where members are written, within the limits."""

    def __init__(self, folder: Path, packed_bytes: int) -> None:
        self._folder, self._packed_bytes = folder, packed_bytes
        self._num_bytes = 0
        self.members: list[dict[str, Any]] = []
        self.skipped: list[tuple[str, str]] = []

    def skip(self, name: str, why: str) -> None:
        self.skipped.append((_shown(name), why))

    def count(self, num_bytes: int) -> None:
        """Threat: an archive that unpacks to thousands of times its size."""
        self._num_bytes += num_bytes
        is_dense = (
            self._num_bytes > MIN_RATIO_BYTES and self._num_bytes > MAX_RATIO * self._packed_bytes
        )
        if is_dense or self._num_bytes > MAX_TOTAL_BYTES:
            raise DocumentRefused(
                f"the archive of {format_bytes(self._packed_bytes)} unpacks to more than"
                f" {format_bytes(self._num_bytes)}; that is not an ordinary archive",
                hint="if you trust it, unpack it yourself and add the files inside",
            )

    def refuse_more(self, number: int) -> None:
        if number > MAX_MEMBERS:
            raise DocumentRefused(
                f"the archive holds more than {MAX_MEMBERS:,} files",
                hint="unpack it yourself and add the folder: kit docs sync FOLDER",
            )

    def take(self, name: str, stream: IO[bytes], *, is_counted: bool = True) -> None:
        """The member is a file, or is skipped for its size."""
        target = self._folder / str(len(self.members))
        num_bytes = 0
        with target.open("wb") as out:
            while block := stream.read(BLOCK_BYTES):
                num_bytes += len(block)
                if is_counted:
                    self.count(len(block))
                if num_bytes > MAX_MEMBER_BYTES:
                    break
                out.write(block)
        if num_bytes > MAX_MEMBER_BYTES:
            target.unlink()
            self.skip(name, f"it is larger than {format_bytes(MAX_MEMBER_BYTES)}")
        else:
            self.members.append({"name": _shown(name), "file": len(self.members)})


def why_not(name: str) -> str | None:
    """Why a member of this name is left out; None if it is taken.

    Threat: a name that leaves its folder, for whoever unpacks what is exported again.
    """
    if name.startswith(("/", "\\")) or name[1:2] == ":" or "\0" in name:
        return "its name is an absolute path"
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or not parts:
        return "its name leads out of the archive"
    return next((why for why in map(why_junk, parts) if why), None)


def _take_zip(archive: zipfile.ZipFile, out: _Out) -> None:
    members = archive.infolist()
    out.refuse_more(len(members))
    if members and all(member.flag_bits & 1 for member in members if not member.is_dir()):
        raise DocumentRefused(
            "the archive is locked with a password",
            hint="unpack it with the password and add the files inside",
        )
    for member in members:
        if member.is_dir():
            continue
        kind = member.external_attr >> 16 & 0o170000
        why = why_not(member.filename)
        if kind not in (0, 0o100000):
            why = "it is a link or a device"
        if member.flag_bits & 1:
            why = "it is locked with a password"
        if why:
            out.skip(member.filename, why)
            continue
        with archive.open(member) as stream:
            out.take(member.filename, stream)


def _take_tar(stream: IO[bytes], out: _Out, *, is_counted: bool = True) -> None:
    number = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            number += 1
            out.refuse_more(number)
            if member.isdir():
                continue
            why = why_not(member.name) if member.isreg() else "it is a link or a device"
            content = archive.extractfile(member) if why is None else None
            if content is None:
                out.skip(member.name, why or "it cannot be read")
                continue
            out.take(member.name, content, is_counted=is_counted)


def _take_compressed(path: Path, name: str, out: _Out) -> None:
    """A compressed tar, or a single compressed file."""
    with _Counted(path, out) as counted:
        head = counted.peek(512)
        if head[257:262] == b"ustar":
            _take_tar(counted, out, is_counted=False)  # type: ignore[arg-type]
            return
        inner = PurePosixPath(name.replace("\\", "/")).name
        stem = inner.rpartition(".")[0] if inner.lower().endswith((".gz", ".bz2", ".xz")) else inner
        out.take(stem or "content", counted, is_counted=False)  # type: ignore[arg-type]


class _Counted:
    """A decompressed stream of which every byte is counted, wanted or not."""

    def __init__(self, path: Path, out: _Out) -> None:
        with path.open("rb") as stream:
            head = stream.read(6)
        opener: Any = gzip.open if head.startswith(b"\x1f\x8b") else bz2.open
        self._stream: IO[bytes] = (lzma.open if head.startswith(b"\xfd7zXZ") else opener)(path)
        self._out = out
        self._ahead = b""

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def peek(self, size: int) -> bytes:
        self._ahead = self._stream.read(size)
        return self._ahead

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        if self._ahead:
            block, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            block = self._stream.read(min(size, BLOCK_BYTES))
        self._out.count(len(block))
        return block

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    main()
