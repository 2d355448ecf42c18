"""What goes into a bundle, and under which names: models, wheels, the kit itself, pages, licences.

Runs on the connected side. Knows folders and wheels; fetches nothing (the wheelhouse does).
Invariant: every part is named, of a kind, and has its licence where one is known.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.bundle.make import pages
from kit.bundle.make.interpreter import read_interpreter
from kit.bundle.make.sbom import ModelComponent, NativeComponent, sbom
from kit.bundle.make.wheels import Wheel, licence_texts, read_wheel
from kit.bundle.make.write import Part
from kit.bundle.manifest import Target
from kit.bundle.minisign import PublicKey
from kit.bundle.serving import Serving
from kit.bundle.trust import SIGNER
from kit.bundle.units import SERVICE, service_unit
from kit.errors import BundleError, UsageError
from kit.files import sha256_file

# What a bare server needs to check and install: Python 3.9 and the standard library.
PACKAGE = Path(__file__).resolve().parents[2]
KERNEL = (
    *("__init__.py", "errors.py", "files.py", "instance.py"),
    *(f"bundle/{path.name}" for path in sorted((PACKAGE / "bundle").glob("*.py"))),
)
README = """\
{name}, version {version}, made {created}

Install: as root, or as the user it shall run as, with Python 3.9 or newer:

    ./install.sh

It asks you to compare the fingerprint of the maker's key. It must be the one you were told by
voice or on paper, not one that came with this bundle.

To check everything with tools of your own system first:

    minisign -Vm manifest.json -p THE-KEY-YOU-WERE-GIVEN.pub
    {check}

SHA256SUMS finds what was damaged by chance. It is not signed itself, the manifest is.

docs/index.html opens in any browser; in a split bundle or a delta it is there once it is
installed, in files/docs of the release.
"""


# Threat: a changed file with a changed SHA256SUMS, which no signature covers. So the digests are
# taken from the signed manifest; what a split bundle or a delta does not hold is passed over.
CHECK = (
    'python3 -c \'import json; m = json.load(open("manifest.json"));'
    ' [print(f["sha256"], "", f["path"]) for f in m["files"] + m["volumes"]]\''
    " | sha256sum --check --quiet --ignore-missing"
)


@dataclass(frozen=True)
class BundledModel:
    """An installed model's folder, with what the bill of materials says of it."""

    name: str
    folder: Path
    licence: str
    source: str
    files: tuple[tuple[str, str], ...]
    """(path, sha256) of its weights and data."""


def front_parts(key: PublicKey, title: str, version: str, created: str) -> list[Part]:
    """What stands at the front: the installer, the trust kernel, the signer's key, a note."""
    note = README.format(name=title, version=version, created=created, check=CHECK)
    kernel = [Part(f"kernel/kit/{name}", "kernel", PACKAGE / name) for name in KERNEL]
    return [
        Part("install.sh", "installer", PACKAGE / "bundle" / "make" / "front" / "install.sh"),
        Part("README.txt", "readme", note.encode()),
        Part(SIGNER, "readme", key.text().encode()),
        *kernel,
    ]


def wheel_parts(wheels: Sequence[Wheel], app: Wheel) -> list[Part]:
    """The wheels, the kit's own among them, and every licence text that they carry."""
    parts = [Part(f"app/{app.path.name}", "app", app.path, app.licence)]
    parts += [Part(f"wheels/{w.path.name}", "wheel", w.path, w.licence) for w in wheels]
    for wheel in (*wheels, app):
        for name, text in sorted(licence_texts(wheel).items()):
            path = f"licences/{wheel.name}-{wheel.version}/{_safe(name)}"
            parts.append(Part(path, "licence", text))
    return parts


def _safe(name: str) -> str:
    """A name that every file system takes."""
    cleaned = re.sub(r"[^A-Za-z0-9._+@ -]", "_", name).strip(". ")
    return cleaned if re.match(r"[A-Za-z0-9_]", cleaned) else f"_{cleaned}"


def model_parts(models: Sequence[BundledModel]) -> list[Part]:
    """Every file of the models' folders. Raises: UsageError if a model has none."""
    parts: list[Part] = []
    for model in models:
        paths = [path for path in sorted(model.folder.rglob("*")) if path.is_file()]
        paths = [path for path in paths if not path.name.startswith(".")]
        if not paths:
            raise UsageError(f"the model {model.name} has no files", hint="kit model list")
        parts += [
            Part(
                f"models/{model.name}/{p.relative_to(model.folder).as_posix()}",
                "model",
                p,
                model.licence,
            )
            for p in paths
        ]
    return parts


def settings_part(settings: Mapping[str, Mapping[str, str | int]]) -> Part:
    """The settings that the release starts from; a kit.toml on the server goes before them."""
    lines = ["# What this bundle was made to run. A kit.toml in the data folder goes before it."]
    for section, values in sorted(settings.items()):
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in sorted(values.items())]
    return Part("settings.toml", "settings", ("\n".join(lines) + "\n").encode())


def unit_parts() -> list[Part]:
    """The systemd unit as it is usually installed, to be read before it is."""
    usual = Serving(Path("/opt/kit"), Path("/var/lib/kit"), has_service=True)
    return [Part(f"units/{SERVICE}", "unit", service_unit(usual).encode())]


def python_parts(archive: Path | None, target: Target) -> list[Part]:
    """A relocatable Python for servers that have none that fits; nothing without an archive.

    Raises: UsageError if the archive holds none of the target's version.
    """
    if archive is None:
        return []
    files = read_interpreter(archive, target.python)
    return [Part(f"python/{name}", "python", data) for name, data in sorted(files.items())]


def doc_parts(checkout: Path) -> list[Part]:
    """The documentation as pages."""
    found = pages.render(checkout / "docs")
    return [Part(f"docs/{name}", "doc", data) for name, data in sorted(found.items())]


def notice_parts(
    name: str,
    version: str,
    created: str,
    wheels: Sequence[Wheel],
    models: Sequence[BundledModel],
    llama_commit: str,
) -> list[Part]:
    """The bill of materials, and one page that names every component with its licence."""
    llama = next((wheel for wheel in wheels if wheel.name == "llama-cpp-python"), None)
    native = [
        NativeComponent("llama.cpp", llama_commit, "MIT", llama.path.name)
        for llama in [llama]
        if llama is not None
    ]
    document = sbom(
        name,
        version,
        created,
        [(wheel, sha256_file(wheel.path)) for wheel in wheels],
        native,
        [ModelComponent(m.name, "1", m.licence, m.source, m.files) for m in models],
    )
    rows = sorted((wheel.name, wheel.version, wheel.licence) for wheel in wheels)
    rows += [(f"model {m.name}", m.source, m.licence) for m in models]
    rows += [(part.name, part.version, part.licence) for part in native]
    lines = [f"{name:<34} {version:<28} {licence}" for name, version, licence in rows]
    notices = "What this bundle holds, and under which licence\n\n" + "\n".join(lines) + "\n"
    return [
        Part("sbom.cdx.json", "sbom", document),
        Part("licences/NOTICES.txt", "licence", notices.encode()),
    ]


def build_app_wheel(checkout: Path, folder: Path, created: str) -> Wheel:
    """The kit's own wheel, from the checkout; its files carry the bundle's time.

    Raises: BundleError with pip's words.
    """
    epoch = calendar.timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ"))
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        command += ["--no-index", "--disable-pip-version-check", "--wheel-dir", work, str(checkout)]
        built = subprocess.run(
            command, env=environ, capture_output=True, text=True, errors="replace", check=False
        )
        found = sorted(Path(work).glob("kit-*.whl"))
        if built.returncode != 0 or not found:
            last = (built.stderr.strip() or built.stdout.strip() or "no reason given")[-500:]
            raise BundleError(f"the kit's own wheel cannot be built: {last}")
        return read_wheel(found[0].replace(folder / found[0].name))
