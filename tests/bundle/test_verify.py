"""Verification: any damage to a bundle is found and named; an untouched one is taken."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit.bundle import volumes
from kit.bundle.make.write import write_bundle
from kit.bundle.manifest import CHECKSUMS, MANIFEST, SIGNATURE, Manifest
from kit.bundle.minisign import SecretKey
from kit.bundle.verify import EXPIRED, VerifiedBundle, verify
from kit.bundle.volumes import open_entry
from kit.errors import BundleError, KitError, UsageError
from tests.bundle.made import KEY, TEMPLATE, make_bundle, parts

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def more(numbers: range) -> object:
    """For the longer suite."""
    return pytest.param(numbers, marks=pytest.mark.e2e)


def check(folder: Path, **options: object) -> VerifiedBundle:
    return verify(folder, KEY.public, **{"now": NOW, **options})  # type: ignore[arg-type]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_an_untouched_bundle_is_taken(bundle: Path) -> None:
    """All files are checked, progress counts every byte, and the signed comment is told."""
    seen: list[tuple[str, int, int]] = []
    verified = check(bundle, on_progress=lambda *told: seen.append(told))
    assert verified.comment == "kit bundle office 1.2.0 made 2026-11-26T10:00:00Z"
    assert seen[-1][1] == seen[-1][2] == verified.manifest.size_bytes
    assert verified.notes == ()


def test_sha256sum_agrees(bundle: Path) -> None:
    """A machine without us checks the bundle with sha256sum -c."""
    command = ["sha256sum", "--check", "--strict", CHECKSUMS]
    subprocess.run(command, cwd=bundle, check=True, capture_output=True)
    (bundle / "docs/index.html").write_bytes(b"<p>Hullo</p>\n")
    assert subprocess.run(command, cwd=bundle, capture_output=True, check=False).returncode != 0


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    """Two folders, another order of parts: not a byte differs."""
    one, two = tmp_path / "one", tmp_path / "elsewhere" / "two"
    write_bundle(one, parts(), TEMPLATE, KEY)
    write_bundle(two, parts()[::-1], TEMPLATE, KEY)
    command = ["diff", "--recursive", str(one), str(two)]
    subprocess.run(command, check=True, capture_output=True)


TAMPERINGS = [
    *("flip", "truncate", "append", "swap", "drop", "rename", "link", "case twin", "extra"),
    *("manifest", "signature", "empty", "folder", "checksums"),
]
STRANGERS = ["evil.py", "wheels/evil-1-py3-none-any.whl", "kernel/sitecustomize.py"]


def tamper(folder: Path, how: str, chance: random.Random) -> str:
    """Change the bundle; the name of a file that an error must name, '' if any words do."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.parent != folder)
    path = chance.choice([p for p in files if p.stat().st_size > 1])
    name = path.relative_to(folder).as_posix()
    raw = path.read_bytes()
    if how == "flip":
        at = chance.randrange(len(raw))
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :])
    elif how == "truncate":
        path.write_bytes(raw[: chance.randrange(len(raw))])
    elif how == "append":
        path.write_bytes(raw + chance.randbytes(chance.randint(1, 9)))
    elif how == "swap":
        other = chance.choice([p for p in files if p.read_bytes() != raw])
        path.write_bytes(other.read_bytes())
        other.write_bytes(raw)
    elif how == "drop":
        path.unlink()
    elif how == "rename":
        path.rename(path.with_name(f"{path.name}.bak"))
    elif how == "link":
        elsewhere = folder.parent / f"elsewhere-{path.name}"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    elif how == "case twin":
        path.with_name(path.name.swapcase()).write_bytes(raw)
        return path.with_name(path.name.swapcase()).relative_to(folder).as_posix()
    elif how == "extra":
        name = chance.choice(
            ["evil.py", "wheels/evil-1-py3-none-any.whl", "kernel/sitecustomize.py"]
        )
        (folder / name).write_bytes(b"x")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        return tamper_front(folder, how, chance)
    return name


def tamper_front(folder: Path, how: str, chance: random.Random) -> str:
    path = folder / {"manifest": MANIFEST, "signature": SIGNATURE, "checksums": CHECKSUMS}[how]
    text = path.read_text().rstrip("\n")
    start = text.index("\n") + 1 if how == "signature" else 0  # the first line may be anything
    at = chance.randrange(start, len(text))
    if chance.random() < 0.2:
        path.unlink()
    else:
        path.write_text(text[:at] + chr(ord(text[at]) ^ 1 or 65) + text[at + 1 :] + "\n")
    return CHECKSUMS if how == "checksums" else ""


@pytest.mark.parametrize("how", TAMPERINGS)
@pytest.mark.parametrize("changes", [range(6), more(range(6, 36))], ids=["few", "many"])
def test_tampering_is_found_and_named(tmp_path: Path, how: str, changes: range) -> None:
    """36 changes of each of 14 kinds, 504 in all: each is refused, naming the file."""
    pristine = tmp_path / "pristine"
    make_bundle(pristine)
    for number in changes:
        folder = tmp_path / f"bundle-{number}"
        shutil.copytree(pristine, folder)
        name = tamper(folder, how, random.Random(f"{how} {number}"))
        with pytest.raises(BundleError) as caught:
            check(folder)
        said = "\n".join(caught.value.lines())
        assert name in said, said
        shutil.rmtree(folder)


@pytest.mark.parametrize("numbers", [range(10), more(range(10, 100))], ids=["few", "many"])
def test_pristine_bundles_are_taken(tmp_path: Path, numbers: range) -> None:
    """100 bundles nobody touched, whole and split."""
    for number in numbers:
        folder = tmp_path / f"bundle-{number}"
        make_bundle(folder, number, volume_bytes=30_000 * (number % 2))
        check(folder)
        shutil.rmtree(folder)


def test_every_bad_file_is_named_at_once(bundle: Path) -> None:
    """Three problems of three kinds are one error with three lines."""
    (bundle / "docs/index.html").unlink()
    (bundle / "extra.bin").write_bytes(b"x")
    model = bundle / "models/office/office-8b.Q4_0.gguf"
    model.write_bytes(b"y" + model.read_bytes()[1:])
    with pytest.raises(BundleError, match="damaged") as caught:
        check(bundle)
    assert {problem.where for problem in caught.value.problems} == {
        *("docs/index.html", "extra.bin", "models/office/office-8b.Q4_0.gguf")
    }


def test_nothing_is_read_before_the_signature_is_right(bundle: Path) -> None:
    """A foreign bundle is refused by its signature, however damaged its files are."""
    stranger = SecretKey(b"stranger", bytes(32))
    shutil.rmtree(bundle / "wheels")
    with pytest.raises(BundleError, match="another key"):
        verify(bundle, stranger.public, now=NOW)


def test_an_old_bundle_needs_a_word(bundle: Path) -> None:
    """Past its time a bundle is refused; where it is allowed, or the clock is off, it is said."""
    late, early = datetime(2028, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(BundleError, match="expired at 2027-11-26"):
        check(bundle, now=late)
    assert "expired" in check(bundle, now=late, allowed=[EXPIRED]).notes[0]
    assert "clock" in check(bundle, now=early).notes[0]


def test_pipes_and_missing_folders_are_refused(bundle: Path, tmp_path: Path) -> None:
    """A pipe in the place of a file does not make anyone wait."""
    with pytest.raises(UsageError):
        check(tmp_path / "nothing")
    (bundle / MANIFEST).unlink()
    os.mkfifo(bundle / MANIFEST)
    with pytest.raises(BundleError):
        check(bundle)


# -- split ---------------------------------------------------------------------------------------


@pytest.fixture
def split(tmp_path: Path) -> tuple[Path, Manifest]:
    folder = tmp_path / "split"
    return folder, make_bundle(folder, volume_bytes=30_000)


def test_a_split_bundle_gives_its_files_back(split: tuple[Path, Manifest]) -> None:
    """No volume is larger than asked for, and every file comes out as it went in."""
    folder, manifest = split
    assert len(manifest.volumes) == 5
    assert all(volume.size_bytes <= 30_000 for volume in manifest.volumes)
    check(folder)
    sources = {part.path: part.source for part in parts()}
    for entry in manifest.files:
        with open_entry(folder, manifest, entry) as stream:
            assert stream.read() == sources[entry.path]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("how", ["drop", "flip", "truncate"])
def test_any_one_volume_is_computed_from_the_others(
    split: tuple[Path, Manifest], number: int, how: str
) -> None:
    """One lost or damaged volume, the recovery volume too, comes back to the byte."""
    folder, manifest = split
    lost = manifest.volumes[number]
    path = folder / lost.path
    whole = path.read_bytes()
    if how == "drop":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] + (bytes([whole[-1] ^ 1]) if how == "flip" else b""))
    with pytest.raises(BundleError) as caught:
        check(folder)
    assert "--repair" in (caught.value.hint or "")
    volumes.repair(folder, manifest, lost)
    assert path.read_bytes() == whole
    check(folder)


def test_two_lost_volumes_are_too_many(split: tuple[Path, Manifest]) -> None:
    """Nothing wrong takes the place of what cannot be computed."""
    folder, manifest = split
    first, second = manifest.volumes[:2]
    (folder / first.path).unlink()
    damaged = folder / second.path
    damaged.write_bytes(b"\0" * second.size_bytes)
    with pytest.raises(BundleError) as caught:
        check(folder)
    assert "--repair" not in (caught.value.hint or "")
    with pytest.raises(KitError):
        volumes.repair(folder, manifest, first)
    assert not (folder / first.path).exists()


def test_a_delta_carries_only_what_changed(tmp_path: Path) -> None:
    """What the base has is listed and left out; the front always travels."""
    base = make_bundle(tmp_path / "base")
    changed = [part for part in parts() if part.kind != "doc"] + parts(1)[-1:]
    folder = tmp_path / "delta"
    manifest = write_bundle(folder, changed, TEMPLATE, KEY, base=base)
    assert manifest.base_sha256 == base.sha256
    carried = {file.path for file in manifest.carried}
    assert carried == {"install.sh", "kernel/kit/errors.py", "README.txt"}
    check(folder)
    assert not (folder / "wheels").exists()
