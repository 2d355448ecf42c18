"""The manifest: one text for one content, and no name that does harm."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.bundle.manifest import FileEntry, Manifest, Target, parse_manifest, path_problem
from kit.errors import BundleError


def entry(path: str = "wheels/a-1.whl", **changes: Any) -> FileEntry:
    fields: dict[str, Any] = {"size_bytes": 3, "sha256": "ab" * 32, "kind": "wheel", **changes}
    return FileEntry(path, **fields)


def manifest(*files: FileEntry, **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "office",
        "version": "1.2.0",
        "minimum_version": "1.0.0",
        "created": "2026-11-26T10:00:00Z",
        "expires": "2027-11-26T10:00:00Z",
        "target": Target("x86_64", "3.11", "2.28"),
        "files": files or (entry(),),
        **changes,
    }
    return Manifest(**fields)


def test_a_manifest_is_read_back_from_its_one_text() -> None:
    """The order in which files were found does not matter, and reading gives the same text."""
    first, second = entry("b.whl"), entry("a.whl", licence="MIT")
    text = manifest(first, second).to_bytes()
    assert text == manifest(second, first).to_bytes()
    assert parse_manifest(text).to_bytes() == text
    assert manifest(first).sha256 == hashlib.sha256(manifest(first).to_bytes()).hexdigest()


def test_another_text_of_the_same_content_is_refused() -> None:
    """Spaces, another order, a doubled key: what two readers may read differently is not taken."""
    text = manifest().to_bytes()
    doubled = text.replace(b'{"base_sha256"', b'{"name":"x","base_sha256"', 1)
    for other in (text.replace(b",", b", ", 1), doubled, text + b"\n", text[:-1]):
        with pytest.raises(BundleError):
            parse_manifest(other)


BAD_PATHS = [
    *("", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/.", ".hidden", "a/.ssh/x", "-rf"),
    *("a\\b", "c:x", "a\nb", "a\0b", "a|b", "a$b", "a;b", "a b ", "a.", "é", "a\u202eb", "con"),
    *("a/NUL.txt", "lpt1.log", "x" * 300, "manifest.json", "SHA256SUMS", "manifest.json.minisig"),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_name_that_does_harm_is_refused(path: str) -> None:
    """No name leaves its folder, is changed by a file system, or means something to a shell."""
    assert path_problem(path) is not None
    with pytest.raises(BundleError):
        parse_manifest(manifest(entry(path)).to_bytes())


@pytest.mark.parametrize(
    "path", ["wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "docs/How to.html", "a@b_c"]
)
def test_the_names_we_need_are_taken(path: str) -> None:
    """Wheels with local versions, pages with spaces."""
    assert path_problem(path) is None


def test_twins_are_refused() -> None:
    """Names that differ by case only, and a file that is another's folder."""
    for pair in (("a/B.whl", "a/b.whl"), ("a", "a/b"), ("x/y", "X")):
        with pytest.raises(BundleError) as caught:
            parse_manifest(manifest(*map(entry, pair)).to_bytes())
        assert caught.value.problems


WRONG: list[dict[str, Any]] = [
    {"version": "latest"},
    {"created": "yesterday"},
    {"expires": "2027-11-26"},
    {"minimum_version": "../1"},
    {"base_sha256": "12"},
    {"name": 5},
    {"files": 5},
    {"target": None},
    {"format": 2},
    {"unknown": 1},
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    """A field of another type or form, and one that is not known, is an error in words."""
    record = {**json.loads(manifest().to_bytes()), **change}
    text = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(BundleError):
        parse_manifest(text)


@pytest.mark.parametrize(
    "change",
    [{"sha256": "AB" * 32}, {"size_bytes": -1}, {"kind": "virus"}, {"size_bytes": True}],
    ids=str,
)
def test_a_wrong_entry_is_refused(change: dict[str, Any]) -> None:
    """Digests, sizes and kinds are what they say."""
    with pytest.raises(BundleError):
        parse_manifest(manifest(entry(**change)).to_bytes())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_an_error(raw: bytes) -> None:
    """Whatever the file holds, it is refused in words."""
    with pytest.raises(BundleError):
        parse_manifest(raw)


def test_a_delta_needs_its_base() -> None:
    """Files that are not carried are carried by a named manifest."""
    left_out = entry(is_in_base=True)
    with pytest.raises(BundleError, match="is not right"):
        parse_manifest(manifest(left_out).to_bytes())
    delta = parse_manifest(manifest(left_out, entry("b"), base_sha256="0" * 64).to_bytes())
    assert [file.path for file in delta.carried] == ["b"]


def test_checksums_are_what_sha256sum_reads() -> None:
    """Two spaces between digest and name, the manifest among them, a split bundle's volumes."""
    made = manifest(entry("b"), entry("install.sh", kind="installer"))
    lines = made.checksums().splitlines()
    assert [line[64:] for line in lines] == ["  b", "  install.sh", "  manifest.json"]
    volume = entry("volume-001.bin", kind="volume")
    split = dataclasses.replace(made, volumes=(volume,))
    assert "  b\n" not in split.checksums()
    assert "  volume-001.bin\n" in split.checksums()
