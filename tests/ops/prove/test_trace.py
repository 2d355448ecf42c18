"""What strace wrote, read as attempts to leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.ops.prove.trace import Attempt, find_attempts, is_inside, read_traces

OUT4 = (
    'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.9")}, 16)'
    " = -1 ENETUNREACH (Network is unreachable)"
)
OUT6 = (
    "connect(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
    'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH'
)
DNS = (
    'connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0'
)
SENT = (
    'sendto(5, "x", 1, MSG_NOSIGNAL, {sa_family=AF_INET, sin_port=htons(5353), '
    'sin_addr=inet_addr("224.0.0.251")}, 16) = -1 ENETUNREACH'
)
INSIDE = [
    'connect(3, {sa_family=AF_INET, sin_port=htons(7860), sin_addr=inet_addr("127.0.0.1")}, 16)',
    'connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT',
    'connect(3, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1", &sin6_addr)}',
    "sendmsg(3, {msg_name={sa_family=AF_NETLINK, nl_pid=0}, msg_iov=[]}, 0) = 20",
    "+++ exited with 0 +++",
    "",
]


@pytest.mark.parametrize(
    ("line", "address", "port"),
    [
        (OUT4, "203.0.113.9", 443),
        (OUT6, "2001:db8::1", 443),
        (DNS, "127.0.0.53", 53),
        (SENT, "224.0.0.251", 5353),
    ],
)
def test_what_tries_to_leave_is_an_attempt(line: str, address: str, port: int) -> None:
    """Failed or not, in whichever family; a look-up of a name too, wherever it is asked."""
    started = 'execve("/usr/bin/python3", ["python3"], 0x7ffd /* 9 vars */) = 0'
    (found,) = find_attempts([started, line])
    assert found == Attempt("/usr/bin/python3", line.partition("(")[0], address, port)


def test_what_stays_inside_is_none() -> None:
    """Loopback, sockets of files, and the kernel."""
    assert find_attempts(INSIDE) == []


@pytest.mark.parametrize("host", ["::ffff:127.0.0.1", "127.8.9.1", "0.0.0.0", "::", "::1"])
def test_ways_to_name_oneself(host: str) -> None:
    """A machine has many names for itself."""
    assert is_inside(host)


@pytest.mark.parametrize("host", ["::ffff:8.8.8.8", "128.0.0.1", "10.0.0.1", "fe80::1", "1270.0"])
def test_ways_out(host: str) -> None:
    """What looks like it is still outside."""
    assert not is_inside(host)


def test_each_process_has_its_file(tmp_path: Path) -> None:
    """Calls of all are counted, other steps' files are not read, bad bytes do no harm."""
    (tmp_path / "trace-01.100").write_text("\n".join([*INSIDE, OUT4]))
    (tmp_path / "trace-01.101").write_bytes(
        b'\xff\xfe connect(\nsendto(3, "x", 1, 0, NULL, 0) = 1\n'
    )
    (tmp_path / "trace-02.102").write_text(OUT6)
    trace = read_traces(tmp_path / "trace-01")
    assert (trace.num_processes, trace.num_calls, len(trace.attempts)) == (2, 6, 1)
