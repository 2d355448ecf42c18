"""What strace wrote, as attempts to reach something outside this machine.

Text to nouns; runs nothing. Invariant: a line that names an outside address is an attempt, however
the call ended: without a route it fails, and was an attempt all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CALLS = "connect,sendto,sendmsg,sendmmsg"
DNS_PORT = 53
_ADDRESS = re.compile(
    r'sin_port=htons\((?P<port4>\d+)\), sin_addr=inet_addr\("(?P<ipv4>[^"]+)"\)'
    r'|sin6_port=htons\((?P<port6>\d+)\).*?inet_pton\(AF_INET6, "(?P<ipv6>[^"]+)"'
)
_CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\(")
_EXEC = re.compile(r'^execve\("([^"]+)"')
_PACKET = re.compile(r"sa_family=AF_PACKET")


@dataclass(frozen=True)
class Attempt:
    """One try to reach an address outside the loopback, or to look up a name."""

    program: str
    call: str
    address: str
    port: int


@dataclass(frozen=True)
class Trace:
    """All processes of one step. `num_calls` counts every traced call, also those that stay in."""

    num_processes: int
    num_calls: int
    attempts: tuple[Attempt, ...]


NOTHING = Trace(0, 0, ())


def read_traces(prefix: Path) -> Trace:
    """The files that `strace -ff -o PREFIX` wrote, one for each process."""
    paths = sorted(prefix.parent.glob(f"{prefix.name}.*"))
    num_calls = 0
    attempts: list[Attempt] = []
    for path in paths:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        num_calls += sum(_call_of(line) in CALLS.split(",") for line in lines)
        attempts += find_attempts(lines)
    return Trace(len(paths), num_calls, tuple(attempts))


def find_attempts(lines: Iterable[str]) -> list[Attempt]:
    """The attempts of one process, in order."""
    found: list[Attempt] = []
    program = "(a thread or a fork)"
    for line in lines:
        if started := _EXEC.match(line):
            program = started[1]
            continue
        for match in _ADDRESS.finditer(line):
            host = match["ipv4"] or match["ipv6"]
            port = int(match["port4"] or match["port6"])
            if port == DNS_PORT or not is_inside(host):
                found.append(Attempt(program, _call_of(line), host, port))
        if _PACKET.search(line):
            found.append(Attempt(program, _call_of(line), "a raw packet", 0))
    return found


def is_inside(host: str) -> bool:
    """Whether an address stays on this machine. 0.0.0.0 and :: are how it calls itself too."""
    host = host.lower().removeprefix("::ffff:")
    return host.startswith("127.") or host in ("::1", "0.0.0.0", "::")  # noqa: S104 - compared only


def _call_of(line: str) -> str:
    found = _CALL.match(line)
    return found[1] if found else ""
