"""Durable file operations: whole or absent, checked, and never outside their folder."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit import files
from kit.errors import DiskFull, MachineError, UsageError
from kit.files import (
    atomic_path,
    copy_hashing,
    explain_os_errors,
    format_bytes,
    make_private_folder,
    require_space,
    require_writable_folder,
    safe_join,
    sha256_file,
    write_atomic,
)


@given(st.text() | st.from_regex(r"(\.\.|/|\\|[a-z]|\x00|\.)+"))
@example("../x")
@example("a/../../x")
@example("/etc/passwd")
@example("a\0b")
@example("")
@example(".")
def test_safe_join_stays_inside(name: str) -> None:
    """Whatever the name, the path lies inside the root, or the name is refused."""
    root = Path("/root/folder")
    try:
        joined = safe_join(root, name)
    except UsageError:
        return
    assert os.path.normpath(joined).startswith("/root/folder/")
    assert "\0" not in str(joined)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_ é-]{1,12}", fullmatch=True), min_size=1, max_size=4))
def test_safe_join_accepts_plain_names(parts: list[str]) -> None:
    """A relative path of plain names is joined as it stands."""
    assert safe_join(Path("/r"), "/".join(parts)) == Path("/r", *parts)


@given(st.binary(max_size=5000), st.integers(1, 600))
def test_copy_is_exact_and_hashed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int
) -> None:
    """A copy has the source's bytes, their digest and their number, whatever the block size."""
    destination = tmp_path_factory.mktemp("copy") / "deep" / "file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_BYTES", block)
        digest, size_bytes = copy_hashing(io.BytesIO(data), destination)
    assert destination.read_bytes() == data
    assert (digest, size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sha256_file(destination) == digest


def test_copy_over_the_limit_leaves_nothing(tmp_path: Path) -> None:
    """A stream longer than the limit is refused, and neither name nor temporary file stays."""
    with pytest.raises(UsageError, match="larger than 10 bytes"):
        copy_hashing(io.BytesIO(b"x" * 11), tmp_path / "file", max_bytes=10)
    assert list(tmp_path.iterdir()) == []
    copy_hashing(io.BytesIO(b"x" * 10), tmp_path / "file", max_bytes=10)


STEPS = ["fsync", "replace", "open"]


@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_fails_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """If a write fails at any step, readers still see the old content and no rubbish stays."""
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "open") if step == "open" else (os, step)), fails)
        with pytest.raises(DiskFull):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failing_block_takes_no_name(tmp_path: Path) -> None:
    """`atomic_path` gives the name only to a block that succeeds."""

    def write_half() -> None:
        with atomic_path(tmp_path / "file") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_private_files_are_private(tmp_path: Path) -> None:
    """The mode is set before the file has its name, so a secret is never readable by others."""
    write_atomic(tmp_path / "token", b"secret", mode=0o600)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, MachineError),
        (errno.EROFS, MachineError),
        (errno.EPERM, MachineError),
    ],
)
def test_faults_of_the_machine_are_explained(number: int, kind: type[MachineError]) -> None:
    """A full disk and a missing right become errors with the path and a next step."""
    with pytest.raises(kind) as caught, explain_os_errors(Path("/some/where")):
        raise OSError(number, os.strerror(number))
    assert "/some/where" in caught.value.message
    assert caught.value.hint


def test_other_faults_pass_through() -> None:
    """What is not the machine's fault is not dressed up."""
    with pytest.raises(FileNotFoundError), explain_os_errors(Path("x")):
        raise FileNotFoundError


def test_space_is_required_before_it_is_used(tmp_path: Path) -> None:
    """Asking for more than is free is DiskFull, also for a folder that does not exist yet."""
    require_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(DiskFull, match="expected"):
        require_space(tmp_path / "not" / "yet", 1 << 62)


def test_a_private_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    """A folder made private has mode 700; one that was there keeps its mode."""
    make_private_folder(tmp_path / "a" / "home")
    assert (tmp_path / "a" / "home").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    make_private_folder(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_way_of_a_folder_is_not_writable(tmp_path: Path) -> None:
    """A folder that can be made is made; one that cannot is an error, never silence."""
    require_writable_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="a file stands where a folder is needed"):
        require_writable_folder(tmp_path / "file" / "sub")


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (98362432, "93.8 MiB"), (1 << 40, "1.0 TiB")],
)
def test_sizes_are_for_people(size: int, shown: str) -> None:
    """Sizes are shown in binary units with their names."""
    assert format_bytes(size) == shown
