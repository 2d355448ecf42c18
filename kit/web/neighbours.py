"""How the other processes are: asked in the background or at most every two seconds.

Knows their health addresses only. A neighbour that does not answer is a state, not an error.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

log = logging.getLogger("kit.web")
POLL_S = 2.0
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class WorkerStatus:
    """`model` and `dim` are known once the embedding model was loaded, and stay so."""

    ready: bool = False
    model: str = ""
    dim: int = 0
    state: str = "starting"
    change: dict[str, Any] | None = None
    """A change of the embedding model that is under way: old, new, num_done, num_total."""


class WorkerWatch:
    """The worker's last known status. Without an address there is no worker."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._status = WorkerStatus(state="starting" if url else "absent")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-watch", daemon=True)

    def __call__(self) -> WorkerStatus:
        return self._status

    def start(self) -> None:
        if self._url:
            self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def wake_worker(self) -> None:
        """Tell the worker that there is something to do. It looks by itself now and then, too."""
        if self._url:
            threading.Thread(target=self._post_wake, name="wake", daemon=True).start()

    def _post_wake(self) -> None:
        try:
            httpx.post(f"{self._url}/wake", timeout=TIMEOUT_S, trust_env=False)
        except httpx.HTTPError as problem:
            log.info("the worker was not woken: %s", problem)

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            while not self._stop.is_set():
                self._status = self._ask(client)
                self._stop.wait(POLL_S)

    def _ask(self, client: httpx.Client) -> WorkerStatus:
        try:
            found = client.get(f"{self._url}/health").json()
            if found.get("ready"):
                change = found.get("change")
                return WorkerStatus(True, str(found["model"]), int(found["dim"]), "ready", change)
            return replace(self._status, ready=False, state=str(found.get("state") or "starting"))
        except (httpx.HTTPError, ValueError, AttributeError, TypeError, KeyError):
            was_there = self._status.state not in ("starting", "unreachable")
            state = "unreachable" if was_there else self._status.state
            return replace(self._status, ready=False, state=state)


class EngineWatch:
    """Whether the engine answers, asked at most every two seconds however many want to know."""

    def __init__(self, healthy: Callable[[], Awaitable[bool]]) -> None:
        self._healthy = healthy
        self._is_healthy = False
        self._asked_at = -POLL_S
        self._lock = asyncio.Lock()

    async def __call__(self) -> bool:
        async with self._lock:
            if time.monotonic() - self._asked_at >= POLL_S:
                try:
                    self._is_healthy = await asyncio.wait_for(self._healthy(), TIMEOUT_S)
                except TimeoutError:
                    self._is_healthy = False
                self._asked_at = time.monotonic()
        return self._is_healthy
