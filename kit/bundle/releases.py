"""The releases on a server: each in a folder of its own, one of them current.

    root/
      current -> releases/1.2.0-3f5c1a9e     the one that runs
      previous -> releases/1.1.0-77ab01c2    the one before it, to go back to
      releases/<version>-<digest>/           files/ as the manifest lists them, venv/, manifest
      trusted/<key id>.pub                   whose bundles are taken
      audit.jsonl                            what was done here, one line each, never changed

Invariants: a folder without release.json is no release, however it came to be; that file is written
last. `current` always names a whole release: it is replaced by renaming a new link over it.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kit.bundle.manifest import MANIFEST, Manifest, parse_manifest
from kit.bundle.minisign import PublicKey, parse_public_key
from kit.errors import AlreadyRunning, BundleError, NotFound
from kit.files import explain_os_errors, fsync_folder, write_atomic

RECORD = "release.json"
CURRENT, PREVIOUS = "current", "previous"
_ID = re.compile(r"[0-9][A-Za-z0-9.+_-]*-[0-9a-f]{8}")


@dataclass(frozen=True)
class Release:
    """One installed release. `id` is its folder's name."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def schema(self) -> int:
        """The version of the database that it writes; 0 = it did not say."""
        record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        return int(record.get("schema", 0))


def release_id(manifest: Manifest) -> str:
    """'1.2.0-3f5c1a9e': two bundles of one version have two names."""
    return f"{manifest.version}-{manifest.sha256[:8]}"


class Root:
    """The folder that holds a server's releases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.releases = folder / "releases"

    # -- seeing ---------------------------------------------------------------------------------

    def path_of(self, manifest: Manifest) -> Path:
        return self.releases / release_id(manifest)

    def find(self, name: str) -> Release:
        """That release. Raises: NotFound; BundleError if its record was damaged."""
        folder = self.releases / name
        if not _ID.fullmatch(name) or not (folder / RECORD).is_file():
            raise NotFound(f"there is no release {name!r}", hint="see them: kit status")
        return Release(folder, parse_manifest((folder / MANIFEST).read_bytes()))

    def list(self) -> list[Release]:
        """Every whole release, by name."""
        names = sorted(path.parent.name for path in self.releases.glob(f"*/{RECORD}"))
        return [self.find(name) for name in names]

    def linked(self, link: str) -> Release | None:
        """The release that CURRENT or PREVIOUS names, None if there is none.

        Raises: BundleError if the link leads elsewhere.
        """
        path = self.folder / link
        if not path.is_symlink():
            return None
        target = os.readlink(path)
        head, _, name = target.rpartition("/")
        if head != "releases":
            raise BundleError(f"{path} leads to {target}, a folder below releases/ expected")
        return self.find(name)

    @property
    def current(self) -> Release | None:
        return self.linked(CURRENT)

    # -- changing -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes this root meanwhile. Raises: AlreadyRunning."""
        with explain_os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(
                    f"another installation is working in {self.folder}",
                    hint="wait for it to end, then try again",
                ) from None
            yield
        finally:
            os.close(handle)

    def begin(self, manifest: Manifest) -> Path:
        """An empty folder for that release; what an earlier attempt left of it is gone."""
        folder = self.path_of(manifest)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder

    def complete(self, manifest: Manifest, facts: dict[str, Any]) -> Release:
        """The folder is a release from here on."""
        folder = self.path_of(manifest)
        record = {"version": manifest.version, "installed": _now(), **facts}
        write_atomic(folder / RECORD, json.dumps(record, indent=2, sort_keys=True).encode())
        return self.find(folder.name)

    def switch(self, link: str, release: Release) -> None:
        """`link` names that release, at one moment."""
        new = self.folder / f".{link}.new"
        with explain_os_errors(new):
            new.unlink(missing_ok=True)
            new.symlink_to(f"releases/{release.id}")
            os.replace(new, self.folder / link)
            fsync_folder(self.folder)

    def remove_leftovers(self) -> list[str]:
        """Folders that never became a release are gone; their names."""
        if not self.releases.is_dir():
            return []
        left = [path for path in self.releases.iterdir() if not (path / RECORD).is_file()]
        for path in left:
            shutil.rmtree(path)
        return [path.name for path in left]

    def prune(self) -> list[str]:
        """Releases that are neither current nor previous are gone; their names."""
        kept = {release.id for link in (CURRENT, PREVIOUS) if (release := self.linked(link))}
        old = [release for release in self.list() if release.id not in kept]
        for release in old:
            (release.folder / RECORD).unlink()
            shutil.rmtree(release.folder)
        return [release.id for release in old]

    # -- trust ----------------------------------------------------------------------------------

    def trusted_keys(self) -> list[PublicKey]:
        """Whose bundles are taken here."""
        paths = sorted((self.folder / "trusted").glob("*.pub"))
        return [parse_public_key(path.read_text(encoding="utf-8")) for path in paths]

    def trust(self, key: PublicKey, comment: str) -> None:
        """Bundles of that key are taken from now on."""
        path = self.folder / "trusted" / f"{key.id_text}.pub"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, key.text(comment).encode())

    def distrust(self, key: PublicKey) -> None:
        """Bundles of that key are refused from now on."""
        path = self.folder / "trusted" / f"{key.id_text}.pub"
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)

    def record(self, what: str, **facts: Any) -> None:
        """One line in the audit: what was done here, and when."""
        line = json.dumps({"at": _now(), "what": what, **facts}, sort_keys=True) + "\n"
        with explain_os_errors(self.folder), (self.folder / "audit.jsonl").open("a") as out:
            out.write(line)
            out.flush()
            os.fsync(out.fileno())


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017 - 3.9
