"""What an installation sees of a machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kit.bundle import server


def test_a_service_gets_no_python_of_somebodys_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python in a home, first on root's PATH, is left out for a service: it could not run it."""
    shim = tmp_path / "python3"
    shim.write_text("#!/bin/sh\nprintf '3.77\\n/root/.pyenv/versions/3.77\\n'\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "_PLACES", (str(Path(sys.executable).parent),))
    assert ("3.77", str(shim)) in server.find_pythons()
    assert "3.77" not in dict(server.find_pythons(for_service=True))


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("0.0.0.0", True), ("192.0.2.7", False), ("not an address", False)],
)
def test_only_an_address_of_this_machine_can_be_listened_on(host: str, is_here: bool) -> None:
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    assert server.has_address(host) is is_here
