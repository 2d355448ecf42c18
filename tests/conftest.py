"""Fixtures for every test: a clean environment, a temporary home, and a socket guard."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from kit.database import Database

# No deadlines: these machines are shared, and a timed test would fail for their neighbours' sake.
settings.register_profile(
    "kit", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("kit")


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay to the end: nothing looks through them again for garbage,
    which took a sixth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the KIT_* settings of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("KIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_outside_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that connects outside the loopback fails."""
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not (host.startswith("127.") or host in ("::1", "localhost")):
                pytest.fail(f"connects to {host}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty KIT_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    """A migrated database in `home`."""
    opened = Database(home / "kit.db")
    yield opened
    opened.close()
