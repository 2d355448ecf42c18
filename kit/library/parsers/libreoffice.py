"""Files of older Office programs become today's, by LibreOffice inside this process.

LibreOffice is the distribution's; the kit carries none. Knows its C interface (LibreOfficeKit.h,
whose tables of functions only grow at their ends). Invariant: it meets a file only where `use` said
so, which the reading child does once its cage is closed around both.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from kit.errors import DocumentRefused

OldFormat = Literal["doc", "ppt"]

_PROGRAM_FOLDERS = (
    "/usr/lib/libreoffice/program", "/usr/lib64/libreoffice/program", "/opt/libreoffice*/program",
)  # fmt: skip
_LIBRARIES = ("libmergedlo.so", "libsofficeapp.so")
# What it reads beside its program folder; some of its own files are links to these.
_DATA = (
    "/usr/share/libreoffice", "/etc/libreoffice", "/var/lib/libreoffice", "/var/spool/libreoffice",
    "/usr/share/fonts", "/etc/fonts", "/var/cache/fontconfig",
)  # fmt: skip

# Nothing in a document runs, and nothing that it links to is fetched.
_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
</oor:items>
"""
_LOAD, _ERROR, _SAVE = 2, 3, 2  # places in the tables of the office and of a document


@dataclass(frozen=True)
class _Kind:
    what: str
    into: str
    part: str
    """The library that LibreOffice has for them."""
    windows: str
    """Where their windows are described, without which some files do not open, though none shows;
    packages for servers (nogui) lack them."""
    package: str


_KINDS: dict[OldFormat, _Kind] = {
    "doc": _Kind(
        "a Word document of before 2007 (DOC)", "docx", "program/libswlo.so",
        "share/config/soffice.cfg/modules/swriter/ui", "libreoffice-writer",
    ),
    "ppt": _Kind(
        "a presentation of before 2007 (PPT)", "pptx", "program/libsdlo.so",
        "share/config/soffice.cfg/modules/simpress/ui", "libreoffice-impress",
    ),
}  # fmt: skip


class LibreOfficeNeeded(Exception):
    """The file has a part that only LibreOffice reads, and nobody said yet whether it may."""


@dataclass
class _Use:
    program: Path | None = None
    is_decided: bool = True
    why_not: str = ""


_use = _Use()


def find_libreoffice() -> Path | None:
    """The folder of its program, wherever distributions put it."""
    found = (
        folder
        for pattern in _PROGRAM_FOLDERS
        for folder in sorted(Path("/").glob(pattern.removeprefix("/")))
        if _library(folder)
    )
    return next(found, None)


def missing_packages(program: Path | None) -> list[str]:
    """Debian's packages that are lacking for what `convert` reads."""
    return [
        kind.package
        for kind in _KINDS.values()
        if program is None
        or not (program.parent / kind.part).exists()
        or not _has_windows(program, kind)
    ]


def _has_windows(program: Path, kind: _Kind) -> bool:
    return any((program.parent / kind.windows).glob("*.ui"))


def files_of(program: Path) -> list[Path]:
    """What it must be able to read."""
    return [program.parent, *(Path(one) for one in _DATA if Path(one).exists())]


def use(program: Path) -> None:
    """From now on `convert` works, by this program."""
    _use.program, _use.is_decided, _use.why_not = program, True, ""


def refuse(why: str = "") -> None:
    """From now on `convert` refuses: because it is not installed, as from the start, or `why`."""
    _use.program, _use.is_decided, _use.why_not = None, True, why


def ask_first() -> None:
    """From now on `convert` raises LibreOfficeNeeded."""
    _use.is_decided = False


def convert(path: Path, format: OldFormat) -> Path:
    """The file as one of today's, beside the others that this process makes.

    Raises: DocumentRefused if LibreOffice or its part for the format is not there, or cannot read
    the file; LibreOfficeNeeded after `ask_first`.
    """
    kind = _KINDS[format]
    if not _use.is_decided:
        raise LibreOfficeNeeded(format)
    instead = f"save it as {kind.into.upper()} and add that"
    install = f"install it and try again (apt-get install {kind.package}), or {instead}"
    if _use.why_not:
        raise DocumentRefused(f"the file is {kind.what}, and {_use.why_not}", hint=instead)
    if _use.program is None:
        reason = "LibreOffice, which reads it, is not installed"
        raise DocumentRefused(f"the file is {kind.what}, and {reason}", hint=install)
    if not (_use.program.parent / kind.part).exists():
        reason = "LibreOffice is installed without its part for it"
        raise DocumentRefused(f"the file is {kind.what}, and {reason}", hint=install)
    target = Path(tempfile.mkdtemp(dir=Path.cwd())) / f"converted.{kind.into}"
    try:
        problem = _save_as(_start(_use.program), path.resolve(), kind.into, target)
    except OSError as failure:
        problem = str(failure)
    if problem is not None:
        if not _has_windows(_use.program, kind):
            instead = f"install {kind.package}, which opens more than its nogui kind, or {instead}"
        raise DocumentRefused(
            f"the file is {kind.what}, and LibreOffice cannot read it ({problem})",
            hint=f"open it in the program that made it, {instead}",
        )
    return target


_started: dict[Path, ctypes.c_void_p] = {}


def _start(program: Path) -> ctypes.c_void_p:
    """LibreOffice, once per process. Raises: OSError if it does not start."""
    if program in _started:
        return _started[program]
    profile = Path(tempfile.mkdtemp(dir=Path.cwd()))
    (profile / "user").mkdir()
    (profile / "user" / "registrymodifications.xcu").write_text(_SETTINGS)
    library = ctypes.CDLL(str(_library(program)), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    hook = library.libreofficekit_hook_2
    hook.restype, hook.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_char_p)
    office = hook(os.fsencode(program), profile.as_uri().encode())
    if not office:
        raise OSError("it does not start")
    _started[program] = ctypes.c_void_p(office)
    return _started[program]


def _save_as(office: ctypes.c_void_p, source: Path, into: str, target: Path) -> str | None:
    """What went wrong, in LibreOffice's words; None if the file was written."""
    load = _function(office, _LOAD, ctypes.c_void_p, (ctypes.c_char_p,))
    error = _function(office, _ERROR, ctypes.c_char_p, ())
    document = load(office, source.as_uri().encode())
    if document:
        save = _function(document, _SAVE, ctypes.c_int, (ctypes.c_char_p,) * 3)
        save(document, target.as_uri().encode(), into.encode(), None)
        if target.exists():
            return None
    said = (error(office) or b"no reason given").decode("utf-8", "replace")
    return unquote(said)[:200]


def _function(thing: Any, place: int, result: Any, arguments: Iterable[Any]) -> Any:
    """A function of the table that the thing begins with; the thing is its first argument."""
    table = ctypes.cast(thing, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *arguments)(table[place])


def _library(program: Path) -> Path | None:
    return next((program / name for name in _LIBRARIES if (program / name).exists()), None)
