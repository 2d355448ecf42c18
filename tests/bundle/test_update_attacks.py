"""What a maker's enemies try on the way to a server: the scenarios that update systems are held to.

Each is refused with its reason before anything outside the new release's folder changes. After the
list in The Update Framework's specification, section 1.5.2, as far as one signed folder has them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.bundle import minisign, rotate
from kit.bundle.install import DOWNGRADE
from kit.bundle.manifest import CHECKSUMS, MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, parse_manifest
from kit.bundle.minisign import SecretKey
from kit.bundle.trust import SIGNER
from kit.bundle.verify import EXPIRED
from kit.errors import BundleError, KitError
from tests.bundle.conftest import Box
from tests.bundle.made import KEY, TEMPLATE

STRANGER = SecretKey(b"stranger", bytes(range(1, 33)))
FRONT = (MANIFEST, SIGNATURE, CHECKSUMS)


def state_of(folder: Path) -> dict[str, bytes | str]:
    """Everything below it, by name."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def arbitrary_software(box: Box) -> Path:
    """Another maker's bundle, with another maker's key in it."""
    return box.bundle("1.3.0", key=STRANGER, seed=1)


def forged_key_name(box: Box) -> Path:
    """A key of the attacker's that calls itself as the trusted one does."""
    return box.bundle("1.3.0", key=SecretKey(KEY.id, STRANGER.seed), seed=1)


def signer_swapped(box: Box) -> Path:
    """The attacker signs, and puts the trusted key beside it."""
    bundle = box.bundle("1.3.0", key=STRANGER, seed=1)
    (bundle / SIGNER).write_text(KEY.public.text())
    return bundle


def unsigned(box: Box) -> Path:
    bundle = box.bundle("1.3.0", seed=1)
    (bundle / SIGNATURE).unlink()
    return bundle


def rollback_attack(box: Box) -> Path:
    """An old bundle with a known hole, signed in its day."""
    return box.bundle("1.1.0", seed=1)


def freeze(box: Box) -> Path:
    """A bundle kept back until its time was over."""
    return box.bundle("1.3.0", seed=1, expires="2026-11-26T10:00:01Z")


def mixed_files(box: Box) -> Path:
    """The manifest of one bundle over the files of another, each signed."""
    bundle, other = box.bundle("1.3.0", seed=1), box.bundle("1.3.0", seed=2)
    for name in FRONT:
        shutil.copy(other / name, bundle / name)
    return bundle


def mixed_signature(box: Box) -> Path:
    """The signature of one manifest beside another."""
    bundle, other = box.bundle("1.3.0", seed=1), box.bundle("1.3.0", seed=2)
    shutil.copy(other / SIGNATURE, bundle / SIGNATURE)
    return bundle


def renamed_version(box: Box) -> Path:
    """A version far in the future written into an old manifest, so that no true one is newer."""
    bundle = box.bundle("1.1.0", seed=1)
    manifest = parse_manifest((bundle / MANIFEST).read_bytes())
    forward = dataclasses.replace(manifest, version="999999.0")
    (bundle / MANIFEST).write_bytes(forward.to_bytes())
    (bundle / CHECKSUMS).write_text(forward.checksums())
    return bundle


def endless_data(box: Box) -> Path:
    """A manifest without end."""
    bundle = box.bundle("1.3.0", seed=1)
    with (bundle / MANIFEST).open("r+b") as out:
        out.truncate(MAX_MANIFEST_BYTES + 1)
    return bundle


def unknown_format(box: Box) -> Path:
    """A manifest of rules that this server does not know, rightly signed."""
    bundle = box.bundle("1.3.0", seed=1)
    record = json.loads((bundle / MANIFEST).read_bytes()) | {"format": 2}
    raw = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    (bundle / MANIFEST).write_bytes(raw)
    (bundle / SIGNATURE).write_text(minisign.sign(KEY, raw, "kit bundle"))
    return bundle


def wrong_machine(box: Box) -> Path:
    """A bundle for other servers of the same office."""
    target = dataclasses.replace(TEMPLATE.target, machine="aarch64")
    return box.bundle("1.3.0", seed=1, target=target)


def extraneous(box: Box) -> Path:
    """One file more than was signed."""
    bundle = box.bundle("1.3.0", seed=1)
    (bundle / "kernel" / "kit" / "sitecustomize.py").write_text("print('mine')\n")
    return bundle


def too_far(box: Box) -> Path:
    """A bundle that cannot take over from what runs."""
    return box.bundle("3.0.0", seed=1, minimum="2.0.0")


ATTACKS: dict[Callable[[Box], Path], str] = {
    arbitrary_software: "trusted here",
    forged_key_name: "trusted here",
    signer_swapped: "signed with another key",
    unsigned: "missing",
    rollback_attack: "older",
    freeze: "expired",
    mixed_files: "damaged",
    mixed_signature: "does not fit",
    renamed_version: "does not fit",
    endless_data: "more than",
    unknown_format: "format",
    wrong_machine: "cannot be installed here",
    extraneous: "damaged",
    too_far: "takes over from",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_refused_and_changes_nothing(box: Box, attack: Callable[[Box], Path]) -> None:
    """Refused with its reason; what was installed is as it was, to the byte."""
    box.install(box.bundle("1.2.0"), fingerprint=KEY.public.fingerprint)
    before, calls = state_of(box.root.folder), list(box.service.calls)
    with pytest.raises(KitError, match=ATTACKS[attack]):
        box.install(attack(box))
    assert state_of(box.root.folder) == before
    assert box.service.calls == calls


@pytest.mark.parametrize(("attack", "word"), [(rollback_attack, DOWNGRADE), (freeze, EXPIRED)])
def test_a_word_for_it_goes_on_record(box: Box, attack: Callable[[Box], Path], word: str) -> None:
    """What only looks like an attack can be allowed, a word for each rule, on record."""
    box.install(box.bundle("1.2.0"), fingerprint=KEY.public.fingerprint)
    bundle = attack(box)
    other = {DOWNGRADE: EXPIRED, EXPIRED: DOWNGRADE}[word]
    with pytest.raises(BundleError):
        box.install(bundle, allowed=(other,))
    box.install(bundle, allowed=(word,))
    lines = (box.root.folder / "audit.jsonl").read_text().splitlines()
    assert [word] in [json.loads(line).get("what_was") for line in lines]


def test_a_new_key_is_taken_on_the_old_ones_word(box: Box) -> None:
    """Rotated: the old key's signature over the new one, and nobody else's; then both are taken."""
    box.install(box.bundle("1.2.0"), fingerprint=KEY.public.fingerprint)
    new = SecretKey(b"newer   ", bytes(range(2, 34)))
    with pytest.raises(BundleError, match="trusted here"):
        box.install(box.bundle("1.3.0", key=new, seed=1))
    for wrong in (
        rotate.sign_successor(STRANGER, new.public),
        rotate.sign_successor(KEY, STRANGER.public),
        minisign.sign(KEY, new.public.text().encode(), "a note of the maker's"),
    ):
        with pytest.raises(BundleError, match="successor"):
            rotate.check_successor(new.public, wrong, box.root.trusted_keys())
    said = rotate.sign_successor(KEY, new.public)
    assert rotate.check_successor(new.public, said, box.root.trusted_keys()) == KEY.public
    box.root.trust(new.public, "the new one")
    box.install(box.bundle("1.3.0", key=new, seed=1))
    box.install(box.bundle("1.4.0", seed=2))


def test_a_key_that_was_stolen_is_taken_no_more(box: Box) -> None:
    """Distrusted: what it signs is refused, also what it signed before."""
    box.install(box.bundle("1.2.0"), fingerprint=KEY.public.fingerprint)
    box.root.trust(STRANGER.public, "another maker")
    box.root.distrust(KEY.public)
    with pytest.raises(BundleError, match="trusted here"):
        box.install(box.bundle("1.3.0", seed=1))
    box.install(box.bundle("1.3.0", key=STRANGER, seed=1))
