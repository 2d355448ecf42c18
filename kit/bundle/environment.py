"""A release's own Python: a virtual environment with the bundle's wheels and nothing else.

Runs venv and pip as child processes without a network and without the user's settings. Invariant:
pip installs a wheel only if its digest is the manifest's.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kit.bundle.manifest import FileEntry, Manifest
from kit.bundle.service import clean_environment
from kit.errors import BundleError, KitError, MachineError

_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(-\d\w*)?(-[^-]+){3}\.whl"
)
_WHEELS = ("wheel", "app")
# Other packages' own tests, the 400 architectures of transformers, Chroma's client of Kubernetes.
_SELDOM = r"/site-packages/(.+/)?(tests?|transformers/models|kubernetes)/"


def requirements(manifest: Manifest) -> str:
    """What pip reads: every wheel by name and version with its digest. Raises: BundleError."""
    return "".join(
        f"{name}=={version} --hash=sha256:{file.sha256}\n"
        for file in manifest.files
        if file.kind in _WHEELS
        for name, version in [wheel_name(file)]
    )


def wheel_name(file: FileEntry) -> tuple[str, str]:
    """('torch', '2.13.0+cpu') of a wheel's file name. Raises: BundleError if it is none."""
    found = _WHEEL.fullmatch(file.path.rpartition("/")[2])
    if found is None:
        raise BundleError(f"{file.path} is not named as a wheel is")
    return found["name"], found["version"]


def create(folder: Path, python: str, manifest: Manifest) -> Path:
    """`folder`/venv runs the wheels of `folder`/files; its Python.

    Raises: MachineError if the environment cannot be made; BundleError if the wheels do not fit.
    """
    venv = folder / "venv"
    pip = _pip(folder / "files", manifest)
    bare = [python, "-I", "-m", "venv", "--without-pip", str(venv)]
    _run(bare, "the virtual environment cannot be made")
    listed = folder / "requirements.txt"
    listed.write_text(requirements(manifest), encoding="utf-8")
    paths = [folder / "files" / file.path for file in manifest.files if file.kind in _WHEELS]
    wheels = sorted({str(path.parent) for path in paths})
    inside = venv / "bin" / "python"
    command = [str(inside), "-I", str(pip), "install", "--no-index", "--no-deps"]
    command += ["--no-compile", "--require-hashes", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check"]
    command += [option for wheel_folder in wheels for option in ("--find-links", wheel_folder)]
    _run([*command, "-r", str(listed)], "the wheels cannot be installed", error=BundleError)
    _compile(inside, venv / "lib")
    _run([str(inside), "-I", str(pip), "check"], "the wheels do not fit", error=BundleError)
    return inside


def carried_python(folder: Path, manifest: Manifest) -> str:
    """The path of the interpreter that came with the bundle, made runnable; '' if none did."""
    path = folder / "files" / "python" / "bin" / f"python{manifest.target.python}"
    if not any(file.kind == "python" for file in manifest.files) or not path.is_file():
        return ""
    path.chmod(0o755)
    return str(path)


def _pip(files: Path, manifest: Manifest) -> Path:
    """The bundle's own pip, run from its wheel: the server's may be old, or not there at all."""
    for file in manifest.files:
        if file.kind == "wheel" and wheel_name(file)[0] == "pip":
            return files / file.path / "pip"
    raise BundleError("the bundle carries no pip to install its wheels with")


def _compile(python: Path, folder: Path) -> None:
    """Bytecode lies beside the packages: by all cores, which pip does not, and the service cannot.

    Some packages carry files that are no Python of today; these stay as they are. What hardly
    anybody imports is half of the work and is left out: the self-test compiles what it needs of it.
    """
    command = [str(python), "-I", "-m", "compileall", "-q", "-j", "0", "-x", _SELDOM, str(folder)]
    subprocess.run(command, env=_clean(), capture_output=True, check=False)


def _clean() -> dict[str, str]:
    """Threat: a pip.conf, proxy or PYTHONPATH of the user that brings other code in."""
    return {
        **clean_environment(),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "HOME": "/nonexistent",
    }


def _run(command: Sequence[str], what: str, *, error: type[KitError] = MachineError) -> None:
    done = subprocess.run(
        command,
        env=_clean(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        said = next((line for line in reversed(lines) if "ERROR" in line), lines[-1])
        raise error(f"{what}: {said.strip()}", hint="nothing was changed; see the lines above")
