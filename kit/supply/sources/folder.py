"""A folder as a source: a disk, a USB stick, a share.

Knows SHA256SUMS beside the files. Without one a file's digest is what is read here: whoever
carried the folder answers for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kit.errors import FetchError
from kit.files import BLOCK_BYTES, safe_join
from kit.supply.sources import sums
from kit.supply.sources.source import Interrupted, RemoteFile, RemoteStream


class FolderSource:
    """The files below one folder; names that begin with a dot are not seen."""

    must_state_digests = False
    revision = ""

    def __init__(self, spec: str) -> None:
        self.folder = Path(spec.removeprefix("file://")).expanduser().absolute()
        self.name = str(self.folder)

    def list_files(self) -> tuple[RemoteFile, ...]:
        """Every file by name, with the digests of SHA256SUMS where it names them."""
        if not self.folder.is_dir():
            raise FetchError(
                f"there is no folder {self.folder}",
                hint="is the USB stick or share mounted? Then check the card's source",
            )
        try:
            found = [self._describe(path) for path in self._walk()]
            stated = {file.path: file.sha256 for file in self._sums()}
        except OSError as problem:
            raise FetchError(f"{self.folder} cannot be read: {problem.strerror}") from None
        return tuple(
            RemoteFile(file.path, file.size_bytes, stated.get(file.path), etag=file.etag)
            for file in found
        )

    def _walk(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if not name.startswith(".") and name != sums.NAME and path.is_file():
                    yield path

    def _describe(self, path: Path) -> RemoteFile:
        state = path.stat()
        return RemoteFile(
            path.relative_to(self.folder).as_posix(), state.st_size, etag=_etag(state)
        )

    def _sums(self) -> tuple[RemoteFile, ...]:
        path = self.folder / sums.NAME
        if not path.is_file():
            return ()
        with path.open("rb") as stream:
            return sums.parse_sums(
                stream.read(sums.MAX_BYTES).decode("utf-8", "replace"), str(path)
            )

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[RemoteStream]:
        """The file from `offset` on."""
        path = safe_join(self.folder, file.path)
        try:
            stream = path.open("rb")
        except OSError as problem:
            raise FetchError(
                f"{path} cannot be read: {problem.strerror}",
                hint="is the USB stick or share still there?",
            ) from None
        with stream:
            state = os.fstat(stream.fileno())
            stream.seek(offset)
            yield RemoteStream(offset, state.st_size, _etag(state), _blocks(stream, path))

    def close(self) -> None:
        """Nothing stays open between files."""


def _etag(state: os.stat_result) -> str:
    return f"{state.st_mtime_ns}-{state.st_size}"


def _blocks(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    while True:
        try:
            block = stream.read(BLOCK_BYTES)
        except OSError as problem:  # a stick that was pulled out, a worn sector
            raise Interrupted(f"{path} cannot be read: {problem.strerror}") from None
        if not block:
            return
        yield block
