"""An installed release is still exactly what its signed manifest says.

Knows releases and trusted keys; changes nothing. The packages' own environment beside the files is
pip's and is not compared here.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.bundle.manifest import MANIFEST
from kit.bundle.minisign import PublicKey
from kit.bundle.releases import Release
from kit.bundle.verify import read_signed_manifest, walk
from kit.errors import BundleError, Problem
from kit.files import digests_differ, sha256_file


def find_changes(release: Release, trusted: Sequence[PublicKey]) -> list[Problem]:
    """Every file of the release that is missing, added or changed since it was signed."""
    problems = _signature(release, trusted)
    listed = {file.path: file for file in release.manifest.files}
    found = {name for name, _ in walk(release.files) if "/__pycache__/" not in name}
    problems += [Problem(name, "is not in the manifest") for name in sorted(found - set(listed))]
    for path, file in sorted(listed.items()):
        if path not in found:
            problems.append(Problem(path, "missing"))
        elif (digest := sha256_file(release.files / path)) != file.sha256:
            problems.append(Problem(path, digests_differ(file.sha256, digest)))
    return problems


def _signature(release: Release, trusted: Sequence[PublicKey]) -> list[Problem]:
    reasons: list[str] = []
    for key in trusted:
        try:
            read_signed_manifest(release.folder, key)
        except BundleError as problem:
            reasons.append(problem.message)
        else:
            return []
    return [Problem(MANIFEST, "; ".join(reasons) or "signed by no key that is trusted here")]
