"""The running kit, as an installation sees it: stopped, started, and asked how it is.

With systemd it is a service of that; without, nothing runs by itself and there is nothing to stop.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Protocol

from kit.bundle.units import SERVICE, Serving, service_unit
from kit.errors import MachineError
from kit.files import write_atomic

UNIT_FOLDER = Path("/etc/systemd/system")
HEALTHY_WITHIN_S = 180.0


class Service(Protocol):
    """What an installation does to the running kit."""

    def prepare(self) -> None: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def is_healthy(self) -> bool: ...


class NoService:
    """The kit is started by its user: an installation only leaves word how."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def prepare(self) -> None:
        self._serving.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def stop(self) -> None:
        """Nothing was started here."""

    def start(self) -> None:
        """Nothing is started here."""

    def is_healthy(self) -> bool:
        return True


class Systemd:
    """kit.service, run by a user of its own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def prepare(self) -> None:
        """The user, the data folder and the unit are there."""
        user = self._serving.user
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            home = str(self._serving.home)
            _run(["useradd", "--system", "--user-group", "--home-dir", home, user])
            entry = pwd.getpwnam(user)
        self._serving.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(self._serving.home, entry.pw_uid, entry.pw_gid)
        write_atomic(UNIT_FOLDER / SERVICE, service_unit(self._serving).encode())
        _run(["systemctl", "daemon-reload"])
        _run(["systemctl", "enable", SERVICE])

    def stop(self) -> None:
        _run(["systemctl", "stop", SERVICE])

    def start(self) -> None:
        _run(["systemctl", "start", SERVICE])

    def is_healthy(self) -> bool:
        """Whether the page answers in time and its parts are ready."""
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        url = f"http://{_reachable(self._serving.host)}:{self._serving.port}/health"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline:
            try:
                with opener.open(url, timeout=5) as answer:
                    states = json.load(answer)
            except (OSError, ValueError):
                states = {}
            if states.get("status") == "ok" and states.get("engine") == "ready":
                return True
            time.sleep(1)
        return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - it is asked for


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise MachineError(f"{' '.join(command)} failed: {said}")
