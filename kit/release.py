"""The release that this kit runs from, if it was installed from a bundle: what came with it.

    <root>/serving.json                where its data lies and how it is served
    <root>/releases/<id>/venv/         this Python
    <root>/releases/<id>/files/        as the bundle carried them: models/, settings.toml, docs/

Knows these places, changes nothing. Invariant: what is found belongs to the release this process
was started from, also while an upgrade switches to another.
"""

from __future__ import annotations

import functools
import json
import os
import pwd
import sys
from pathlib import Path

from kit.errors import MachineError

FILES, SETTINGS, SERVING = "files", "settings.toml", "serving.json"


@functools.cache
def running_release() -> Path | None:
    """Its folder, links followed; None for a checkout or a plain installation."""
    folder = Path(sys.prefix).resolve().parent
    is_ours = (folder / "manifest.json").is_file() and (folder / FILES).is_dir()
    return folder if is_ours and folder.parent.name == "releases" else None


def installation_root() -> Path | None:
    """The folder that holds all releases, this one among them."""
    release = running_release()
    return release.parent.parent if release else None


def bundled_models() -> Path | None:
    """The folder of the models that came with this release; None if none did."""
    release = running_release()
    folder = release / FILES / "models" if release else None
    return folder if folder is not None and folder.is_dir() else None


def bundled_settings() -> Path | None:
    """The settings that came with this release."""
    release = running_release()
    return release / FILES / SETTINGS if release else None


def serving_home() -> Path | None:
    """Where the installation keeps its data; None if it did not say."""
    root = installation_root()
    if root is None:
        return None
    try:
        record = json.loads((root / SERVING).read_text(encoding="utf-8"))
        return Path(record["home"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_owner(home: Path) -> None:
    """Raises: MachineError for root on a service's data: what root writes the service cannot read.

    Only where the data is an installation's: elsewhere root may have its reasons.
    """
    if os.geteuid() != 0 or home != serving_home() or not home.is_dir():
        return
    owner = home.stat().st_uid
    if owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise MachineError(
        f"{home} belongs to {name}, and what root writes there the service could not read",
        hint=f"run it as that user: sudo -u {name} kit …",
    )
