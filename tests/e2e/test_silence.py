"""Nothing leaves: the whole story without a route, every attempt counted, planted leaks caught."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.drive import link_models

pytestmark = pytest.mark.e2e

ADDRESS = re.compile(
    r'sin_port=htons\((?P<port4>\d+)\), sin_addr=inet_addr\("(?P<ipv4>[^"]+)"\)'
    r'|sin6_port=htons\((?P<port6>\d+)\).*?inet_pton\(AF_INET6, "(?P<ipv6>[^"]+)"'
)
DNS_PORT = "53"


def attempts(folder: Path) -> list[str]:
    """Every attempt to reach an address outside the loopback, and every look-up of a name."""
    found = []
    for trace in sorted(folder.glob("trace*")):
        for line in trace.read_text(errors="replace").splitlines():
            for match in ADDRESS.finditer(line):
                host = match["ipv4"] or match["ipv6"]
                port = match["port4"] or match["port6"]
                inside = host.startswith("127.") or host in ("::1", "0.0.0.0", "::")
                if not inside or port == DNS_PORT:
                    found.append(line)
    return found


def tell_story(home: Path, folder: Path, *flags: str) -> dict:
    folder.mkdir()
    command = ["unshare", "-rn", sys.executable, "-m", "tests.e2e.silent_story"]
    done = subprocess.run(
        [*command, str(home), str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_nothing_leaves(ready_models: Path, tmp_path: Path) -> None:
    """Start, index, browse, search and ask: no process and no page tries to reach outside."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    told = tell_story(home, tmp_path / "trace")
    assert list((tmp_path / "trace").glob("trace*")), "strace wrote nothing"
    assert attempts(tmp_path / "trace") == []
    assert told["browser"] == []
    assert told["answer"]["supported"] is True


def test_planted_leaks_are_caught(ready_models: Path, tmp_path: Path) -> None:
    """A look-up, a native connect and a remote image are each seen, so the test above can fail."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    told = tell_story(home, tmp_path / "trace", "--leak")
    seen = "\n".join(attempts(tmp_path / "trace"))
    assert "203.0.113.9" in seen
    assert f"htons({DNS_PORT})" in seen or "leak.invalid" in seen
    assert any("203.0.113.9" in url for url in told["browser"])
