"""The servers under measurement: started afresh, asked what they did, stopped for good.

Knows processes, ports and /metrics, no loads. Invariant: one server is alive at a time; with two
of them, idle threads of one slow the other down by more than what is measured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from kit.errors import EngineError
from kit.evaluate.loads import Script
from kit.silence import quiet_environment

START_S = 300.0
STOP_S = 20.0
BETWEEN_READINGS_S = 0.1
MAX_READINGS = 50  # in load f a server may still be busy for those who have left
# What each server calls its counters of work.
_WORK = {
    "prompt_tokens": ("kit_engine_prompt_tokens_total", "llamacpp:prompt_tokens_total"),
    "cached_tokens": ("kit_engine_cached_tokens_total", "llamacpp:prompt_tokens_cached_total"),
    "generated_tokens": ("kit_engine_generated_tokens_total", "llamacpp:tokens_predicted_total"),
    "steps": ("kit_engine_steps_total", "llamacpp:n_decode_total"),
    "drafted_tokens": (
        "kit_engine_draft_confirmed_total",
        "llamacpp:spec_decode_num_accepted_tokens_total",
    ),
}


@dataclass(frozen=True)
class Work:
    """What a server did: prompt tokens computed and reused, tokens generated, batches decoded.

    `drafted_tokens` are those of the generated that came from a guess.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    drafted_tokens: int = 0

    def since(self, earlier: Work) -> Work:
        return Work(**{name: getattr(self, name) - getattr(earlier, name) for name in _WORK})


@dataclass(frozen=True)
class ServerSpec:
    """How to start one of the two. `command` lacks the port and the threads.

    `takes_namespace`: its requests may name who shares what is computed. `fields` go into every
    request; `facts` are for the report.
    """

    name: str
    command: tuple[str, ...]
    takes_namespace: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def extra(self, script: Script) -> dict[str, Any]:
        """The fields of a script's requests that are this server's own."""
        own = {"cache_namespace": script.namespace} if self.takes_namespace else {}
        return {**self.fields, **own}


class Server:
    """A running server. `url` ends in /v1."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._process, self._log = process, log
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)

    def death(self) -> str:
        """How it ended and the last it said; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        lines = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"{how}; its last words: {' / '.join(lines) or 'none'}"

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get("/health").status_code == 200
        return False

    def work(self) -> Work:
        """Its counters once they stand still: servers write some of them after an answer's end."""
        before, now = self._work(), Work()
        for _ in range(MAX_READINGS):
            time.sleep(BETWEEN_READINGS_S)
            now = self._work()
            if now == before:
                break
            before = now
        return now

    def _work(self) -> Work:
        """Its counters now; zeros if it is gone or does not count."""
        try:
            page = self._http.get("/metrics").text
        except httpx.HTTPError:
            return Work()
        rows = [line.split() for line in page.splitlines() if not line.startswith("#")]
        found = {row[0]: float(row[1]) for row in rows if len(row) == 2}
        sums = {key: sum(found.get(name, 0.0) for name in names) for key, names in _WORK.items()}
        return Work(**{key: int(value) for key, value in sums.items()})

    def describe(self) -> Mapping[str, Any]:
        """What it says of itself under /v1/models, as far as it does."""
        with contextlib.suppress(httpx.HTTPError, ValueError, LookupError, TypeError):
            return dict(self._http.get("/v1/models").json()["data"][0]["meta"])
        return {}

    def stop(self) -> None:
        """Nothing of it is left."""
        self._http.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


@contextlib.contextmanager
def running(spec: ServerSpec, *, threads: int, folder: Path) -> Iterator[Server]:
    """A fresh server for the length of the block. Its log is in `folder`.

    Raises: EngineError if it does not get ready.
    """
    port, log = _free_port(), folder / f"{spec.name}.log"
    command = [*spec.command, "--threads", str(threads), "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=quiet_environment(os.environ),
            process_group=0,  # no session: priorities count only within one, as under kit up
        )
    server = Server(process, port, log)
    try:
        _wait_until_ready(server, spec.name)
        yield server
    finally:
        server.stop()


def _wait_until_ready(server: Server, name: str) -> None:
    deadline = time.monotonic() + START_S
    while not server.is_ready():
        if problem := server.death():
            raise EngineError(f"the server {name} did not start: it {problem}")
        if time.monotonic() > deadline:
            raise EngineError(f"the server {name} was not ready after {START_S:.0f} s")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
