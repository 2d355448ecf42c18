"""Installing: trusted, in order and whole, or nothing changes. Packages and models are stood in."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from kit.bundle import environment, install
from kit.bundle.install import DOWNGRADE
from kit.bundle.installed import find_changes
from kit.bundle.minisign import SecretKey
from kit.bundle.releases import CURRENT, GOOD, Release
from kit.bundle.serving import Serving, remembered
from kit.errors import (
    AlreadyRunning,
    BundleError,
    KitError,
    MachineError,
    UsageError,
)
from tests.bundle.conftest import Box
from tests.bundle.made import KEY, SERVER, parts

TOLD = {"fingerprint": KEY.public.fingerprint}


def test_the_first_bundle_needs_a_confirmed_key(box: Box) -> None:
    """Nobody's word: refused with the fingerprint. A wrong one: refused. The right one: pinned."""
    bundle = box.bundle()
    with pytest.raises(UsageError, match=KEY.public.fingerprint):
        box.install(bundle)
    with pytest.raises(BundleError, match="differ"):
        box.install(bundle, fingerprint="0000 1111")
    assert not (box.root.folder / "releases").exists()
    box.install(bundle, fingerprint=KEY.public.fingerprint.upper().replace(" ", ""))
    assert box.root.trusted_keys() == [KEY.public]
    assert box.current.startswith("1.2.0-")
    assert box.service.calls == ["prepare", "start"]


def test_the_audit_says_whose_release_it_is(box: Box) -> None:
    """Who was trusted and why, which manifest of which key, and what was switched to."""
    box.install(box.bundle(), **TOLD)
    current = box.root.current
    assert current is not None
    lines = (box.root.folder / "audit.jsonl").read_text().splitlines()
    trusted, laid_out, switching, good = map(json.loads, lines)
    assert (trusted["key"], trusted["by"]) == (KEY.public.id_text, "a compared fingerprint")
    assert (laid_out["manifest"], laid_out["key"]) == (current.manifest.sha256, KEY.public.id_text)
    assert (switching["to"], good["release"]) == (current.id, current.id)


def test_every_file_is_laid_out_as_listed(box: Box) -> None:
    """A release holds the manifest's files with their bytes, and nothing beside them."""
    box.install(box.bundle(), **TOLD)
    release = box.root.current
    assert release is not None
    found = {
        p.relative_to(release.files).as_posix() for p in release.files.rglob("*") if p.is_file()
    }
    assert found == {file.path for file in release.manifest.files}
    for part in parts():
        assert (release.files / part.path).read_bytes() == part.source


def test_an_upgrade_switches_and_keeps_the_one_before(box: Box) -> None:
    """The newer is current, the older previous; a third one removes the first."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    second = box.install(box.bundle("1.3.0", seed=1))
    previous = box.root.previous
    assert (box.current, previous.id if previous else "") == (second, first)
    box.install(box.bundle("1.4.0", seed=2))
    assert first not in {release.id for release in box.root.all()}
    assert box.service.calls.count("stop") == 2


def test_the_older_release_backs_up_what_nobody_writes_any_more(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer one would bring the database to its own form first, and what is written while the
    backup is made would be lost on a way back. Where no backup can be made, nothing changes."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    (box.folder / "home").mkdir(exist_ok=True)
    (box.folder / "home" / "kit.db").touch()
    made = box.folder / "home-backups" / "kit-backup-2026-11-26T100000Z"
    asked: list[tuple[str, list[str], str]] = []
    code = 1

    def run(_serving: Serving, release: Release, arguments: list[str], **_: str) -> object:
        asked.append((release.id, arguments[:1], box.service.calls[-1]))
        return subprocess.CompletedProcess(arguments, code, f"{made}\n", "error: no room")

    monkeypatch.setattr(install, "run_release", run)
    with pytest.raises(MachineError, match="no room"):
        box.install(box.bundle("1.3.0", seed=1))
    assert (box.current, box.service.calls[-1]) == (first, "start")
    code = 0
    second = box.install(box.bundle("1.3.0", seed=1))
    assert asked == [(first, ["backup"], "stop")] * 2
    assert box.root.current is not None
    assert (box.root.current.id, box.root.current.backup) == (second, made)


def test_a_release_that_is_not_well_is_switched_back(box: Box) -> None:
    """The old one runs again, and the reason is on record."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    box.service.is_well = False
    with pytest.raises(MachineError, match="runs again"):
        box.install(box.bundle("1.3.0", seed=1))
    assert box.current == first
    assert box.service.calls[-1] == "start"
    assert "switching back" in (box.root.folder / "audit.jsonl").read_text()


def test_a_delta_takes_the_rest_from_what_is_installed(box: Box) -> None:
    """Only what changed is carried; a changed file on the server is found; another base refused."""
    box.install(box.bundle("1.2.0"), **TOLD)
    current = box.root.current
    assert current is not None
    delta = box.bundle("1.3.0", base=current.manifest)
    assert not (delta / "models").exists()
    weights = current.files / "models/office/office-8b.Q4_0.gguf"
    whole = weights.read_bytes()
    weights.write_bytes(b"x" + whole[1:])
    with pytest.raises(BundleError) as caught:
        box.install(delta)
    assert "changed on this server" in "\n".join(caught.value.lines())
    weights.write_bytes(whole)
    box.install(delta)
    assert box.current.startswith("1.3.0-")
    with pytest.raises(BundleError, match="carries only what changed"):
        box.install(box.bundle("1.4.0", base=current.manifest, seed=3))


def test_a_delta_that_is_current_is_taken_again(box: Box) -> None:
    """A switch to a delta that was cut short is seen through by the same command, as any other."""
    box.install(box.bundle("1.2.0"), **TOLD)
    base = box.root.current
    assert base is not None
    delta = box.bundle("1.3.0", base=base.manifest)
    box.install(delta)
    current = box.root.current
    assert current is not None
    (current.folder / GOOD).unlink()  # as a kill right after the switch leaves it
    assert not box.root.is_settled
    assert box.install(delta) == current.id
    assert box.root.is_settled


def test_order_is_kept(box: Box) -> None:
    """Older bundles, too great steps and other makers are refused; a flag for it is on record."""
    box.install(box.bundle("1.2.0"), **TOLD)
    with pytest.raises(BundleError, match="older"):
        box.install(box.bundle("1.1.0", seed=1))
    with pytest.raises(BundleError, match=r"takes over from 1\.5"):
        box.install(box.bundle("2.0.0", minimum="1.5", seed=2))
    stranger = SecretKey(b"stranger", bytes(32))
    with pytest.raises(BundleError, match="trusted here"):
        box.install(box.bundle("1.3.0", key=stranger, seed=3))
    assert box.current.startswith("1.2.0-")
    box.install(box.bundle("1.1.0", seed=4), allowed=(DOWNGRADE,))
    assert box.current.startswith("1.1.0-")
    assert '"allowed"' in (box.root.folder / "audit.jsonl").read_text()


def test_the_same_bundle_twice_changes_nothing(box: Box) -> None:
    """Run again, it says that it is installed already."""
    bundle = box.bundle()
    box.install(bundle, **TOLD)
    calls = list(box.service.calls)
    box.install(bundle)
    assert box.service.calls == calls
    assert "already" in box.said[-1]


def test_a_service_reads_what_root_laid_out(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root's new files are closed to others, a service's release is not; root's way stays."""
    ready = dataclasses.replace(SERVER, has_systemd=True, is_root=True)
    monkeypatch.setattr(install, "look", lambda _root, _ports, **_kind: ready)
    serving = Serving(box.root.folder, box.folder / "home", has_service=True)
    plan = install.InstallPlan(box.bundle(), serving, **TOLD)
    before = os.umask(0o077)
    try:
        release = install.install(plan, say=box.said.append, service=box.service)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    paths = [box.root.folder, *release.folder.rglob("*"), release.folder, release.folder.parent]
    closed = [path for path in paths if path.stat().st_mode & 0o044 != 0o044]
    assert closed == []


class Accounts:
    """Stands in for the release's `kit user`."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def run(
        self, _serving: Serving, _release: Release, arguments: list[str], *, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        del stdin
        if arguments[:2] == ["user", "add"]:
            self.names.append(arguments[2])
        users = [{"name": name, "disabled": False} for name in self.names]
        return subprocess.CompletedProcess(arguments, 0, json.dumps({"users": users}), "")


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    found = Accounts()
    monkeypatch.setattr(install, "run_release", found.run)
    return found


def test_an_installed_bundle_is_opened_to_the_office(box: Box, accounts: Accounts) -> None:
    """Run again with another address: refused while nobody could sign in, the account is made
    first, and what runs is not stopped for a refusal."""
    bundle = box.bundle()
    box.install(bundle, **TOLD)
    calls = list(box.service.calls)
    with pytest.raises(MachineError) as caught:
        box.install(bundle, host="0.0.0.0")
    assert "--admin NAME" in "\n".join(caught.value.lines())
    assert box.service.calls == calls
    box.install(bundle, host="0.0.0.0", admin="thandi")
    assert accounts.names == ["thandi"]
    assert box.service.calls == [*calls, "prepare", "start"]
    served = remembered(box.root.folder)
    assert served is not None
    assert served.is_open


def test_an_upgrade_makes_the_account_it_was_told(box: Box, accounts: Accounts) -> None:
    """--admin counts whatever was installed before."""
    box.install(box.bundle("1.2.0"), **TOLD)
    box.install(box.bundle("1.3.0", seed=1), admin="thandi")
    assert accounts.names == ["thandi"]


def test_what_cannot_be_served_otherwise_is_served_as_before(box: Box, accounts: Accounts) -> None:
    """An address that does not work is not remembered."""
    bundle = box.bundle()
    box.install(bundle, **TOLD)
    box.service.is_well = False
    with pytest.raises(MachineError, match="served as before"):
        box.install(bundle, host="192.0.2.7", admin="thandi")
    served = remembered(box.root.folder)
    assert served is not None
    assert served.host == "127.0.0.1"


def test_an_address_that_this_machine_lacks_is_refused_at_once(
    box: Box, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first installation as later; nothing is stopped for it."""
    there = dataclasses.replace(SERVER, has_address=False)
    monkeypatch.setattr(install, "has_address", lambda host: host == "127.0.0.1")
    bundle = box.bundle()
    with monkeypatch.context() as first:
        first.setattr(install, "look", lambda _root, _ports, **_kind: there)
        with pytest.raises(MachineError) as caught:
            box.install(bundle, host="192.0.2.7", admin="thandi", **TOLD)
    said = "\n".join(caught.value.lines())
    assert "host 192.0.2.7" in said
    assert "not an address of this machine" in said
    box.install(bundle, **TOLD)
    calls = list(box.service.calls)
    with pytest.raises(MachineError, match="cannot be installed here"):
        box.install(bundle, host="192.0.2.7", admin="thandi")
    assert (box.service.calls, accounts.names) == (calls, [])


def test_the_data_of_an_installation_stay_where_they_are(box: Box) -> None:
    """Another home or user would leave documents behind, or unreadable; it is refused."""
    bundle = box.bundle()
    box.install(bundle, **TOLD)
    elsewhere = Serving(box.root.folder, box.folder / "other", "kit")
    for serving in (elsewhere, dataclasses.replace(elsewhere, home=box.folder / "home", user="x")):
        with pytest.raises(UsageError, match="serves"):
            install.install(
                install.InstallPlan(bundle, serving), say=box.said.append, service=box.service
            )
    assert remembered(box.root.folder) == Serving(box.root.folder, box.folder / "home", "kit")


@pytest.mark.parametrize("step", ["stage", "create", "self_test", "require_fit"])
def test_a_failure_before_the_switch_leaves_no_trace(
    box: Box, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever step fails, current is what it was and no half release is left."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    room = environment if step == "create" else install
    before = list(box.service.calls)

    def fail(*_arguments: object, **_options: object) -> None:
        raise MachineError("planted")

    monkeypatch.setattr(room, step, fail)
    with pytest.raises(KitError, match="planted"):
        box.install(box.bundle("1.3.0", seed=1))
    assert box.current == first
    assert [path.name for path in (box.root.folder / "releases").iterdir()] == [first]
    assert box.service.calls == before


def test_damage_is_found_before_anything_is_staged(box: Box) -> None:
    """A stranger in the folder, or a short file, is named; a flipped bit is found while copying."""
    for spoil in (_stranger, _shorter, _flipped):
        bundle = box.bundle(seed=5)
        name = spoil(bundle)
        with pytest.raises(BundleError) as caught:
            box.install(bundle, **TOLD)
        assert name in "\n".join(caught.value.lines())
        assert box.current == ""
        assert box.root.all() == []


def _stranger(bundle: Path) -> str:
    (bundle / "wheels" / "evil.whl").write_bytes(b"x")
    return "wheels/evil.whl"


def _shorter(bundle: Path) -> str:
    path = bundle / "docs" / "index.html"
    path.write_bytes(path.read_bytes()[:-1])
    return "docs/index.html"


def _flipped(bundle: Path) -> str:
    path = bundle / "docs" / "index.html"
    path.write_bytes(b"X" + path.read_bytes()[1:])
    return "docs/index.html"


def test_two_installations_do_not_meet(box: Box) -> None:
    """The second is told to wait."""
    bundle = box.bundle()
    with box.root.locked(), pytest.raises(AlreadyRunning):
        box.install(bundle, **TOLD)


def test_current_leads_nowhere_else(box: Box) -> None:
    """A link that someone bent outside the releases is refused, not followed."""
    box.install(box.bundle(), **TOLD)
    (box.root.folder / CURRENT).unlink()
    (box.root.folder / CURRENT).symlink_to("/tmp")
    with pytest.raises(BundleError, match="leads to"):
        _ = box.root.current


def test_a_refused_first_bundle_leaves_no_folder(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before anything was laid out nor after; what was there already stays."""
    bundle = box.bundle()
    with pytest.raises(UsageError):
        box.install(bundle)
    assert not box.root.folder.exists()

    def fail(*_arguments: object, **_options: object) -> None:
        raise MachineError("planted")

    monkeypatch.setattr(install, "self_test", fail)
    with pytest.raises(MachineError, match="planted"):
        box.install(bundle, **TOLD)
    assert not box.root.folder.exists()
    box.root.folder.mkdir()
    with pytest.raises(MachineError, match="planted"):
        box.install(bundle, **TOLD)
    assert box.root.folder.is_dir()


def test_what_is_installed_is_what_was_signed(box: Box) -> None:
    """A file that is changed, added or gone afterwards is named, and a manifest of another key."""
    box.install(box.bundle(), **TOLD)
    release = box.root.current
    assert release is not None
    assert find_changes(release, [KEY.public]) == []
    weights = release.files / "models/office/office-8b.Q4_0.gguf"
    whole = weights.read_bytes()
    weights.write_bytes(b"x" + whole[1:])
    (release.files / "docs" / "more.html").write_text("mine")
    (release.files / "wheels" / "gradio-6.31.0-py3-none-any.whl").unlink()
    found = {problem.where for problem in find_changes(release, [KEY.public])}
    assert found == {
        "models/office/office-8b.Q4_0.gguf",
        "docs/more.html",
        "wheels/gradio-6.31.0-py3-none-any.whl",
    }
    stranger = SecretKey(b"stranger", bytes(range(32, 64)))
    assert "manifest.json" in {one.where for one in find_changes(release, [stranger.public])}
