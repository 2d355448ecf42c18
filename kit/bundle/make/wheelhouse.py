"""Every wheel that the kit needs on the target, in a folder: fetched by pip, checked to fit.

Runs on the connected side, from a checkout (it holds the lock and what scripts/setup built). Knows
pip's command line. Invariant: only the pinned versions, only wheels, and no code of theirs runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.bundle.make.wheels import Wheel, normalized, read_wheel, require_fit
from kit.bundle.manifest import Target
from kit.errors import BundleError, FetchError, UsageError
from kit.files import explain_os_errors

POLL_S = 0.5
CPU = "cpu"
BACKENDS = (CPU, "cuda", "rocm", "vulkan", "cann")
BUILT_HERE = ("llama-cpp-python",)  # no index has a wheel of it
INSTALLER = {"pip": "26.3"}  # what installs the others on the server, whatever is there
_GLIBCS = ("2_17", "2_24", "2_26", "2_27", "2_28", "2_31", "2_34", "2_35", "2_39")
_OLD_TAGS = ("manylinux1", "manylinux2010", "manylinux2014")

Progress = Callable[[str, int, int | None], None]


def _quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


def checkout_folder() -> Path:
    """The checkout that this kit runs from. Raises: UsageError if it was installed from a wheel."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / "requirements" / "run.lock").is_file():
        raise UsageError(
            "a bundle is made from a checkout of the kit, which this is not",
            hint="clone the repository on the connected machine and run scripts/up there",
        )
    return folder


def pins(checkout: Path) -> dict[str, str]:
    """Package -> pinned version, of all that the kit runs on."""
    text = (checkout / "requirements" / "run.lock").read_text(encoding="utf-8")
    lines = [line.partition("==") for line in text.splitlines() if "==" in line]
    return INSTALLER | {normalized(name.strip()): version.strip() for name, _, version in lines}


def gather(
    checkout: Path,
    target: Target,
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
) -> list[Wheel]:
    """The wheels for `target` are in `folder`, those that are there already not fetched again.

    Raises: FetchError if pip cannot get one; BundleError naming every wheel that does not fit.
    """
    pinned = pins(checkout)
    built = [_built(checkout, name, pinned[name], target.backend) for name in BUILT_HERE]
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _drop_others(folder, pinned)
        have = {wheel.name for wheel in map(read_wheel, sorted(folder.glob("*.whl")))}
        missing = [name for name in pinned if name not in have and name not in BUILT_HERE]
        if missing:
            wanted = [f"{name}=={pinned[name]}" for name in missing]
            _download(wanted, target, folder, environ or os.environ, on_progress)
        for path in built:
            if not (folder / path.name).is_file():
                shutil.copy2(path, folder)
    wheels = [read_wheel(path) for path in sorted(folder.glob("*.whl"))]
    lacking = sorted(set(pinned) - {wheel.name for wheel in wheels})
    if lacking:
        raise FetchError(f"no wheel of {', '.join(lacking)} for this target")
    require_fit(wheels, target)
    return wheels


def _drop_others(folder: Path, pinned: Mapping[str, str]) -> None:
    """Wheels of other versions, and halves that a kill left, are gone."""
    for path in folder.iterdir():
        try:
            wheel = read_wheel(path)
            is_ours = pinned.get(wheel.name) == wheel.version.partition("+")[0]
        except BundleError:
            is_ours = False
        if not is_ours and path.is_file():
            path.unlink()


def _download(
    wanted: Sequence[str],
    target: Target,
    folder: Path,
    environ: Mapping[str, str],
    on_progress: Progress,
) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--implementation", "cp", "--python-version", target.python]
    command += ["--abi", f"cp{target.python.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
    for platform in platform_tags(target):
        command += ["--platform", platform]
    log = folder / ".pip.log"
    with log.open("wb") as out:
        pip = subprocess.Popen(
            [*command, "--dest", str(folder), *wanted],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(environ),
        )
        try:
            while pip.poll() is None:
                done = log.read_bytes().count(b"Collecting ")
                on_progress("downloading wheels", min(done, len(wanted)), len(wanted))
                time.sleep(POLL_S)
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    said = log.read_text(encoding="utf-8", errors="replace")
    log.unlink()
    if pip.returncode != 0:
        errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
        last = errors[0].removeprefix("ERROR:").strip() if errors else said.strip()[-300:]
        raise FetchError(
            f"pip could not fetch the wheels: {last}",
            hint="check the network and that your index has wheels for this target",
        )


def platform_tags(target: Target) -> list[str]:
    """Every manylinux tag that runs on the target, newest first."""
    wanted = tuple(int(part) for part in (target.glibc or "2.28").split("."))
    tags = [
        f"manylinux_{version}_{target.machine}"
        for version in reversed(_GLIBCS)
        if tuple(int(part) for part in version.split("_")) <= wanted
    ]
    return [*tags, *(f"{old}_{target.machine}" for old in reversed(_OLD_TAGS)), "any"]


def _built(checkout: Path, name: str, version: str, backend: str) -> Path:
    """The wheel that scripts/setup built here: for every kind of CPU, and GPUs of a backend."""
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    is_cpu = backend == CPU
    folder = checkout / ".venv" / ("wheels" if is_cpu else f"wheels-{backend}")
    found = sorted(folder.glob(pattern))
    if not found:
        command = "scripts/up" if is_cpu else f"scripts/setup --llama {backend}"
        raise BundleError(
            f"no built wheel of {name} {version} for {backend}",
            hint=f"run {command} here once; it builds it",
        )
    return found[-1]
