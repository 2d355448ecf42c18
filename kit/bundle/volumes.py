"""Files cut into pieces of one size, for sticks and discs that hold no larger file.

The files lie one after the other, in the order of their names, and are cut at every `volume_bytes`.
One piece more is the exclusive or of all others, so that any one that is lost or damaged can be
computed from the rest. Knows the manifest's names, no signature.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from kit.bundle.manifest import FileEntry, Manifest
from kit.errors import BundleError
from kit.files import BLOCK_BYTES, atomic_path

VOLUME, RECOVERY = "volume-{:03}.bin", "volume-recovery.bin"
Progress = Callable[[int], None]


class Cut(io.RawIOBase):
    """The bytes from `start` to `end` of all volumes taken together, as a stream."""

    def __init__(self, paths: Sequence[Path], sizes: Sequence[int], start: int, end: int) -> None:
        self._paths, self._sizes = list(paths), list(sizes)
        self._at, self._end = start, end
        self._stream: IO[bytes] | None = None
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._end - self._at)
        if wanted <= 0:
            return 0
        if not self._left:
            self._open_next()
        block = self._stream.read(min(wanted, self._left)) if self._stream else b""
        if not block:
            raise BundleError(f"the volumes end early, at byte {self._at:,}")
        buffer[: len(block)] = block
        self._at += len(block)
        self._left -= len(block)
        return len(block)

    def _open_next(self) -> None:
        """The volume that holds the next byte, at that byte."""
        start = 0
        for path, size in zip(self._paths, self._sizes):  # noqa: B905 - strict= is of 3.10
            if self._at < start + size:
                self.close_stream()
                self._stream = path.open("rb")
                self._stream.seek(self._at - start)
                self._left = start + size - self._at
                return
            start += size

    def close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self.close_stream()
        super().close()


@contextlib.contextmanager
def open_entry(folder: Path, manifest: Manifest, entry: FileEntry) -> Iterator[IO[bytes]]:
    """A file of the bundle as a stream, wherever its bytes lie. They are not checked here."""
    cut = manifest.cut
    if entry not in cut:
        with (folder / entry.path).open("rb") as stream:
            yield stream
        return
    start = sum(file.size_bytes for file in cut[: cut.index(entry)])
    volumes = [volume for volume in manifest.volumes if volume.kind == "volume"]
    paths = [folder / volume.path for volume in volumes]
    sizes = [volume.size_bytes for volume in volumes]
    stream = io.BufferedReader(Cut(paths, sizes, start, start + entry.size_bytes), BLOCK_BYTES)
    with stream:
        yield stream


class VolumeWriter:
    """Writes what it is fed into volumes of one size, and the recovery volume beside them."""

    def __init__(self, folder: Path, volume_bytes: int) -> None:
        self._folder, self._volume_bytes = folder, volume_bytes
        self._entries: list[FileEntry] = []
        self._stream: IO[bytes] | None = None
        self._digest, self._size = hashlib.sha256(), 0
        self._recovery = (folder / RECOVERY).open("w+b")

    def write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            if self._stream is None:
                path = self._folder / VOLUME.format(len(self._entries) + 1)
                self._stream = path.open("wb")
                self._digest, self._size = hashlib.sha256(), 0
            part = view[: min(len(view), self._volume_bytes - self._size)]
            self._stream.write(part)
            self._digest.update(part)
            _xor_into(self._recovery, self._size, part)
            self._size += len(part)
            view = view[len(part) :]
            if self._size == self._volume_bytes:
                self._finish_volume()

    def _finish_volume(self) -> None:
        if self._stream is None:
            return
        name = Path(self._stream.name).name
        self._stream.close()
        self._stream = None
        self._entries.append(FileEntry(name, self._size, self._digest.hexdigest(), "volume"))

    def close(self) -> tuple[FileEntry, ...]:
        """The volumes as the manifest lists them, the recovery volume last."""
        self._finish_volume()
        self._recovery.seek(0)
        digest, size = hashlib.sha256(), 0
        while block := self._recovery.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
        self._recovery.close()
        return (*self._entries, FileEntry(RECOVERY, size, digest.hexdigest(), "recovery"))


def _xor_into(stream: IO[bytes], at: int, block: memoryview) -> None:
    for start in range(0, len(block), BLOCK_BYTES):
        part = bytes(block[start : start + BLOCK_BYTES])
        stream.seek(at + start)
        old = stream.read(len(part))
        stream.seek(at + start)
        stream.write(xor(part, old))


def xor(a: bytes, b: bytes) -> bytes:
    """Byte by byte; the shorter one counts as followed by zeros."""
    size = max(len(a), len(b))
    number = int.from_bytes(a.ljust(size, b"\0"), "little")
    return (number ^ int.from_bytes(b.ljust(size, b"\0"), "little")).to_bytes(size, "little")


def repair(
    folder: Path, manifest: Manifest, lost: FileEntry, on_progress: Progress = lambda _done: None
) -> None:
    """The lost volume is there again, checked against its digest before it takes its name.

    Raises: BundleError if the others do not give it back.
    """
    others = [folder / volume.path for volume in manifest.volumes if volume is not lost]
    digest, left = hashlib.sha256(), lost.size_bytes
    with atomic_path(folder / lost.path) as temporary, temporary.open("wb") as out:
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(path.open("rb")) for path in others]
            while left > 0:
                block = _xor_all(stream.read(BLOCK_BYTES) for stream in streams)[:left]
                if not block:
                    raise BundleError(f"{lost.path} cannot be computed: the others are too short")
                out.write(block)
                digest.update(block)
                left -= len(block)
                on_progress(lost.size_bytes - left)
        out.flush()
        if digest.hexdigest() != lost.sha256:
            raise BundleError(
                f"{lost.path} cannot be computed: another volume is damaged too",
                hint="copy the volumes again",
            )


def _xor_all(blocks: Iterable[bytes]) -> bytes:
    result = b""
    for block in blocks:
        result = xor(result, block)
    return result
