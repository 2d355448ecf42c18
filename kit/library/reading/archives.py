"""Archives become their members: a child takes them apart, and each member is kept as a file.

Knows which files are archives and what a child handed out; the taking apart is
kit/library/reading/unpack_child.py, in the same cage as a parser. Invariant: nothing of an archive
is looked into outside the child but its first bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from kit.config import LibrarySettings
from kit.errors import DocumentRefused
from kit.library.reading.read_file import run_child

MAX_DEPTH = 2  # an archive within an archive is unpacked, one within that is not
# Documents that are zip files inside.
_ZIPPED = frozenset({
    *(".docx", ".docm", ".dotx", ".dotm", ".pptx", ".pptm", ".ppsx", ".ppsm", ".potx"),
    *(".xlsx", ".xlsm", ".xlsb", ".xltx", ".odt", ".ods", ".odp", ".odg", ".ott", ".ots", ".otp"),
    *(".epub", ".pages", ".numbers", ".key", ".vsdx", ".xps", ".oxps"),
})  # fmt: skip
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


@dataclass(frozen=True)
class Member:
    """A file out of an archive, kept among the originals. `name`: its path in the archive."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Archive:
    """What was in an archive, and what of it was left out: (name, why)."""

    members: tuple[Member, ...]
    skipped: tuple[tuple[str, str], ...]


def is_archive(path: Path, name: str) -> bool:
    """Whether the file looks like one by its first bytes, and not like a zipped document."""
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(b"PK") and PurePosixPath(name.lower()).suffix in _ZIPPED:
        return False
    return head.startswith(_MAGIC) or head[257:262] == b"ustar"


def unpack_in_child(
    path: Path,
    name: str,
    *,
    depth: int,
    settings: LibrarySettings,
    work_folder: Path,
    keep: Callable[[IO[bytes]], tuple[str, int]],
    should_stop: Callable[[], bool] = lambda: False,
) -> Archive | None:
    """The archive's members, each handed to `keep`, which gives (sha256, size in bytes).

    `depth`: in how many archives it lies itself. Returns: None if it is a document after all.
    Raises: DocumentRefused if it is damaged, too deep, a bomb, or holds nothing that is taken out.
    """
    if depth >= MAX_DEPTH:
        raise DocumentRefused(
            f"it is an archive inside {depth} others; only {MAX_DEPTH} levels are unpacked",
            hint="unpack the outer archive and add this one by itself",
        )
    members: list[Member] = []

    def use_files(folder: Path, result: dict[str, Any]) -> None:
        for member in result.get("members", ()):
            file = folder / str(int(member["file"]))  # the child could be another's by now
            if file.is_symlink() or not file.is_file():
                raise DocumentRefused("the archive made its reader misbehave")
            with file.open("rb") as stream:
                members.append(Member(member["name"], *keep(stream)))

    result = run_child(
        {"name": name},
        path,
        timeout_s=settings.parse_timeout_s,
        memory_mb=settings.parse_memory_mb,
        work_folder=work_folder,
        should_stop=should_stop,
        module="kit.library.reading.unpack_child",
        use_files=use_files,
    )
    if not result["is_archive"]:
        return None
    skipped = tuple((str(name), str(why)) for name, why in result["skipped"])
    if not members:
        why = f"; {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise DocumentRefused(
            f"nothing in the archive can be taken out{why}",
            hint="unpack it yourself and add the files inside",
        )
    return Archive(tuple(members), skipped)
