"""llama.cpp's own converter, of exactly the version that the engine is, out of its source package.

Knows pip and one archive, no models. Invariants: only the converter's own files are unpacked, under
names that stay in their folder; a folder without converter.json is no converter.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import FetchError, MachineError, Problem, UsageError
from kit.files import explain_os_errors, safe_join, sha256_file, write_atomic
from kit.supply.sources.pypi import pip_download
from kit.supply.sources.source import Report

PACKAGE = "llama-cpp-python"
SDIST_SHA256 = {"0.3.36": "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"}
"""The source package of the pinned version; its code runs here, so no other is taken."""
SDIST = "KIT_LLAMA_SDIST"
"""Names the source package's file where no index can be reached."""
RECORD = "converter.json"
MAX_FILE_BYTES, MAX_FILES = 8 << 20, 1000
_WANTED = re.compile(
    r"[^/]+/vendor/llama\.cpp/(convert_hf_to_gguf\.py|conversion/[^/]+\.py|gguf-py/gguf/.+\.py)"
)


@dataclass(frozen=True)
class Converter:
    """An unpacked converter. `sdist_sha256` is the package it came out of."""

    folder: Path
    version: str
    sdist_sha256: str

    @property
    def script(self) -> Path:
        return self.folder / "convert_hf_to_gguf.py"


def _quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


def find_converter(
    home: Path, *, environ: Mapping[str, str] | None = None, on_report: Report = _quiet
) -> Converter:
    """The converter for the engine that is installed, fetched if it is not here yet.

    Raises: FetchError if pip cannot get it, or got another file; UsageError if the named file is
    not it; MachineError if another engine is installed than this kit was made for.
    """
    version = importlib.metadata.version(PACKAGE)
    if version not in SDIST_SHA256:
        raise MachineError(
            f"{PACKAGE} {', '.join(SDIST_SHA256)} expected, {version} is installed",
            hint="run scripts/up again, which installs the version that belongs to this kit",
        )
    folder = home / "tools" / f"converter-{version}"
    if (folder / RECORD).is_file():
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Converter(folder, version, record["sdist_sha256"])
    environ = os.environ if environ is None else environ
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sdist-", dir=folder.parent) as work:
            named = environ.get(SDIST)
            sdist = Path(named) if named else _download(version, Path(work), environ, on_report)
            digest = _require_pinned(sdist, version, is_named=bool(named))
            shutil.rmtree(folder, ignore_errors=True)
            _unpack(sdist, folder, version)
            record = {"version": version, "sdist_sha256": digest}
    write_atomic(folder / RECORD, json.dumps(record).encode())
    return Converter(folder, version, record["sdist_sha256"])


def _require_pinned(sdist: Path, version: str, *, is_named: bool) -> str:
    """Its SHA-256, which is the pinned one. Threat: an index or a medium that serves other code."""
    try:
        digest = sha256_file(sdist)
    except OSError as problem:
        raise UsageError(f"cannot read {sdist}: {problem.strerror}", hint=f"see {SDIST}") from None
    if digest == SDIST_SHA256[version]:
        return digest
    said = f"sha256 of {sdist.name}: {SDIST_SHA256[version]} expected, {digest} observed"
    if is_named:
        raise UsageError(
            f"{sdist} is not the source package of {PACKAGE} {version}",
            problems=[Problem(sdist.name, said)],
            hint=f"expected {PACKAGE.replace('-', '_')}-{version}.tar.gz, as it was published",
        )
    raise FetchError(
        f"the package index served another source of {PACKAGE} {version}",
        problems=[Problem(sdist.name, said)],
        hint="do not use it, and ask who runs the index or mirror",
    )


def _download(version: str, work: Path, environ: Mapping[str, str], on_report: Report) -> Path:
    options = ("--no-build-isolation", "--no-binary", PACKAGE)
    try:
        return pip_download(f"{PACKAGE}=={version}", options, "*.tar.gz", work, environ, on_report)
    except FetchError as problem:
        raise FetchError(
            f"the converter, which the source of {PACKAGE} carries, was not fetched: "
            f"{problem.message}",
            problems=problem.problems,
            hint=f"{problem.hint}; or name a copy of the file: {SDIST}=/path/to/file.tar.gz",
        ) from problem


def _unpack(sdist: Path, folder: Path, version: str) -> None:
    """The converter's files out of the archive. Threat: names that leave the folder, links, bombs.

    No name of the archive is used but those that the pattern takes apart.
    """
    num_files = 0
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            for member in archive:
                found = _WANTED.fullmatch(member.name)
                if found is None or not member.isreg():
                    continue
                if member.size > MAX_FILE_BYTES or num_files >= MAX_FILES:
                    raise UsageError(f"{sdist.name} holds more than a converter: {member.name}")
                path = safe_join(folder, found[1])
                path.parent.mkdir(parents=True, exist_ok=True)
                stream = archive.extractfile(member)
                path.write_bytes(stream.read() if stream else b"")
                num_files += 1
    except (OSError, EOFError, tarfile.TarError) as problem:
        raise UsageError(
            f"{sdist} is no whole source package of {PACKAGE}: {problem}",
            hint=f"expected {PACKAGE.replace('-', '_')}-{version}.tar.gz",
        ) from None
    if not (folder / "convert_hf_to_gguf.py").is_file():
        raise UsageError(f"{sdist} holds no converter; the source of {PACKAGE} {version} expected")
