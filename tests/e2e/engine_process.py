"""The engine as a process of its own, for tests that talk to it over HTTP."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import openai


class EngineProcess:
    """A server process on a port of its own; its log can be read."""

    def __init__(self, model: Path, folder: Path, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / f"engine-{self.port}.log"
        command = [sys.executable, "-m", "kit.engine.server", "--model", str(model)]
        command += ["--port", str(self.port), "--home", str(folder), *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        self.root = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.root, timeout=300, trust_env=False)

    def wait_until_ready(self) -> EngineProcess:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/health").status_code == 200:
                    return self
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def openai(self) -> openai.OpenAI:
        http = httpx.Client(trust_env=False, timeout=600)
        return openai.OpenAI(
            base_url=f"{self.root}/v1", api_key="none", max_retries=0, http_client=http
        )

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        rows = [line.split() for line in lines]
        return next(float(row[1]) for row in rows if row[0] == f"kit_engine_{name}")

    def wait_for_metric(self, name: str, value: float, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while self.metric(name) != value:
            assert time.monotonic() < deadline, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.02)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.http.close()
        return code


def ask(client: openai.OpenAI, text: str, **options: Any) -> Any:
    """A greedy chat completion of one question, by default of 16 tokens."""
    options = {"max_tokens": 16, "temperature": 0, **options}
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="any", messages=messages, **options)
