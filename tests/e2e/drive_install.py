"""Install, upgrade or roll back in a folder, with packages and services stood in.

    python -m tests.e2e.drive_install

reads a line of JSON for each run: {"arguments": ["install", BUNDLE, ROOT], "stderr": FILE,
"is_held": true}, forks, prints the child's number and, once it has ended, its status. A child that
is held stops before its first step, for a tracer to come. Everything that touches releases is the
product's own; a run takes a fraction of a second, so that it can be killed at every one of its
system calls. The service's state is a file: what runs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from kit.bundle import environment, install, kernel
from kit.bundle.manifest import Manifest
from kit.bundle.releases import Root
from kit.bundle.serving import Serving
from tests.bundle.made import KEY, SERVER


class FileService:
    """Runs what is current, as a file says."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._state = serving.root.parent / "service"

    def require_stoppable(self) -> None:
        """It can be."""

    def prepare(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        self._state.unlink(missing_ok=True)

    def start(self) -> None:
        current = Root(self._serving.root).current
        self._state.write_text(current.id if current else "")

    def is_healthy(self) -> bool:
        return self._state.is_file()


def make_environment(folder: Path, _python: str, _manifest: Manifest) -> Path:
    """As a virtual environment: a few folders and files."""
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").write_text("#!/bin/sh\n")
    (folder / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return folder / "venv" / "bin" / "python"


def stand_in() -> None:
    """The slow parts and the machine's facts are those of the tests."""
    environment.create = make_environment
    install.self_test = lambda _python, _home: {"schema": 1}  # type: ignore[assignment]
    install.look = lambda _root, _ports, **_facts: SERVER  # type: ignore[assignment]
    install.link_command = lambda _serving: None  # type: ignore[assignment]
    install.service_of = FileService  # type: ignore[assignment]
    kernel.service_of = FileService  # type: ignore[assignment]
    kernel._say = lambda _text: None


def run(arguments: list[str]) -> int:
    """The kernel's exit code."""
    *before, root = arguments
    options = ["--root", root, "--home", f"{root}-home", "--no-systemd"]
    if before[0] == "install":
        options += ["--fingerprint", KEY.public.fingerprint]
    return kernel.main([*before, *options])


def child(order: dict[str, Any]) -> None:
    """One run in this process, which ends with it."""
    out = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 2)
    os.dup2(out, 1)
    if order["is_held"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    code = 70
    try:
        code = run(order["arguments"])
    except BaseException:  # noqa: BLE001 - the test looks for it in the output
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """A run for each line of stdin."""
    stand_in()
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            child(json.loads(line))
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
