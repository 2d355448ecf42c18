"""The releases on a server: each in a folder of its own, one of them current.

    root/
      current -> releases/1.2.0-3f5c1a9e     the one that runs
      releases/<version>-<digest>/           files/ as the manifest lists them, venv/, manifest
      trusted/<key id>.pub                   whose bundles are taken
      serving.json                           how they are served
      audit.jsonl                            what was done here, one line each, never changed

Invariants: a folder without release.json is no release, however it came to be; that file is written
last. `current` always names a whole release: it is replaced by renaming a new link over it, and
that one rename is the whole switch. A release that became current and was found healthy has a
good.json with a number; the highest is the last one that was, the next the one before it.

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
CURRENT, GOOD, BACKUP, LOCK = "current", "good.json", "backup.json", ".lock"
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
        return int(self._record(RECORD).get("schema", 0))

    @property
    def good(self) -> int:
        """How late it was found healthy, against others; 0 = never."""
        return int(self._record(GOOD).get("number", 0))

    @property
    def backup(self) -> Path | None:
        """The backup that was made before it first touched the data."""
        path = self._record(BACKUP).get("path")
        return Path(path) if path else None

    def keep_backup(self, path: Path) -> None:
        write_atomic(self.folder / BACKUP, json.dumps({"path": str(path)}).encode())

    def forget_good(self) -> None:
        """It has to be found healthy anew."""
        (self.folder / GOOD).unlink(missing_ok=True)
        fsync_folder(self.folder)

    def _record(self, name: str) -> dict[str, Any]:
        try:
            record = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            raise BundleError(f"{self.folder / name} cannot be read: {problem}") from None
        return record if isinstance(record, dict) else {}


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

    def all(self) -> list[Release]:
        """Every whole release, by name."""
        names = sorted(path.parent.name for path in self.releases.glob(f"*/{RECORD}"))
        return [self.find(name) for name in names]

    @property
    def current(self) -> Release | None:
        """The release that runs; None before the first. Raises: BundleError if the link is bent."""
        path = self.folder / CURRENT
        if not path.is_symlink():
            return None
        target = os.readlink(path)
        head, _, name = target.rpartition("/")
        if head != "releases":
            raise BundleError(f"{path} leads to {target}, a folder below releases/ expected")
        return self.find(name)

    @property
    def previous(self) -> Release | None:
        """The release to go back to: of all others the last one that was good."""
        current = self.current
        others = [one for one in self.all() if current is None or one.id != current.id]
        return max((one for one in others if one.good), key=lambda one: one.good, default=None)

    @property
    def is_settled(self) -> bool:
        """Whether the last switch was seen through: what runs was found healthy after it."""
        current, previous = self.current, self.previous
        return current is None or current.good > (previous.good if previous else 0)

    # -- changing -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes this root meanwhile; if it was not there and nothing came into it,
        it is gone again. Raises: AlreadyRunning."""
        with explain_os_errors(self.folder):
            is_new = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
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
            if is_new:
                self._remove_if_empty()
            os.close(handle)

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # something is in it
            self.releases.rmdir()
        if [path.name for path in self.folder.iterdir()] == [LOCK]:
            (self.folder / LOCK).unlink()
            self.folder.rmdir()

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

    def switch(self, release: Release) -> None:
        """That release is current, from one moment on. It is on record before it happens."""
        current = self.current
        self.record("switching", to=release.id, was=current.id if current else "")
        new = self.folder / f".{CURRENT}.new"
        with explain_os_errors(new):
            new.unlink(missing_ok=True)
            new.symlink_to(f"releases/{release.id}")
            os.replace(new, self.folder / CURRENT)
            fsync_folder(self.folder)

    def mark_good(self, release: Release) -> None:
        """That release was found healthy while it was current."""
        number = 1 + max(one.good for one in self.all())
        text = json.dumps({"number": number, "at": _now()})
        write_atomic(release.folder / GOOD, text.encode())
        self.record("good", release=release.id)

    def remove_leftovers(self) -> list[str]:
        """Folders that are no release, and halves of files, are gone; the folders' names."""
        folders = list(self.releases.iterdir()) if self.releases.is_dir() else []
        left = [path for path in folders if not (path / RECORD).is_file()]
        for path in left:
            shutil.rmtree(path)
        for folder in (self.folder, self.folder / "trusted", *set(folders) - set(left)):
            for path in folder.glob(".*"):  # as write_atomic and switch name them
                if path.name != LOCK and not path.is_dir():
                    path.unlink()
        return [path.name for path in left]

    def prune(self) -> list[str]:
        """Releases that are neither current nor previous are gone; their names."""
        kept = {release.id for release in (self.current, self.previous) if release}
        old = [release for release in self.all() if release.id not in kept]
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
