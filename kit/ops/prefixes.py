"""Prefixes of removed documents leave the disk, also while no engine runs that could be told.

Knows the folder and the library. Invariant: a file goes only if its document is no more, so this
may run beside an engine: one that looks for such a file finds it gone and reads what it needs.
"""

from __future__ import annotations

from pathlib import Path

from kit.database import Database
from kit.library.index.prefixes import ended_prefixes


def remove_ended(home: Path, database: Database) -> int:
    """Nothing of a removed document is left in the folder of pinned prefixes; how many files."""
    folder = home / "prefixes"
    if not folder.is_dir():
        return 0
    from kit.engine.pins import pinned

    found = pinned(folder)
    ended = set(ended_prefixes(database, found.values()))
    paths = [path for path, name in found.items() if name in ended]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
