"""A bundle is exactly what its signed manifest says: nothing missing, added or changed.

Knows the folder and whom to trust; installs nothing and changes nothing. Invariant: no byte of a
bundle but its manifest and signature is read before the signature was found right.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from kit.bundle import minisign
from kit.bundle.manifest import (
    CHECKSUMS,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    FileEntry,
    Manifest,
    parse_manifest,
)
from kit.bundle.minisign import PublicKey
from kit.errors import BundleError, Problem, UsageError
from kit.files import BLOCK_BYTES, digests_differ

MAX_SIGNATURE_BYTES = 8192
EXPIRED = "expired"
Progress = Callable[[str, int, int], None]
"""(the file, bytes checked so far, bytes in all)"""


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle whose every byte was checked. `comment` was signed with it; `notes` are remarks."""

    folder: Path
    manifest: Manifest
    key: PublicKey
    comment: str
    notes: tuple[str, ...] = ()


def read_signed_manifest(folder: Path, key: PublicKey) -> tuple[Manifest, str]:
    """(the manifest, the signed comment). Raises: BundleError, UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="name the folder of the bundle")
    raw = _read_small(folder / MANIFEST, MAX_MANIFEST_BYTES)
    signature = _read_small(folder / SIGNATURE, MAX_SIGNATURE_BYTES)
    comment = minisign.verify(key, raw, signature.decode("utf-8", "surrogateescape"))
    return parse_manifest(raw), comment


def _read_small(path: Path, max_bytes: int) -> bytes:
    """A small regular file. Threat: a link, a pipe or a file without end in its place."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BundleError(f"{path.name} is missing", hint="is this the bundle's folder?") from None
    except OSError as problem:
        raise BundleError(f"{path.name} cannot be read: {problem.strerror}") from None
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise BundleError(f"{path.name} is no plain file")
        raw = stream.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise BundleError(f"{path.name} has more than {max_bytes} bytes")
    return raw


def verify(
    folder: Path,
    key: PublicKey,
    *,
    now: datetime | None = None,
    allowed: Collection[str] = (),
    on_progress: Progress = lambda _path, _done, _total: None,
) -> VerifiedBundle:
    """Check signature, time, names, sizes and digests, in that order: what is quick comes first.

    `allowed` may hold EXPIRED. Raises: BundleError that names every bad file.
    """
    manifest, comment = read_signed_manifest(folder, key)
    notes = check_time(manifest, now or datetime.now(timezone.utc), allowed)  # noqa: UP017 - 3.9
    problems = [*find_strangers(folder, manifest), *wrong_sizes(folder, manifest.on_disk)]
    bad = {problem.where for problem in problems}
    problems += _wrong_digests(
        folder, [file for file in manifest.on_disk if file.path not in bad], on_progress
    )
    problems += _wrong_checksums(folder, manifest)
    if problems:
        raise damaged(manifest, problems)
    return VerifiedBundle(folder, manifest, key, comment, notes)


def damaged(manifest: Manifest, problems: Sequence[Problem]) -> BundleError:
    """The error for a bundle with these problems; one bad volume can be repaired."""
    volumes = {volume.path for volume in manifest.volumes}
    hint = "copy the bundle again; do not install it"
    if len({problem.where for problem in problems} & volumes) == len(problems) == 1:
        hint = "one volume can be computed from the others: verify the bundle with --repair"
    return BundleError("the bundle is damaged", problems=problems, hint=hint)


def check_time(manifest: Manifest, now: datetime, allowed: Collection[str]) -> tuple[str, ...]:
    """Remarks on the bundle's times. Raises: BundleError if it is too old to be installed."""
    text = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if text < manifest.created:
        return (f"this machine's clock says {text}, before the bundle was made: set it",)
    if text <= manifest.expires:
        return ()
    if EXPIRED not in allowed:
        raise BundleError(
            f"the bundle expired at {manifest.expires}, this machine's clock says {text}",
            hint="make a new one; an old bundle may lack what was mended since."
            " To install it all the same: --allow expired",
        )
    return (f"the bundle expired at {manifest.expires}",)


def find_strangers(folder: Path, manifest: Manifest) -> list[Problem]:
    """What lies in the folder and is not listed, and what is no plain file or folder."""
    listed = {file.path for file in manifest.on_disk} | {MANIFEST, SIGNATURE, CHECKSUMS}
    return [
        Problem(name, what)
        for name, mode in walk(folder)
        if (what := _stranger(name, mode, listed)) is not None
    ]


def _stranger(name: str, mode: int, listed: Collection[str]) -> str | None:
    if stat.S_ISLNK(mode):
        return "is a link; a bundle has none"
    if not stat.S_ISREG(mode):
        return "is no plain file"
    return None if name in listed else "is not in the manifest"


def walk(folder: Path) -> Iterator[tuple[str, int]]:
    """(name below the folder, mode) of everything in it but folders, links not followed."""
    waiting = [folder]
    while waiting:
        for entry in sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                name = Path(entry.path).relative_to(folder).as_posix()
                yield name, entry.stat(follow_symlinks=False).st_mode


def wrong_sizes(folder: Path, files: Sequence[FileEntry]) -> list[Problem]:
    """Listed files that are missing or of another size."""
    problems: list[Problem] = []
    for file in files:
        try:
            info = os.lstat(folder / file.path)
        except OSError:
            problems.append(Problem(file.path, "listed in the manifest but missing"))
            continue
        if stat.S_ISREG(info.st_mode) and info.st_size != file.size_bytes:
            observed = f"{info.st_size} observed"
            problems.append(Problem(file.path, f"{file.size_bytes} bytes expected, {observed}"))
    return problems


def _wrong_digests(
    folder: Path, files: Sequence[FileEntry], on_progress: Progress
) -> list[Problem]:
    problems: list[Problem] = []
    done, total = 0, sum(file.size_bytes for file in files)
    for file in files:
        digest = hashlib.sha256()
        try:
            with (folder / file.path).open("rb") as stream:
                while block := stream.read(BLOCK_BYTES):
                    digest.update(block)
                    done += len(block)
                    on_progress(file.path, done, total)
        except OSError as problem:
            problems.append(Problem(file.path, f"cannot be read: {problem.strerror}"))
            continue
        if digest.hexdigest() != file.sha256:
            problems.append(Problem(file.path, digests_differ(file.sha256, digest.hexdigest())))
    return problems


def _wrong_checksums(folder: Path, manifest: Manifest) -> list[Problem]:
    """SHA256SUMS is for people without us; it must say what the manifest says."""
    expected = manifest.checksums().encode()
    try:
        observed = _read_small(folder / CHECKSUMS, len(expected) + 1)
    except BundleError as problem:
        return [Problem(CHECKSUMS, problem.message)]
    return [] if observed == expected else [Problem(CHECKSUMS, "differs from the manifest")]
