"""What a wheel says of itself: name, version, licence, for which machines, and its licence texts.

Reads zip files, installs nothing and runs no code of theirs. Invariant: a wheel that does not fit
the target, or brings a GPU's libraries into a bundle for CPUs, is refused by name.
"""

from __future__ import annotations

import email.parser
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from kit.bundle.manifest import Target
from kit.bundle.server import version_key
from kit.errors import BundleError, Problem

MAX_TEXT_BYTES = 1 << 20
_NAME = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(-(?P<build>\d[^-]*))?"
    r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)
_LICENCE_FILE = re.compile(
    r"[^/]+\.dist-info/(licenses/)?(.*/)?(licen[cs]e|copying|notice|authors)[^/]*", re.IGNORECASE
)
_GPU_NAMES = re.compile(r"(nvidia[-_].*|triton.*|pytorch[-_]triton.*|cuda[-_].*)", re.IGNORECASE)
_GPU_VERSIONS = re.compile(r"\+(cu\d+|rocm[\d.]+|xpu)")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(.+)")
_OLD_MANYLINUX = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}


@dataclass(frozen=True)
class Wheel:
    """One wheel file. `licence` is an SPDX expression where it says one, else its own words."""

    path: Path
    name: str
    version: str
    licence: str
    python_tags: tuple[str, ...]
    abi_tags: tuple[str, ...]
    platform_tags: tuple[str, ...]
    requires: tuple[str, ...]
    homepage: str = ""


def read_wheel(path: Path) -> Wheel:
    """The wheel of that file. Raises: BundleError if it is none, or says another name inside."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise BundleError(f"{path.name} is not named as a wheel is")
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = _metadata(archive)
    except (zipfile.BadZipFile, KeyError, OSError) as problem:
        raise BundleError(f"{path.name} is no whole wheel: {problem}") from None
    said = (normalized(metadata["Name"] or ""), metadata["Version"] or "")
    if said != (normalized(named["name"]), named["version"]):
        raise BundleError(f"{path.name} says inside that it is {said[0]} {said[1]}")
    return Wheel(
        path,
        said[0],
        said[1],
        _licence(metadata),
        tuple(named["python"].split(".")),
        tuple(named["abi"].split(".")),
        tuple(named["platform"].split(".")),
        tuple(metadata.get_all("Requires-Dist") or ()),
        _homepage(metadata),
    )


def normalized(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _metadata(archive: zipfile.ZipFile) -> Message:
    # Not deeper: some packages carry others inside.
    names = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
    if len(names) != 1:
        raise KeyError("no METADATA, or more than one")
    with archive.open(names[0]) as stream:
        text = stream.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
    return email.parser.HeaderParser().parsestr(text)


def _licence(metadata: Message) -> str:
    expression = metadata["License-Expression"]
    if expression:
        return str(expression).strip()
    words = " ".join(str(metadata["License"] or "").split())
    if words and len(words) <= 80 and words.upper() != "UNKNOWN":
        return words
    named = [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier") or ()
        if classifier.startswith("License :: ") and not classifier.endswith("OSI Approved")
    ]
    return " and ".join(named) or "not said"


def _homepage(metadata: Message) -> str:
    if metadata["Home-page"]:
        return str(metadata["Home-page"]).strip()
    for row in metadata.get_all("Project-URL") or ():
        label, _, url = row.partition(",")
        if label.strip().lower() in ("homepage", "repository", "source", "source code"):
            return str(url).strip()
    return ""


def licence_texts(wheel: Wheel) -> dict[str, bytes]:
    """File name -> text of every licence and notice that the wheel carries."""
    texts: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel.path) as archive:
        for info in archive.infolist():
            if _LICENCE_FILE.fullmatch(info.filename) and 0 < info.file_size <= MAX_TEXT_BYTES:
                inside = info.filename.partition("/")[2].removeprefix("licenses/")
                texts[inside.replace("/", "_")] = archive.read(info)
    return texts


def require_fit(wheels: Sequence[Wheel], target: Target) -> None:
    """Every wheel runs on the target. Raises: BundleError naming every one that does not."""
    problems = [
        Problem(wheel.path.name, what)
        for wheel in wheels
        for what in (_misfit(wheel, target), _gpu(wheel, target))
        if what
    ]
    twins = {wheel.name for wheel in wheels if sum(w.name == wheel.name for w in wheels) > 1}
    problems += [Problem(name, "more than one version") for name in sorted(twins)]
    if problems:
        raise BundleError("these wheels do not fit the target", problems=problems)


def _gpu(wheel: Wheel, target: Target) -> str:
    """Threat to size and to promises: gigabytes of a GPU's libraries where there is none."""
    if target.backend != "cpu":
        return ""
    if _GPU_NAMES.fullmatch(wheel.name) or _GPU_VERSIONS.search(wheel.version):
        return "is for GPUs; this bundle is for CPUs"
    return ""


def _misfit(wheel: Wheel, target: Target) -> str:
    minor = int(target.python.partition(".")[2])
    if not any(_fits_python(tag, wheel.abi_tags, minor) for tag in wheel.python_tags):
        return f"is for {'.'.join(wheel.python_tags)}, Python {target.python} expected"
    if not any(_fits_platform(tag, target) for tag in wheel.platform_tags):
        wanted = f"{target.machine} with glibc {target.glibc or 'of any age'}"
        return f"is for {', '.join(wheel.platform_tags)}; {wanted} expected"
    if any(tag.startswith("linux_") for tag in wheel.platform_tags) and target.glibc:
        needed = needed_glibc(wheel.path)
        if needed and version_key(needed) > version_key(target.glibc):
            return f"was built against glibc {needed}, {target.glibc} expected: build it there"
    return ""


def needed_glibc(path: Path) -> str:
    """The newest glibc that the wheel's libraries ask for, '' if none; what `linux_…` tags hide."""
    found: set[tuple[int, ...]] = set()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if ".so" in info.filename:
                versions = re.findall(rb"GLIBC_(2\.\d+)", archive.read(info))
                found |= {version_key(version.decode()) for version in set(versions)}
    return ".".join(map(str, max(found))) if found else ""


def _fits_python(tag: str, abis: Iterable[str], minor: int) -> bool:
    if tag in ("py3", f"py3{minor}", f"cp3{minor}"):
        return True
    stable = re.fullmatch(r"cp3(\d+)", tag)
    return bool(stable and "abi3" in abis and int(stable[1]) <= minor)


def _fits_platform(tag: str, target: Target) -> bool:
    if tag in ("any", f"linux_{target.machine}"):
        return True
    found = _MANYLINUX.fullmatch(tag)
    if found:
        needed, machine = f"{found[1]}.{found[2]}", found[3]
    else:
        old, _, machine = tag.partition("_")
        needed = _OLD_MANYLINUX.get(old, "")
    if machine != target.machine or not needed:
        return False
    return not target.glibc or version_key(needed) <= version_key(target.glibc)
