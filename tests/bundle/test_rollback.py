"""Back to the release before, forward again, and the same bundle once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.bundle import install
from kit.bundle import rollback as rollback_module
from kit.bundle.rollback import rollback
from kit.bundle.serving import Serving
from kit.errors import (
    BundleError,
    KitError,
    MachineError,
    NotFound,
)
from tests.bundle.conftest import Box
from tests.bundle.made import KEY

TOLD = {"fingerprint": KEY.public.fingerprint}


def test_rollback_goes_to_the_release_before_and_forward_again(box: Box) -> None:
    """The two change places, in one step each; without a previous one it is refused."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    serving = Serving(box.root.folder, box.folder / "home", "kit")
    with pytest.raises(NotFound):
        rollback(serving, box.service, say=box.said.append)
    second = box.install(box.bundle("1.3.0", seed=1))
    assert rollback(serving, box.service, say=box.said.append).id == first
    assert box.current == first
    assert rollback(serving, box.service, say=box.said.append).id == second
    assert box.service.calls[-2:] == ["stop", "start"]


def test_rollback_over_a_newer_database_needs_a_word(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that the older release cannot read is not touched unless it is allowed; then the backup
    from before the upgrade comes back."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    monkeypatch.setattr(install, "self_test", lambda _python, _home: {"schema": 2})
    second = box.install(box.bundle("1.3.0", seed=1))
    serving = Serving(box.root.folder, box.folder / "home", "kit")
    with pytest.raises(BundleError, match="written since"):
        rollback(serving, box.service, say=box.said.append)
    assert box.current == second
    restored: list[Path] = []
    monkeypatch.setattr(rollback_module, "restore", lambda _r, _s, backup: restored.append(backup))
    backup = box.folder / "home-backups" / "kit-backup-2026-11-26T100000Z"
    backup.mkdir(parents=True)
    current = box.root.current
    assert current is not None
    current.keep_backup(backup)
    rollback(serving, box.service, say=box.said.append, may_lose_newer=True)
    assert (box.current, restored) == (first, [backup])


def test_what_was_gone_back_from_is_taken_again_as_it_lies(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bundle after a rollback copies nothing, and its release must run well anew."""
    first = box.install(box.bundle("1.2.0"), **TOLD)
    again = box.bundle("1.3.0", seed=1)
    second = box.install(again)
    serving = Serving(box.root.folder, box.folder / "home", "kit")
    rollback(serving, box.service, say=box.said.append)
    monkeypatch.setattr(install, "stage", lambda *_, **__: pytest.fail("it was laid out anew"))
    box.service.is_well = False
    with pytest.raises(MachineError, match="runs again"):
        box.install(again)
    assert box.current == first
    box.service.is_well = True
    assert box.install(again) == second
    assert box.root.is_settled
    assert box.root.previous is not None
    assert box.root.previous.id == first


@pytest.mark.parametrize("fault", ["changed", "broken"])
def test_what_was_gone_back_from_is_laid_out_anew_where_it_is_not_sound(
    box: Box, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A changed file, or a release that gives no answer: the bundle's own takes its place."""
    box.install(box.bundle("1.2.0"), **TOLD)
    again = box.bundle("1.3.0", seed=1)
    second = box.install(again)
    page = box.root.find(second).files / "docs" / "index.html"
    sound = page.read_bytes()
    serving = Serving(box.root.folder, box.folder / "home", "kit")
    rollback(serving, box.service, say=box.said.append)
    if fault == "changed":
        page.write_bytes(b"changed")
    else:
        facts = iter([MachineError("no answer"), {"schema": 1}])

        def self_test(_python: Path, _home: Path) -> object:
            if isinstance(told := next(facts), KitError):
                raise told
            return told

        monkeypatch.setattr(install, "self_test", self_test)
    assert box.install(again) == second
    assert page.read_bytes() == sound
    assert "laid out anew" in "\n".join(box.said)
