"""A relocatable Python in an archive, as files that a bundle lists one by one.

For servers whose own Python is too old. Reads the usual archives of stand-alone builds (one folder
with bin/python3.X and lib/python3.X); runs nothing of them. Links are followed inside the archive
only, so that a bundle holds plain files.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path

from kit.bundle.manifest import path_problem
from kit.errors import UsageError

MAX_LINKS = 16
_LEFT_OUT = (
    "/config-3",
    "/test/",
    "/tests/",
    "/__pycache__/",
    "/idlelib/",
    "/turtledemo/",
    "/terminfo/",
)


def read_interpreter(archive: Path, version: str) -> dict[str, bytes]:
    """Name below the interpreter's folder -> bytes.

    Raises: UsageError if it is no such archive, or of another version than `version` ('3.11').
    """
    try:
        with tarfile.open(archive) as tar:
            members = {posixpath.normpath(member.name): member for member in tar}
        top = _top(members, version, archive)
        wanted = _wanted(members, top)
        contents = _read(archive, set(wanted.values()))
    except (OSError, tarfile.TarError, EOFError) as problem:
        raise UsageError(f"{archive} cannot be read: {problem}") from None
    return {inside: contents[source] for inside, source in wanted.items()}


def _wanted(members: Mapping[str, tarfile.TarInfo], top: str) -> dict[str, str]:
    """Name in the bundle -> name in the archive of the plain file with its bytes."""
    found: dict[str, str] = {}
    for name in sorted(members):
        inside = name[len(top) :].lstrip("/") if name.startswith(f"{top}/") else ""
        if inside and _is_wanted(inside) and path_problem(f"python/{inside}") is None:
            source = _followed(members, name)
            if source is not None:
                found[inside] = source
    return found


def _read(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """The bytes of those files, in one pass: a packed archive cannot be read backwards."""
    contents: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = posixpath.normpath(member.name)
            stream = tar.extractfile(member) if name in names and member.isfile() else None
            if stream is not None:
                contents[name] = stream.read()
    return contents


def _top(members: Mapping[str, tarfile.TarInfo], version: str, archive: Path) -> str:
    """The folder that holds bin/python3.X and its library."""
    for name in sorted(members, key=len):
        if name.endswith(f"/bin/python{version}"):
            top = name[: -len(f"/bin/python{version}")]
            if f"{top}/lib/python{version}/os.py" in members:
                return top
    raise UsageError(
        f"{archive} holds no Python {version} with its library",
        hint=f"take a stand-alone build of {version} for the server's machine, as .tar.gz",
    )


def _is_wanted(name: str) -> bool:
    return name.startswith(("bin/python", "lib/")) and not any(
        part in f"/{name}" for part in _LEFT_OUT
    )


def _followed(members: Mapping[str, tarfile.TarInfo], name: str) -> str | None:
    """The plain file that a name leads to; None for folders, and for links that lead outside."""
    for _ in range(MAX_LINKS):
        member = members.get(name)
        if member is None:
            return None
        if member.isfile():
            return name
        if member.issym():
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            name = posixpath.normpath(member.linkname)
        else:
            return None
    return None
