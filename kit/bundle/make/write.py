"""Parts to a signed bundle in a folder: copied, hashed, listed, signed.

Knows parts and keys, not where parts come from. Invariant: the same parts, times and key give the
same bytes, from any folder on any day; a bundle that was cut short has no signature and is none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kit.bundle import minisign
from kit.bundle.manifest import (
    CHECKSUMS,
    FRONT_KINDS,
    MANIFEST,
    SIGNATURE,
    FileEntry,
    Manifest,
    find_problems,
)
from kit.bundle.minisign import SecretKey
from kit.bundle.volumes import VolumeWriter
from kit.errors import BundleError, Problem, UsageError
from kit.files import BLOCK_BYTES, explain_os_errors, fsync_folder, require_space, write_atomic

Progress = Callable[[str, int, int], None]
"""(the file, bytes written so far, bytes in all)"""


@dataclass(frozen=True)
class Part:
    """One file on its way into a bundle: from the disk, or made for it."""

    path: str
    kind: str
    source: Path | bytes
    licence: str = ""

    @property
    def size_bytes(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def open(self) -> IO[bytes]:
        """Its bytes. Raises: UsageError if it is no plain file."""
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if self.source.is_symlink() and not self.source.resolve().is_file():
            raise UsageError(f"{self.source} is no file")
        return self.source.open("rb")


def write_bundle(
    folder: Path,
    parts: Sequence[Part],
    template: Manifest,
    key: SecretKey,
    *,
    base: Manifest | None = None,
    volume_bytes: int = 0,
    on_progress: Progress = lambda _path, _done, _total: None,
) -> Manifest:
    """The bundle is in `folder`, which must be new or empty; its manifest as it was signed.

    `template` carries everything but files and volumes. With a `base` files that it has are listed
    and left out. `volume_bytes` > 0 cuts all but the front into volumes.
    Raises: UsageError (folder, names), BundleError (twins), DiskFull.
    """
    require_empty(folder)
    parts = sorted(parts, key=lambda part: part.path)
    known = {file.sha256: file for file in base.files} if base else {}
    require_space(folder, sum(part.size_bytes for part in parts))
    writer = _Writer(folder, volume_bytes, known, on_progress, parts)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = tuple(writer.write(part) for part in parts)
        volumes = writer.close()
    manifest = dataclasses.replace(
        template, files=files, volumes=volumes, base_sha256=base.sha256 if base else ""
    )
    if problems := find_problems(manifest):
        raise BundleError("these parts make no bundle", problems=problems)
    comment = f"kit bundle {manifest.name} {manifest.version} made {manifest.created}"
    raw = manifest.to_bytes()
    write_atomic(folder / CHECKSUMS, manifest.checksums().encode())
    write_atomic(folder / MANIFEST, raw)
    write_atomic(folder / SIGNATURE, minisign.sign(key, raw, comment).encode())
    return manifest


def require_empty(folder: Path) -> None:
    """A bundle can be written there: the folder is new or empty. Raises: UsageError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already and not empty",
            hint="choose another --output, or remove it",
        )


class _Writer:
    """Writes parts in order and remembers what they were."""

    def __init__(
        self,
        folder: Path,
        volume_bytes: int,
        known: dict[str, FileEntry],
        on_progress: Progress,
        parts: Sequence[Part],
    ) -> None:
        self._folder, self._known, self._on_progress = folder, known, on_progress
        self._done, self._total = 0, sum(part.size_bytes for part in parts)
        folder.mkdir(parents=True, exist_ok=True)
        self._volumes = VolumeWriter(folder, volume_bytes) if volume_bytes else None

    def write(self, part: Part) -> FileEntry:
        digest, size = self._digest(part) if self._known else ("", 0)
        if digest in self._known and part.kind not in FRONT_KINDS:
            self._tell(part, size)
            return FileEntry(part.path, size, digest, part.kind, part.licence, is_in_base=True)
        if self._volumes is not None and part.kind not in FRONT_KINDS:
            digest, size = self._copy(part, self._volumes.write)
        else:
            digest, size = self._copy_to_file(part)
        return FileEntry(part.path, size, digest, part.kind, part.licence)

    def _digest(self, part: Part) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with part.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
        return digest.hexdigest(), size

    def _copy_to_file(self, part: Part) -> tuple[str, int]:
        destination = self._folder / part.path
        if destination.exists():
            raise BundleError("two parts have one name", problems=[Problem(part.path, "twice")])
        destination.parent.mkdir(parents=True, exist_ok=True)
        with destination.open("xb") as out:
            found = self._copy(part, out.write)
            out.flush()
            os.fsync(out.fileno())
            os.fchmod(out.fileno(), 0o755 if part.kind == "installer" else 0o644)
        fsync_folder(destination.parent)
        return found

    def _copy(self, part: Part, write: Callable[[bytes], object]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with part.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                write(block)
                size += len(block)
                self._tell(part, len(block))
        return digest.hexdigest(), size

    def _tell(self, part: Part, num_bytes: int) -> None:
        self._done += num_bytes
        self._on_progress(part.path, self._done, self._total)

    def close(self) -> tuple[FileEntry, ...]:
        return self._volumes.close() if self._volumes is not None else ()
