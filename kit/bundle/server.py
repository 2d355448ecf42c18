"""What kind of machine this is, as far as an installation depends on it.

Looks and changes nothing; runs nothing but other Pythons, to ask their version. Knows no bundle.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(11, 16)))
_PLACES = ("/usr/bin", "/usr/local/bin")
_HOMES = ("/root/", "/home/", "/run/user/")  # closed to the service by ProtectHome
_ASK = (
    "import sys, venv, ssl, sqlite3;"
    " print('%d.%d' % sys.version_info[:2], sys.base_prefix, sep='\\n')"
)


@dataclass(frozen=True)
class Server:
    """Facts of one machine. Sizes in bytes; '' or None = not known."""

    machine: str
    system: str
    glibc: str
    pythons: tuple[tuple[str, str], ...]
    """(version, path) of those that can make a virtual environment; for a service, its too."""
    memory_bytes: int
    free_memory_bytes: int
    free_disk_bytes: int
    """Where the releases will lie."""
    has_systemd: bool
    is_root: bool
    busy_ports: tuple[int, ...]
    has_address: bool
    """Whether the address that the page is to listen on is one of this machine's."""
    has_loopback: bool
    """Whether this machine reaches itself at 127.0.0.1."""
    cpu: str
    cpu_flags: frozenset[str]


def look(
    root: Path, ports: tuple[int, ...], *, host: str = "127.0.0.1", for_service: bool = False
) -> Server:
    """This machine, with the disk of `root`, those of `ports` that are taken, and whether it can
    listen on `host`.

    `for_service` leaves out Pythons in somebody's home, where a service cannot reach them.
    """
    memory = _meminfo()
    cpu, flags = _cpu()
    return Server(
        machine=platform.machine(),
        system=platform.system(),
        glibc=_glibc(),
        pythons=tuple(find_pythons(for_service=for_service)),
        memory_bytes=memory.get("MemTotal", 0),
        free_memory_bytes=memory.get("MemAvailable", 0),
        free_disk_bytes=_free_disk(root),
        has_systemd=Path("/run/systemd/system").is_dir(),
        is_root=os.geteuid() == 0,
        busy_ports=busy_ports(ports),
        has_address=has_address(host),
        has_loopback=_reaches_itself(),
        cpu=cpu,
        cpu_flags=flags,
    )


def find_pythons(*, for_service: bool = False) -> list[tuple[str, str]]:
    """(version, path) of every Python here that can make a virtual environment, newest first."""
    found: dict[str, str] = {}
    system = [f"{place}/{name}" for place in _PLACES for name in _PYTHONS]
    for name in (sys.executable, *_PYTHONS, *(system if for_service else ())):
        path = shutil.which(name) if name else None
        version, base = _asked(path) if path else ("", "")
        if path and version and not (for_service and f"{base}/".startswith(_HOMES)):
            found.setdefault(version, path)
    return sorted(found.items(), key=lambda pair: version_key(pair[0]), reverse=True)


def version_key(text: str) -> tuple[int, ...]:
    """'3.11' -> (3, 11); what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def _asked(path: str) -> tuple[str, str]:
    """(version, where it lives) of a Python; empty if it is none, or cannot make environments."""
    try:
        asked = subprocess.run(
            [path, "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    version, _, base = asked.stdout.strip().partition("\n")
    return (version, base) if asked.returncode == 0 else ("", "")


def _glibc() -> str:
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
    return name.partition(" ")[2]


def _meminfo() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    rows = (line.split() for line in lines)
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) > 2}


def _cpu() -> tuple[str, frozenset[str]]:
    """(name, flags) of the first processor."""
    name, flags = "", frozenset[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return name, flags
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and not name:
            name = value
        elif key in ("flags", "Features") and not flags:
            flags = frozenset(value.split())
    return name, flags


def _free_disk(root: Path) -> int:
    existing = next(path for path in (root, *root.parents) if path.exists())
    return shutil.disk_usage(existing).free


def _reaches_itself() -> bool:
    with socket.socket() as listener, socket.socket() as caller:
        caller.settimeout(5)
        try:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            caller.connect(listener.getsockname())
        except OSError:
            return False
    return True


def has_address(host: str) -> bool:
    """Whether something can listen there: an address of this machine, or a name of one."""
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except (OSError, UnicodeError, ValueError):
        return False
    return True


def busy_ports(ports: Iterable[int]) -> tuple[int, ...]:
    """Those of them that are taken here."""
    return tuple(port for port in ports if _is_busy(port))


def _is_busy(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
