"""Back to the release before, in one step, and forward again in another.

Both releases are whole and stay; only the links and, where the older one cannot read what the newer
wrote, the data change. Invariant: data is replaced only in so many words, and then kept aside.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from kit.bundle.releases import CURRENT, PREVIOUS, Release, Root
from kit.bundle.service import Service
from kit.bundle.units import Serving
from kit.errors import BundleError, MachineError, NotFound

Say = Callable[[str], None]


def rollback(
    serving: Serving, service: Service, *, say: Say, may_lose_newer: bool = False
) -> Release:
    """The previous release is current, and what was current is previous.

    Raises: NotFound without a previous one; BundleError if it cannot read the data and
    `may_lose_newer` is False; MachineError if it does not become healthy: then nothing changed.
    """
    root = Root(serving.root)
    with root.locked():
        current, previous = root.current, root.linked(PREVIOUS)
        if current is None or previous is None:
            raise NotFound("there is no release to go back to", hint="see them: kit status")
        backup = _needed_backup(serving.home, current, previous, may_lose_newer)
        service.stop()
        if backup is not None:
            restore(previous, serving.home, backup)
            say(f"the data is that of {backup.name}; what was there is kept beside it")
        _swap(root, current, previous)
        service.start()
        if not service.is_healthy():
            service.stop()
            _swap(root, previous, current)
            service.start()
            raise MachineError(f"{previous.id} did not become healthy; {current.id} runs again")
    return previous


def _swap(root: Root, old: Release, new: Release) -> None:
    root.switch(PREVIOUS, old)
    root.switch(CURRENT, new)
    root.record("rolled back", to=new.id, was=old.id)


def _needed_backup(
    home: Path, current: Release, previous: Release, may_lose_newer: bool
) -> Path | None:
    """The backup to restore, None if the older release reads the data as it is."""
    if current.schema <= previous.schema:
        return None
    if not may_lose_newer:
        raise BundleError(
            f"{previous.id} cannot read what {current.id} wrote; going back means the data of the"
            " backup before the upgrade, without what was written since",
            hint="if that is right: add --lose-newer; the newer data is kept aside",
        )
    backups = sorted(home.parent.glob(f"{home.name}-backups/*/backup.json"))
    if not backups:
        raise NotFound(f"no backup in {home.parent / (home.name + '-backups')}")
    return backups[-1].parent


def restore(release: Release, home: Path, backup: Path) -> None:
    """The home holds the backup's data, by the release's own command. Raises: MachineError."""
    command = [str(release.python), "-I", "-m", "kit", "--home", str(home), "restore", str(backup)]
    done = subprocess.run(
        [*command, "--replace"], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or "no reason given").splitlines()[0]
        raise MachineError(f"the backup cannot be restored: {said}", hint="nothing was changed")
