"""The running kit, as an installation sees it: stopped, started, and asked how it is.

With systemd it is a service of that; without, its user starts it, and an installation only tries it
out. Commands of a release run as the user who owns the data.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from kit.bundle.releases import CURRENT, Release
from kit.bundle.serving import Serving
from kit.bundle.units import SERVICE, service_unit
from kit.errors import AlreadyRunning, MachineError
from kit.files import write_atomic
from kit.instance import find_instance

UNIT_FOLDER = Path("/etc/systemd/system")
HEALTHY_WITHIN_S = 300.0
STOPPED_WITHIN_S = 60.0


class Service(Protocol):
    """What an installation does to the running kit."""

    def require_stoppable(self) -> None: ...
    def prepare(self) -> None: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def is_healthy(self) -> bool: ...


@contextlib.contextmanager
def stopped(service: Service) -> Iterator[None]:
    """It is stopped for the block; if the block fails, what is current runs again."""
    service.stop()
    try:
        yield
    except BaseException:
        service.start()
        raise


def service_of(serving: Serving) -> Service:
    return Systemd(serving) if serving.has_service else ByHand(serving)


class ByHand:
    """The kit is started by its user: an installation tries it out and ends it again."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def require_stoppable(self) -> None:
        """Raises: AlreadyRunning; nobody's work is ended by an installation."""
        running = find_instance(self._serving.home)
        if running is not None:
            raise AlreadyRunning(
                f"the kit runs on {self._serving.home} (process {running.pid})",
                hint=f"stop it (kill {running.pid}), then try again; afterwards start it anew",
            )

    def prepare(self) -> None:
        self._serving.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def stop(self) -> None:
        self.require_stoppable()

    def start(self) -> None:
        """It is tried out in `is_healthy` and started by its user."""

    def is_healthy(self) -> bool:
        """Whether `kit serve` of the current release comes up on the real data, on a free port."""
        python = self._serving.root / CURRENT / "venv" / "bin" / "python"
        command = [str(python), "-I", "-m", "kit", "--home", str(self._serving.home), "serve"]
        command += ["--host", "127.0.0.1", "--port", "0", "--json"]
        with _trial(command) as log:
            deadline = time.monotonic() + HEALTHY_WITHIN_S
            while time.monotonic() < deadline:
                url = _printed_url(log)
                if url and _is_ready(url):
                    return True
                if _has_ended(log):
                    return False
                time.sleep(0.5)
        return False


class _Trial:
    """A process on trial, and the file that it prints to."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[bytes]) -> None:
        self.process, self.out = process, out


@contextlib.contextmanager
def _trial(command: Sequence[str]) -> Iterator[_Trial]:
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        try:
            yield _Trial(process, out)
        finally:
            process.terminate()
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _printed_url(trial: _Trial) -> str:
    trial.out.seek(0)
    try:
        return str(json.loads(trial.out.read())["url"]).rstrip("/")
    except (ValueError, KeyError, TypeError):
        return ""


def _has_ended(trial: _Trial) -> bool:
    return trial.process.poll() is not None


class Systemd:
    """kit.service, run by a user of its own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def require_stoppable(self) -> None:
        """systemd stops and starts it."""

    def prepare(self) -> None:
        """The user and the data folder are there."""
        user = self._serving.user
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            home = str(self._serving.home)
            _run(["useradd", "--system", "--user-group", "--home-dir", home, user])
            entry = pwd.getpwnam(user)
        self._serving.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(self._serving.home, entry.pw_uid, entry.pw_gid)

    def stop(self) -> None:
        if (UNIT_FOLDER / SERVICE).exists():
            _run(["systemctl", "stop", SERVICE])

    def start(self) -> None:
        """The unit is as `serving` says, starts with the system, and was started now."""
        write_atomic(UNIT_FOLDER / SERVICE, service_unit(self._serving).encode())
        _run(["systemctl", "daemon-reload"])
        _run(["systemctl", "enable", SERVICE])
        _run(["systemctl", "restart", SERVICE])

    def is_healthy(self) -> bool:
        """Whether the page answers in time and its parts are ready."""
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while time.monotonic() < deadline:
            if _is_ready(self._serving.url):
                return True
            time.sleep(1)
        return False


def _is_ready(url: str) -> bool:
    """Whether the page answers there and its engine is ready; with a certificate or without.

    kit.toml says which, and is not read here.
    """
    _, _, rest = url.partition("://")
    return any(_says_ready(f"{scheme}://{rest}") for scheme in ("http", "https"))


def _says_ready(url: str) -> bool:
    # This machine asks itself and sends nothing: whose certificate it is, browsers judge.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{url}/health", timeout=5) as answer:
            states = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return bool(states.get("status") == "ok" and states.get("engine") == "ready")


def run_release(
    serving: Serving, release: Release, arguments: Sequence[str], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command of that release on the data, as the user who owns the data."""
    command = [str(release.python), "-I", "-m", "kit", "--home", str(serving.home), *arguments]
    return subprocess.run(
        command,
        input=stdin,
        env=clean_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        **_as_owner(serving),
    )


def _as_owner(serving: Serving) -> dict[str, Any]:
    if not serving.has_service:
        return {}
    entry = pwd.getpwnam(serving.user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "umask": 0o077}


def clean_environment() -> dict[str, str]:
    """Threat: a variable of the administrator's that brings in other code or settings."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")
    return {name: os.environ[name] for name in kept if name in os.environ}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command of ours, without its prefix."""
    lines = (done.stderr.strip() or "no reason given").splitlines()
    line = next((line for line in lines if line.startswith("error:")), lines[-1])
    return line.removeprefix("error:").strip()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise MachineError(f"{' '.join(command)} failed: {said(done)}")
