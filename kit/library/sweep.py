"""What kills left behind in a home: originals that no document names, and files on their way in.

Knows the folders, and of the database which originals are named. Invariant: fresh files are left
alone, for an `add` may be about to name them; not those that tell of a process that is no more.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from kit.library.store import Library

# Under home/tmp: files on their way in, folders that a file was read in.
LEFT_BY_KILLS = ("add-*", ".add-*", "read-*")


def sweep(library: Library, *, older_than_s: float = 3600.0) -> int:
    """Remove what a kill left behind. Returns: how many files and folders."""
    rows = library.database.rows("SELECT DISTINCT sha256 FROM documents")
    named = {row[0] for row in rows}
    leftovers = [path for path in library.originals.glob("??/*") if path.name not in named]
    for pattern in LEFT_BY_KILLS:
        leftovers += (library.home / "tmp").glob(pattern)
    oldest = datetime.now(UTC).timestamp() - older_than_s
    old = [path for path in leftovers if changed_at(path) < oldest or _is_orphan(path)]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)


def _is_orphan(path: Path) -> bool:
    """Whether the process that its name tells, as add-<pid>-… does, has ended."""
    told = re.match(r"\.?(?:add|read)-(\d+)-", path.name)
    return told is not None and not Path(f"/proc/{told[1]}").exists()


def changed_at(path: Path) -> float:
    """Seconds since the epoch; of what is gone already, the future."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")
