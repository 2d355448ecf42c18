"""Killed, or refused by the disk, at every single step: `current` is wholly one release."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.bundle.make import write
from kit.bundle.make.write import Part
from kit.bundle.releases import Release, Root
from kit.bundle.trust import SIGNER
from tests.bundle.made import KEY, TEMPLATE, parts

pytestmark = pytest.mark.e2e

# Every system call that changes what lies on the disk. `openat` also reads: its files are covered
# by the first write to them.
CHANGING = (
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "fsync,fdatasync,chmod,fchmod,write,ftruncate,copy_file_range,sendfile"
)
WRITING = "write,fsync,fdatasync,rename,link,symlink,mkdir,copy_file_range,sendfile"


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended: its exit code, a signal's number below zero, and what it said."""

    code: int
    said: str


class Driver:
    """A process that forks a run whenever it is asked; see drive_install."""

    def __init__(self, folder: Path) -> None:
        self._stderr = folder / "said"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.drive_install"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: list[str], *strace: str) -> Result:
        """`strace` names the system calls to trace, then further options of it."""
        order = {"arguments": arguments, "stderr": str(self._stderr), "is_held": bool(strace)}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        process = int(stdout.readline())
        tracer = _trace(process, *strace) if strace else None
        code = int(stdout.readline())
        if tracer is not None:
            tracer.wait(timeout=60)
        return Result(code, self._stderr.read_text())

    def close(self) -> None:
        self._process.communicate(timeout=60)


def _trace(process: int, calls: str, *options: str) -> subprocess.Popen[bytes]:
    """strace at a held process, which then goes on."""
    _wait_for(process, "(stopped)")
    command = ["strace", "-f", "-qq", "-p", str(process), "-e", f"trace={calls}", *options]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _wait_for(process, f"TracerPid:\t{tracer.pid}\n")
    time.sleep(0.005)  # from being its tracer to stopping it at its calls
    os.kill(process, signal.SIGCONT)
    return tracer


def _wait_for(process: int, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in Path(f"/proc/{process}/status").read_text():
        assert time.monotonic() < deadline, text
        time.sleep(0.002)


class Scene:
    """A server before something is done to it, and how to do that."""

    def __init__(self, folder: Path, name: str, driver: Driver) -> None:
        self.name, self._folder, self._driver = name, folder, driver
        self.before = folder / "before"
        self.before.mkdir()
        self.old = self._bundle("1.2.0", 0)
        self.new = self._bundle("1.3.0", 1)
        root = str(self.before / "root")
        if name != "install":
            assert driver.run(["install", str(self.old), root]).code == 0
        if name == "rollback":
            assert driver.run(["install", str(self.new), root]).code == 0

    def _bundle(self, version: str, seed: int) -> Path:
        folder = self._folder / f"bundle-{version}"
        template = dataclasses.replace(
            TEMPLATE, version=version, expires="2099-01-01T00:00:00Z", minimum_version=""
        )
        signer = Part(SIGNER, "readme", KEY.public.text().encode())
        write.write_bundle(folder, [*parts(seed), signer], template, KEY)
        return folder

    @property
    def command(self) -> list[str]:
        """What is done: install the old, upgrade to the new, or go back to the old."""
        if self.name == "rollback":
            return ["rollback"]
        return ["install", str(self.old if self.name == "install" else self.new)]

    @property
    def wanted(self) -> str:
        """The version that runs once it is done."""
        return "1.3.0" if self.name == "upgrade" else "1.2.0"

    @property
    def found(self) -> str:
        """The version that runs before."""
        return {"install": "", "upgrade": "1.2.0", "rollback": "1.3.0"}[self.name]

    def fresh(self) -> Path:
        """A server of its own, as it was before."""
        server = self._folder / "server"
        shutil.rmtree(server, ignore_errors=True)
        shutil.copytree(self.before, server, symlinks=True)
        serving = server / "root" / "serving.json"
        if serving.exists():  # its data are its own
            serving.write_text(serving.read_text().replace(str(self.before), str(server)))
        return server

    def run(self, server: Path, *strace: str) -> Result:
        return self._driver.run([*self.command, str(server / "root")], *strace)

    def count_calls(self, calls: str) -> dict[str, int]:
        """How often a run makes each of those system calls."""
        log = self._folder / "calls"
        assert self.run(self.fresh(), calls, "-o", str(log)).code == 0
        names = re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)
        return dict(Counter(names))


def require_whole(release: Release) -> None:
    """Every file of the release is there with the manifest's digest."""
    for file in release.manifest.files:
        digest = hashlib.sha256((release.files / file.path).read_bytes()).hexdigest()
        assert digest == file.sha256, file.path
    assert (release.folder / "venv" / "pyvenv.cfg").read_text()


def version_of(server: Path) -> str:
    """The version that is current, '' if none; that and every other release is whole."""
    root = Root(server / "root")
    for release in root.all():
        require_whole(release)
    return root.current.manifest.version if root.current else ""


def require_done(scene: Scene, server: Path) -> None:
    """What was wanted runs, everything is whole, and nothing is left behind."""
    root = Root(server / "root")
    assert version_of(server) == scene.wanted
    assert root.is_settled
    current = root.current
    assert current is not None
    assert (server / "service").read_text() == current.id
    for release in root.all():
        require_whole(release)
    left = {path.name for path in root.releases.iterdir()} - {one.id for one in root.all()}
    assert not left
    known = {"current", "releases", "trusted", "serving.json", "audit.jsonl", ".lock"}
    assert {path.name for path in root.folder.iterdir()} <= known
    assert len(root.all()) == (1 if scene.name == "install" else 2)
    assert [path.suffix for path in (root.folder / "trusted").iterdir()] == [".pub"]
    for line in (root.folder / "audit.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.fixture(params=["install", "upgrade", "rollback"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    driver = Driver(tmp_path)
    yield Scene(tmp_path, request.param, driver)
    driver.close()


def steps(scene: Scene, calls: str, what: str) -> Iterator[tuple[str, Path, Result]]:
    """(which call, server, result) of a run for each of those calls that an untouched run makes.

    strace counts each kind of call by itself.
    """
    for name, num_calls in scene.count_calls(calls).items():
        for number in range(1, num_calls + 1):
            server = scene.fresh()
            inject = f"inject={name}:{what}:when={number}"
            yield (
                f"{name} {number}",
                server,
                scene.run(server, name, "-o", "/dev/null", "-e", inject),
            )


def finish(scene: Scene, server: Path, call: str) -> None:
    """Once more, and it is done. A rollback that was through is not asked for again: it would go
    forward."""
    root = Root(server / "root")
    if scene.name != "rollback" or version_of(server) != scene.wanted or not root.is_settled:
        again = scene.run(server)
        assert again.code == 0, (call, again.said)
    require_done(scene, server)


def test_killed_at_every_step(scene: Scene, report: Callable[[str], None]) -> None:
    """What is current is whole, old or new; once more, and it is done with nothing left over."""
    num_kills = 0
    for call, server, result in steps(scene, CHANGING, "signal=KILL"):
        assert result.code == -signal.SIGKILL, (call, result.said)
        assert version_of(server) in (scene.found, scene.wanted), call
        finish(scene, server, call)
        num_kills += 1
    assert num_kills > 15
    report(f"{scene.name}: killed at each of its {num_kills} changing system calls")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_every_write_refused(scene: Scene, error: str, report: Callable[[str], None]) -> None:
    """One clear error, what ran before runs, and once there is room it is done."""
    num_errors = 0
    for call, server, result in steps(scene, WRITING, f"error={error}"):
        if result.code == 0:  # it did not matter, as for a folder that is there already
            require_done(scene, server)
            continue
        assert "error: " in result.said, (call, result.said)
        assert "Traceback" not in result.said, (call, result.said)
        assert version_of(server) in (scene.found, scene.wanted), call
        if scene.found:
            running = (server / "service").read_text()
            assert running.startswith((scene.found, scene.wanted)), call
        finish(scene, server, call)
        num_errors += 1
    assert num_errors > 10
    report(f"{scene.name}: {error} at each of its {num_errors} writing system calls")


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    def tell(text: str) -> None:
        record_property("measured", text)
        print(text)

    return tell
