"""What a bundle holds: every file with its digest, and for whom and how long it is good.

Knows names and digests, no disk. Invariants: one manifest has one text (canonical JSON), so a
signature over the text is a signature over the content; and no two names can become one file on
any file system, nor leave the folder they are put into.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import BundleError, Problem

FORMAT = 1
MANIFEST, SIGNATURE, CHECKSUMS = "manifest.json", "manifest.json.minisig", "SHA256SUMS"
MAX_MANIFEST_BYTES = 64 << 20
MAX_FILES = 200_000
MAX_PATH_BYTES = 200
FRONT_KINDS = ("installer", "kernel", "readme")
KINDS = (
    *FRONT_KINDS,
    "app",
    "wheel",
    "model",
    "settings",
    "doc",
    "licence",
    "sbom",
    "unit",
    "python",
)
VOLUME_KINDS = ("volume", "recovery")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_VERSION = re.compile(r"\d+(\.\d+){0,3}([-+.]?[a-z0-9]+)*")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@ -]*(?<![. ])")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle. `is_in_base` = a delta does not carry it: the server has it."""

    path: str
    size_bytes: int
    sha256: str
    kind: str
    licence: str = ""
    is_in_base: bool = False


@dataclass(frozen=True)
class Target:
    """What a bundle was made for. Empty = any."""

    machine: str
    """As `uname -m` says: 'x86_64', 'aarch64'."""
    python: str
    """'3.11'"""
    glibc: str
    """The least one, '2.28'."""
    backend: str = "cpu"


@dataclass(frozen=True)
class Manifest:
    """A bundle's table of contents. Times are UTC, 'YYYY-MM-DDTHH:MM:SSZ'."""

    name: str
    version: str
    minimum_version: str
    """The oldest installed version that this one can take over from; empty = any."""
    created: str
    expires: str
    target: Target
    files: tuple[FileEntry, ...]
    base_sha256: str = ""
    """Of a delta: the digest of the manifest that must be installed."""
    volumes: tuple[FileEntry, ...] = ()
    """Of a split bundle: the pieces its files are cut into, in order; the recovery piece last."""

    @property
    def size_bytes(self) -> int:
        """Of all files, also those a delta leaves out."""
        return sum(file.size_bytes for file in self.files)

    @property
    def carried(self) -> tuple[FileEntry, ...]:
        """The files that lie in the bundle itself."""
        return tuple(file for file in self.files if not file.is_in_base)

    @property
    def carried_bytes(self) -> int:
        return sum(file.size_bytes for file in self.carried)

    @property
    def sizes_by_kind(self) -> dict[str, int]:
        """Bytes of each kind of file, the largest first."""
        sizes: dict[str, int] = {}
        for file in self.files:
            sizes[file.kind] = sizes.get(file.kind, 0) + file.size_bytes
        return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))

    @property
    def front(self) -> tuple[FileEntry, ...]:
        """What a split bundle carries as plain files: what is needed to read the rest."""
        return tuple(file for file in self.carried if file.kind in FRONT_KINDS)

    @property
    def cut(self) -> tuple[FileEntry, ...]:
        """The files that are cut into volumes, in the order in which they lie there."""
        if not self.volumes:
            return ()
        rest = (file for file in self.carried if file.kind not in FRONT_KINDS)
        return tuple(sorted(rest, key=lambda file: file.path))

    @property
    def on_disk(self) -> tuple[FileEntry, ...]:
        """The files that lie in the bundle's folder as they are."""
        return self.front + self.volumes if self.volumes else self.carried

    def to_bytes(self) -> bytes:
        """The one text of this manifest: sorted keys, no spaces, UTF-8, one line."""
        record = {"format": FORMAT, **dataclasses.asdict(self)}
        record["files"] = sorted(record["files"], key=lambda file: str(file["path"]))
        text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def checksums(self) -> str:
        """What `sha256sum -c` reads: the manifest and every file in the bundle's folder."""
        rows = [(self.sha256, MANIFEST), *((file.sha256, file.path) for file in self.on_disk)]
        return "".join(f"{digest}  {path}\n" for digest, path in sorted(rows, key=lambda r: r[1]))


def parse_manifest(raw: bytes) -> Manifest:
    """The manifest of a text. Raises: BundleError that names everything wrong with it."""
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{MANIFEST} has {len(raw)} bytes, at most {MAX_MANIFEST_BYTES} expected")
    try:
        record = json.loads(raw.decode("utf-8"))
        if record.get("format") != FORMAT:
            raise BundleError(
                f"{MANIFEST} is of format {record.get('format')!r}, {FORMAT} expected",
                hint="the bundle was made by another version of the kit: use its own install.sh",
            )
        manifest = _read(record)
    except (ValueError, TypeError, AttributeError, RecursionError, KeyError) as problem:
        raise BundleError(f"{MANIFEST} cannot be read: {problem}", hint=_AGAIN) from None
    if problems := find_problems(manifest):
        raise BundleError(f"{MANIFEST} is not right", problems=problems, hint=_AGAIN)
    if manifest.to_bytes() != raw:  # threat: a text that others read in another way
        raise BundleError(f"{MANIFEST} is not in its canonical form", hint=_AGAIN)
    return manifest


_AGAIN = "copy the bundle again, or ask who made it"


def _read(record: Mapping[str, Any]) -> Manifest:
    fields = {name: value for name, value in record.items() if name != "format"}
    fields["target"] = Target(**fields["target"])
    files = fields["files"]
    if not isinstance(files, list) or len(files) > MAX_FILES:
        raise ValueError(f"files: a list of up to {MAX_FILES} expected")
    fields["files"] = tuple(FileEntry(**file) for file in files)
    fields["volumes"] = tuple(FileEntry(**volume) for volume in fields["volumes"])
    manifest = Manifest(**fields)
    nouns: list[Any] = [manifest, manifest.target, *manifest.files, *manifest.volumes]
    for noun in nouns:
        for field in dataclasses.fields(noun):
            value, kind = getattr(noun, field.name), str(field.type)
            if kind in _TYPES and type(value) is not _TYPES[kind]:
                raise TypeError(f"{field.name}: {kind} expected, {value!r} observed")
    return manifest


_TYPES = {"str": str, "int": int, "bool": bool}


def find_problems(manifest: Manifest) -> list[Problem]:
    """Everything in it that no manifest of ours has."""
    found = [
        Problem(name, f"{value!r} is no {what}")
        for name, value, pattern, what in (
            ("version", manifest.version, _VERSION, "version"),
            ("created", manifest.created, _TIME, "time"),
            ("expires", manifest.expires, _TIME, "time"),
        )
        if not pattern.fullmatch(value)
    ]
    if manifest.minimum_version and not _VERSION.fullmatch(manifest.minimum_version):
        found.append(Problem("minimum_version", f"{manifest.minimum_version!r} is no version"))
    if manifest.base_sha256 and not _DIGEST.fullmatch(manifest.base_sha256):
        found.append(Problem("base_sha256", "not 64 hexadecimal digits"))
    if not manifest.base_sha256 and any(file.is_in_base for file in manifest.files):
        found.append(Problem("base_sha256", "missing, yet files are said to be in a base"))
    for file in manifest.files:
        found += [Problem(file.path, what) for what in _file_problems(file, KINDS)]
    for volume in manifest.volumes:
        found += [Problem(volume.path, what) for what in _file_problems(volume, VOLUME_KINDS)]
    return found + _twins(file.path for file in (*manifest.files, *manifest.volumes))


def _file_problems(file: FileEntry, kinds: Sequence[str]) -> list[str]:
    problems = [] if (what := path_problem(file.path)) is None else [what]
    if not _DIGEST.fullmatch(file.sha256):
        problems.append("sha256 is not 64 hexadecimal digits")
    if file.size_bytes < 0:
        problems.append(f"size {file.size_bytes}")
    if file.kind not in kinds:
        problems.append(f"unknown kind {file.kind!r}")
    return problems


def path_problem(path: str) -> str | None:
    """Why a name cannot be a file of a bundle; None if it can.

    Threat: names that leave the folder, that a file system changes or folds, or that a shell or a
    terminal takes for something else. Letters, digits and ``. _ + @ -`` and spaces inside names are
    enough for wheels, weights and pages.
    """
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        return f"a name of more than {MAX_PATH_BYTES} bytes"
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            return f"unsafe name, at {part!r}"
        if _DEVICES.fullmatch(part):
            return f"a device's name on some systems: {part!r}"
    if path in (MANIFEST, SIGNATURE, CHECKSUMS):
        return "a name that the bundle itself needs"
    return None


def _twins(paths: Iterable[str]) -> list[Problem]:
    """Names that some file system takes for one, and files whose names are others' folders."""
    found: list[Problem] = []
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in sorted(paths):
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            found.append(Problem(path, f"is the same name as {seen[key]} on some systems"))
        seen[key] = path
        parts = key.split("/")
        for depth in range(1, len(parts)):
            folders.setdefault("/".join(parts[:depth]), path)
    clashing = [(seen[key], folders[key]) for key in seen if key in folders]
    return found + [
        Problem(path, f"is a file and the folder of {inner}") for path, inner in clashing
    ]
