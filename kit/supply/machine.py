"""A machine as a probe file tells of it: what decides which models it can run.

Knows the file's format; `kit doctor --probe` fills it in. Says nothing of who the machine is: no
name, no address, no serial number. Invariant: what `read_probe` returns has every field, of the
right type.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import MachineError, Problem, UsageError

FORMAT = "kit machine probe"
VERSION = 1
MAX_PROBE_BYTES = 1 << 20
_AGAIN = "make it again on that machine: kit doctor --probe --output machine.json"


@dataclass(frozen=True)
class MachineProbe:
    """What a machine offers. None = not found out, never a guess."""

    kit_version: str
    probed_at: str
    """UTC, as 2026-11-26T17:00:00Z."""
    architecture: str
    """As the kernel names it: x86_64, aarch64."""
    cpu_name: str
    cpu_flags: tuple[str, ...]
    """Of the instruction sets that llama.cpp has kernels for."""
    cores: int
    """Physical cores that this user may use."""
    memory_total_bytes: int
    memory_available_bytes: int
    """What can be allocated without pushing others out, within this control group's limit."""
    disk_free_bytes: int
    """Where the kit's data lies or would lie."""
    os_name: str
    kernel: str
    glibc: str | None
    systemd: str | None
    python_versions: tuple[str, ...]
    gpus: tuple[str, ...]
    bandwidth_bytes_per_s: float | None
    """Memory copied by all cores together, read and write counted."""


def write_probe(probe: MachineProbe) -> str:
    """The probe as versioned JSON."""
    document = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(probe)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_probe(path: Path) -> MachineProbe:
    """The machine that the file tells of.

    Raises: MachineError if it cannot be read, UsageError if it is damaged, of another kind, or
    written by a newer kit.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_PROBE_BYTES + 1)
    except OSError as problem:
        raise MachineError(
            f"cannot read the probe file {path}: {problem.strerror}",
            hint="check the path; such a file is made by: kit doctor --probe --output machine.json",
        ) from problem
    try:
        document = json.loads(data.decode("utf-8")) if len(data) <= MAX_PROBE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(f"{path} is not a whole probe file", hint=_AGAIN)
    return _from_document(document, path)


def _from_document(document: Mapping[str, Any], path: Path) -> MachineProbe:
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UsageError(
            f"{path} was written by a newer kit: version {version}, this one reads {VERSION}",
            hint="update the kit here, or make the file with this version",
        )
    if version != VERSION:
        raise UsageError(f"{path} has no known version: {version!r}", hint=_AGAIN)
    fields = {field.name: str(field.type) for field in dataclasses.fields(MachineProbe)}
    problems = [
        Problem(name, f"expected {kind}, observed {document[name]!r:.60}")
        for name, kind in fields.items()
        if name in document and not _fits(document[name], kind)
    ]
    problems += [Problem(name, "missing") for name in fields if name not in document]
    unknown = set(document) - set(fields) - {"format", "version"}
    problems += [Problem(name, "not a field of a probe") for name in sorted(unknown)]
    if problems:
        raise UsageError(f"{path} is damaged", problems=problems, hint=_AGAIN)
    values: dict[str, Any] = {
        name: tuple(document[name]) if isinstance(document[name], list) else document[name]
        for name in fields
    }
    return MachineProbe(**values)


def _fits(value: object, kind: str) -> bool:
    """True if a value from JSON is what a field of that type holds."""
    if value is None:
        return kind.endswith("| None")
    if kind.startswith("tuple"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind.startswith("str"):
        return isinstance(value, str)
    is_number = isinstance(value, int if kind == "int" else (int, float))
    return is_number and not isinstance(value, bool) and 0 <= value < 1 << 62  # type: ignore[operator]
