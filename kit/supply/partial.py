"""A file that is on its way: NAME.part with its bytes, NAME.part.json with what they belong to.

Invariants: one process writes a partial at a time; NAME itself appears only by `finish`, after
its digest was right; bytes of one content are never continued with bytes of another.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from kit.errors import AlreadyRunning
from kit.files import BLOCK_BYTES, fsync_folder, write_atomic
from kit.supply.sources.source import RemoteFile


@dataclass(frozen=True)
class Origin:
    """What the bytes of a partial belong to; another origin is another content."""

    source: str
    revision: str
    size_bytes: int | None
    sha256: str | None
    git_sha1: str | None
    etag: str


class Partial:
    """The partial of `final`, locked for this process while it is open."""

    def __init__(self, final: Path, file: RemoteFile, source: str, revision: str) -> None:
        self.final = final
        self.path = final.with_name(final.name + ".part")
        self._note = final.with_name(final.name + ".part.json")
        self._file, self._source, self._revision = file, source, revision
        self._etag = ""
        self._out: IO[bytes] | None = None

    def __enter__(self) -> Partial:
        """Bytes that are here and belong to the same origin stay; others are cut away.

        Raises: AlreadyRunning if another process writes it.
        """
        self.final.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        self._out = os.fdopen(handle, "r+b", buffering=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(handle).st_ino == self.path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):  # or it was finished while we opened it
            is_ours = False
        if not is_ours:
            self._out.close()
            raise AlreadyRunning(
                f"another kit is fetching {self.final.name}", hint="wait until it is done"
            )
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def _stream(self) -> IO[bytes]:
        if self._out is None:
            raise RuntimeError("the partial is not open")
        return self._out

    def _begin(self) -> None:
        known = self._read_note()
        self._etag = known.etag if known else ""
        expected = self._file.size_bytes
        if known != self._origin() or (expected is not None and self.size_bytes > expected):
            self.restart("")

    def _origin(self) -> Origin:
        file = self._file
        return Origin(
            self._source, self._revision, file.size_bytes, file.sha256, file.git_sha1, self._etag
        )

    def _read_note(self) -> Origin | None:
        try:
            return Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._stream.fileno()).st_size

    def continues(self, etag: str) -> bool:
        """True if bytes of that etag continue the ones that are here."""
        return self.size_bytes > 0 and etag == self._etag

    def restart(self, etag: str) -> None:
        """Empty, and waiting for bytes of that etag."""
        self._stream.truncate(0)
        self._etag = etag
        write_atomic(self._note, json.dumps(asdict(self._origin())).encode())

    def append(self, block: bytes) -> None:
        """The block is behind the bytes that are here. Raises OSError; then a part of it may be."""
        self._stream.seek(0, os.SEEK_END)
        rest = memoryview(block)
        while rest:
            rest = rest[self._stream.write(rest) :]

    def digests(self) -> tuple[str, str]:
        """(sha256, git blob sha1) of what is on the disk, read back from it."""
        self._stream.seek(0)
        return digests_of(self._stream, self.size_bytes)

    def finish(self) -> None:
        """The partial is the file; from here on it survives a power cut."""
        os.fsync(self._stream.fileno())
        os.replace(self.path, self.final)
        fsync_folder(self.final.parent)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Nothing of it is left."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._note.unlink(missing_ok=True)


def digests_of(stream: IO[bytes], size_bytes: int) -> tuple[str, str]:
    """(sha256, git blob sha1) of the stream's bytes from here on, read once."""
    sha256 = hashlib.sha256()
    sha1 = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    for block in _blocks(stream):
        sha256.update(block)
        sha1.update(block)
    return sha256.hexdigest(), sha1.hexdigest()


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(BLOCK_BYTES):
        yield block
