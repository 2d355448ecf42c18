"""The `kit` command of an installation, where shells find it: a link to the current release's.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from kit.bundle.releases import CURRENT
from kit.bundle.serving import Serving


def link_command(serving: Serving) -> Path | None:
    """The link is there; None if it was, or if another command has its name: that stays."""
    folder = Path("/usr/local/bin") if serving.has_service else Path.home() / ".local" / "bin"
    link, target = folder / "kit", serving.root / CURRENT / "venv" / "bin" / "kit"
    if link.is_symlink() or link.exists():
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(target, link)
    except OSError:  # a read-only system: its full path works as well
        return None
    return link
