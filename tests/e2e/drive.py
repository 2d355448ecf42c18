"""Driving the real kit from the end-to-end tests: commands, a running kit, its faults."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.instance import Instance, find_instance

KIT = [sys.executable, "-m", "kit"]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Result:
    """What a finished command printed."""

    code: int
    out: str
    err: str

    def json(self) -> dict:
        return json.loads(self.out)


def run_kit(home: Path, *arguments: str, stdin: str = "", timeout_s: float = 600) -> Result:
    """Run `kit` as a person would, on `home`."""
    done = subprocess.run(
        [*KIT, "--home", str(home), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass
class RunningKit:
    """A `kit up` in its own session, with its address."""

    process: subprocess.Popen[str]
    home: Path
    url: str

    @property
    def instance(self) -> Instance:
        found = find_instance(self.home)
        assert found is not None
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET as the local user of the command line."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.instance.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, problem.read().decode()

    def health(self) -> dict:
        return json.loads(self.get("/health")[1])

    def child_pid(self, word: str) -> int:
        """Process id of the child whose command line holds `word` (engine, worker, web)."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(stat[1]) == self.process.pid and any(word in part for part in words):
                    return int(entry.name)
        raise LookupError(word)

    def kill(self) -> None:
        """As a power cut would: everything of it, at once."""
        pids = [self.process.pid]
        for word in ("kit.web.server", "kit.engine.server", "kit.library.worker"):
            with contextlib.suppress(LookupError):
                pids.append(self.child_pid(word))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


def wait_until(is_true: Callable[[], bool], timeout_s: float = 180, what: str = "it") -> None:
    """It is true. The limit ends what hangs; a loaded machine is far from it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_true():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not come true in {timeout_s:.0f} s")


def start_kit(
    home: Path, *arguments: str, wrapper: Sequence[str] = (), timeout_s: float = 600
) -> RunningKit:
    """`kit up` on a free port; returns when the page answers."""
    log = home.parent / f"{home.name}.up.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*wrapper, *KIT, "--home", str(home), "up", "--port", "0", *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def is_up() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"kit up ended with {process.returncode}:\n{log.read_text()}")
        found = find_instance(home)
        if found is None:
            return False
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(found.web_url + "/health", timeout=5) as answer,
        ):
            return answer.status == 200
        return False

    try:
        wait_until(is_up, timeout_s, "the page")
    except BaseException:
        process.kill()
        raise
    found = find_instance(home)
    assert found is not None
    return RunningKit(process, home, found.web_url)


def wait_until_warm(kit: RunningKit, timeout_s: float = 600) -> None:
    """Engine ready, embedding model loaded, every document read."""

    def is_warm() -> bool:
        health = kit.health()
        documents = json.loads(kit.get("/api/v1/documents")[1])["documents"]
        busy = [d for d in documents if d["state"] in ("queued", "parsing", "embedding")]
        is_ready = all(health[part] == "ready" for part in ("engine", "worker", "index"))
        return is_ready and _worker_says_ready(kit) and not busy

    wait_until(is_warm, timeout_s, "a warm kit")


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """No other process is in a block with the same lock."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def link_models(source: Path, home: Path) -> None:
    """Give a new home the models without copying or sharing their folders."""
    shutil.copytree(source, home / "models", copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, destination: str) -> str:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
    return destination


def _worker_says_ready(kit: RunningKit) -> bool:
    """Asked itself: the page's knowledge of a killed worker is up to two seconds old."""
    try:
        with urllib.request.urlopen(kit.instance.worker_url + "/health", timeout=5) as answer:
            return bool(json.loads(answer.read())["ready"])
    except OSError:
        return False
