"""Probe files: what is written is read, what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import MachineError, UsageError
from kit.supply.machine import VERSION, MachineProbe, read_probe, write_probe

PROBE = MachineProbe(
    kit_version="0.1.0",
    probed_at="2026-11-26T17:00:00Z",
    architecture="x86_64",
    cpu_name="Some CPU",
    cpu_flags=("avx2", "fma"),
    cores=16,
    memory_total_bytes=64 << 30,
    memory_available_bytes=48 << 30,
    disk_free_bytes=900 << 30,
    os_name="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0-18-amd64",
    glibc="2.36",
    systemd=None,
    python_versions=("3.11",),
    gpus=(),
    bandwidth_bytes_per_s=41.5e9,
)
FIELDS = sorted(json.loads(write_probe(PROBE)))


def written(path: Path, **changes: Any) -> Path:
    document = json.loads(write_probe(PROBE)) | changes
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A probe survives the way over the file unchanged."""
    path = tmp_path / "machine.json"
    path.write_text(write_probe(PROBE), encoding="utf-8")
    assert read_probe(path) == PROBE


def test_a_newer_file_says_so(tmp_path: Path) -> None:
    """A file of a newer kit is not taken for a damaged one."""
    with pytest.raises(UsageError, match="written by a newer kit: version 2"):
        read_probe(written(tmp_path / "machine.json", version=VERSION + 1, more="unknown"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a whole probe file"),
        (b"\xff\xfe", "not a whole probe file"),
        (b"[1, 2]", "not a whole probe file"),
        (b"[" * 100_000, "not a whole probe file"),
        (b'{"format": "something else"}', "not a whole probe file"),
        (b'{"format": "kit machine probe"}', "no known version"),
        (b'{"format": "kit machine probe", "version": true}', "damaged"),
        (write_probe(PROBE).encode()[:-20], "not a whole probe file"),
        (b" " * (2 << 20), "not a whole probe file"),
    ],
)
def test_what_is_no_probe_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    """Cut, foreign and huge files are one clear error with what to do."""
    path = tmp_path / "machine.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=says) as caught:
        read_probe(path)
    assert "kit doctor --probe" in str(caught.value.hint)


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    """A path without a file is named."""
    with pytest.raises(MachineError, match=r"absent\.json"):
        read_probe(tmp_path / "absent.json")


@given(
    name=st.sampled_from([name for name in FIELDS if name not in ("format", "version")]),
    value=st.sampled_from([None, True, -1, 1 << 70, "text", [1], {"a": 1}, float("nan"), "absent"]),
)
def test_every_single_damage_is_named(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any
) -> None:
    """Whatever one field becomes, the file is read as it stands or the field is named."""
    path = written(tmp_path_factory.mktemp("probe") / "machine.json", **{name: value})
    if value == "absent":
        document = json.loads(path.read_text())
        del document[name]
        path.write_text(json.dumps(document))
    problems: list[str] = []
    try:
        seen = read_probe(path)
    except UsageError as problem:
        problems = [found.where for found in problem.problems]
    else:
        assert getattr(seen, name) == value
    assert problems in ([], [name])


def test_a_field_of_nobody_is_named(tmp_path: Path) -> None:
    """A field that no probe has is damage, not ignored."""
    with pytest.raises(UsageError) as caught:
        read_probe(written(tmp_path / "machine.json", hostname="secret"))
    assert caught.value.problems[0].where == "hostname"
