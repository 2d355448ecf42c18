"""The service's unit: closed to all it does not need, by systemd's own judgement too."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.bundle.serving import Serving, checked_networks
from kit.bundle.units import service_unit
from kit.errors import UsageError

SERVING = Serving(
    Path("/opt/kit"), Path("/var/lib/kit"), networks=("192.168.7.0/24",), has_service=True
)


def test_it_reaches_itself_and_the_readers() -> None:
    """Everything is denied but loopback and the networks that were named."""
    unit = service_unit(SERVING)
    assert "IPAddressDeny=any" in unit
    assert "IPAddressAllow=localhost 192.168.7.0/24\n" in unit
    assert "ReadWritePaths=/var/lib/kit\n" in unit
    assert "NoNewPrivileges=true" in unit


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "8.8.8.0/24", "office", "10.0.0.0/99"])
def test_only_ones_own_networks(network: str) -> None:
    """The whole internet, or somebody else's part of it, is no office."""
    with pytest.raises(UsageError):
        checked_networks([network])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_it_closed(tmp_path: Path) -> None:
    """`systemd-analyze security` gives at most 2.0 of 10; it was 1.6 with systemd 252."""
    path = tmp_path / "kit.service"
    path.write_text(service_unit(SERVING))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, re.findall(r"\u2717.*", done.stdout)
