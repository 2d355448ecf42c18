"""Files that no person means when they say "my documents": by their names alone.

Knows names only. Shared by folders that are followed and archives that are unpacked.
"""

from __future__ import annotations

_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_UNFINISHED = (".part", ".crdownload", ".partial", ".download", ".tmp", ".swp")


def why_junk(name: str) -> str | None:
    """Why a file or folder of this name (no path) is left out; None if it may be a document."""
    lower = name.lower()
    if lower.startswith(("~$", ".~lock.")) or lower.endswith("~"):
        return "a temporary file of an office program"
    if lower in _LITTER or lower in (".ds_store", "__macosx", "$recycle.bin"):
        return "litter of the operating system"
    if lower.endswith(_UNFINISHED):
        return "unfinished"
    if lower.startswith("."):
        return "hidden"
    return None
