"""A bundle is checked with tools of any system, as its own README.txt says."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from kit.bundle.make.create import CHECK
from tests.bundle.made import make_bundle


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", CHECK], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("volume_bytes", [0, 30_000])
def test_a_changed_file_with_a_changed_list_is_found(tmp_path: Path, volume_bytes: int) -> None:
    """The digests are the signed manifest's: SHA256SUMS, changed with the file, hides nothing."""
    folder = tmp_path / "bundle"
    make_bundle(folder, volume_bytes=volume_bytes)
    assert (check(folder).returncode, check(folder).stdout) == (0, "")
    changed = folder / ("volume-001.bin" if volume_bytes else "install.sh")
    sums, before = folder / "SHA256SUMS", hashlib.sha256(changed.read_bytes()).hexdigest()
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    now = hashlib.sha256(changed.read_bytes()).hexdigest()
    sums.write_text(sums.read_text().replace(before, now))
    quick = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(quick, cwd=folder, check=False).returncode == 0
    found = check(folder)
    assert found.returncode != 0
    assert changed.name in found.stdout
