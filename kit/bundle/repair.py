"""Mend what one recovery volume can mend: the one bad volume of a split bundle.

Knows bundles and whom to trust. Invariant: nothing takes a volume's name unless its digest is that
of the signed manifest.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.bundle.manifest import FileEntry
from kit.bundle.minisign import PublicKey
from kit.bundle.verify import read_signed_manifest
from kit.bundle.volumes import repair
from kit.errors import BundleError, Problem, UsageError
from kit.files import sha256_file

Progress = Callable[[str, int, int], None]


def repair_bundle(folder: Path, key: PublicKey, *, on_progress: Progress) -> list[str]:
    """The names of the volumes that were mended: none or one.

    Raises: UsageError if the bundle is not split; BundleError if more than one volume is bad.
    """
    manifest, _ = read_signed_manifest(folder, key)
    if not manifest.volumes:
        raise UsageError("only a split bundle can be mended", hint="copy the bundle again")
    total = sum(volume.size_bytes for volume in manifest.volumes)
    done = 0
    bad: list[FileEntry] = []
    for volume in manifest.volumes:
        on_progress(f"checking {volume.path}", done, total)
        if _digest(folder / volume.path) != volume.sha256:
            bad.append(volume)
        done += volume.size_bytes
    if len(bad) > 1:
        raise BundleError(
            "more than one volume is bad, and one recovery volume mends one",
            problems=[Problem(volume.path, "missing or damaged") for volume in bad],
            hint="copy all but one of these again",
        )
    for volume in bad:
        on_progress(f"mending {volume.path}", 0, volume.size_bytes)
        repair(folder, manifest, volume)
    return [volume.path for volume in bad]


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""
