"""A bundle's files laid out in a release's folder, each byte read once and hashed on its way.

Knows bundles and folders, no Python packages and no services. Invariant: a file is in the release
only if its digest is the manifest's, wherever it came from; names are the manifest's alone.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from kit.bundle.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from kit.bundle.releases import Release
from kit.bundle.volumes import open_entry
from kit.errors import BundleError, Problem
from kit.files import (
    BLOCK_BYTES,
    digests_differ,
    explain_os_errors,
    fsync_folder,
    require_space,
    safe_join,
    sha256_file,
)

Progress = Callable[[str, int, int], None]


def stage(
    bundle: Path,
    manifest: Manifest,
    destination: Path,
    base: Release | None,
    *,
    on_progress: Progress = lambda _path, _done, _total: None,
) -> None:
    """`destination`/files holds every file of the manifest, and the signed manifest beside them.

    Files of a delta's base are linked, not copied, after their digest was compared.
    Raises: BundleError naming every file that is not right; DiskFull before anything is written.
    """
    files = destination / "files"
    require_space(destination, manifest.carried_bytes)
    in_base = {file.sha256: file.path for file in base.manifest.files} if base else {}
    problems: list[Problem] = []
    done = 0
    with explain_os_errors(destination):
        for entry in manifest.files:
            if entry.is_in_base:
                name = in_base.get(entry.sha256)
                problem = _link(entry, base.files / name if base and name else None, files)
            else:
                problem = _copy(bundle, manifest, entry, files)
            problems += [problem] if problem else []
            done += entry.size_bytes
            on_progress(entry.path, done, manifest.size_bytes)
        if problems:
            raise BundleError("the bundle is damaged", problems=problems, hint="copy it again")
        for name in (MANIFEST, SIGNATURE):
            (destination / name).write_bytes((bundle / name).read_bytes())
        _fsync_tree(destination)


def require_base(manifest: Manifest, base: Release | None) -> None:
    """A delta fits what is installed. Raises: BundleError that says what it needs."""
    if manifest.base_sha256 and (base is None or base.manifest.sha256 != manifest.base_sha256):
        observed = f"{base.manifest.version} is installed" if base else "nothing is installed"
        raise BundleError(
            f"this bundle carries only what changed since the one with manifest "
            f"{manifest.base_sha256[:12]}…; {observed}",
            hint="install that one first, or carry a whole bundle",
        )


def _copy(bundle: Path, manifest: Manifest, entry: FileEntry, files: Path) -> Problem | None:
    path = safe_join(files, entry.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with open_entry(bundle, manifest, entry) as stream, path.open("xb") as out:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
                if size > entry.size_bytes:
                    break
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
            os.fchmod(out.fileno(), 0o644)
    except FileNotFoundError:
        return Problem(entry.path, "listed in the manifest but missing")
    if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
        return Problem(entry.path, digests_differ(entry.sha256, digest.hexdigest()))
    return None


def _link(entry: FileEntry, source: Path | None, files: Path) -> Problem | None:
    if source is None or not source.is_file():
        return Problem(entry.path, "not carried, and not in the installed release")
    digest = sha256_file(source)
    if digest != entry.sha256:
        what = digests_differ(entry.sha256, digest)
        return Problem(entry.path, f"changed on this server: {what}")
    path = safe_join(files, entry.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, path)
    return None


def _fsync_tree(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        fsync_folder(Path(path))
