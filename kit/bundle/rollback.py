"""Back to the release before, in one step, and forward again in another.

Both releases are whole and stay; only the links and, where the older one cannot read what the newer
wrote, the data change. Invariant: data is replaced only in so many words, and then kept aside.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.bundle.releases import Release, Root
from kit.bundle.service import Service, run_release, said, stopped
from kit.bundle.serving import Serving
from kit.errors import BundleError, KitError, MachineError, NotFound
from kit.files import explain_os_errors

Say = Callable[[str], None]


def rollback(
    serving: Serving, service: Service, *, say: Say, may_lose_newer: bool = False
) -> Release:
    """The previous release is current, and what was current is previous.

    A rollback that was cut short after its switch is seen through.
    Raises: NotFound without a previous one; BundleError if it cannot read the data and
    `may_lose_newer` is False; MachineError if it does not become healthy: then nothing changed.
    """
    root = Root(serving.root)
    with explain_os_errors(root.folder), root.locked():
        root.remove_leftovers()
        current, previous = root.current, root.previous
        if current is not None and not root.is_settled and current.good:
            say(f"{current.id} is current already, from a switch that was cut short")
            service.start()
            _require_healthy(service, current)
            root.mark_good(current)
            return current
        if current is None or previous is None:
            raise NotFound("there is no release to go back to", hint="see them: kit status")
        service.require_stoppable()
        backup = _needed_backup(current, previous, may_lose_newer)
        with stopped(service):
            if backup is not None:
                restore(previous, serving, backup)
                say(f"the data is that of {backup.name}; what was there is kept beside it")
            root.switch(previous)
        try:
            with explain_os_errors(root.folder):
                service.start()
            _require_healthy(service, previous)
        except KitError as problem:
            service.stop()
            root.switch(current)
            service.start()
            raise MachineError(f"{current.id} runs again: {problem.message}") from problem
        root.mark_good(previous)
    return previous


def _require_healthy(service: Service, release: Release) -> None:
    if not service.is_healthy():
        raise MachineError(f"{release.id} did not become healthy in time")


def _needed_backup(current: Release, previous: Release, may_lose_newer: bool) -> Path | None:
    """The backup to restore, None if the older release reads the data as it is."""
    if current.schema <= previous.schema:
        return None
    if not may_lose_newer:
        raise BundleError(
            f"{previous.id} cannot read what {current.id} wrote; going back means the data of the"
            " backup before the upgrade, without what was written since",
            hint="if that is right: add --lose-newer; the newer data is kept aside",
        )
    backup = current.backup
    if backup is None or not backup.is_dir():
        raise NotFound(f"the backup from before {current.id} is not there: {backup or 'none made'}")
    return backup


def restore(release: Release, serving: Serving, backup: Path) -> None:
    """The home holds the backup's data, by the release's own command. Raises: MachineError."""
    done = run_release(serving, release, ["restore", str(backup), "--replace"])
    if done.returncode != 0:
        raise MachineError(
            f"the backup cannot be restored: {said(done)}", hint="nothing was changed"
        )
