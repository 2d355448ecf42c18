"""Addresses and ports before anything starts."""

from __future__ import annotations

import socket

import pytest

from kit.errors import MachineError, PortInUse, UsageError
from kit.ops.ports import claim_port, is_loopback, url_of


def test_a_taken_port_is_named_with_another() -> None:
    """A port that another program holds is PortInUse, with --port as the next step."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            claim_port("127.0.0.1", port)
    assert str(port) in caught.value.message
    assert "--port" in str(caught.value.hint)
    assert claim_port("127.0.0.1", port) == port  # free again, also at once after use


def test_port_zero_is_any_free_one() -> None:
    """Port 0 gives a port that can be opened."""
    port = claim_port("127.0.0.1", 0)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["example.org", "kit", "300.1.1.1", ""])
def test_names_are_not_looked_up(host: str) -> None:
    """A host name is refused rather than asked of a name server."""
    with pytest.raises(UsageError, match="IP address"):
        claim_port(host, 0)


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that this machine does not have is named."""
    with pytest.raises((UsageError, MachineError), match=r"192\.0\.2\.1"):
        claim_port("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.5", False),
        ("localhost.evil.example", False),
    ],
)
def test_only_loopback_is_loopback(host: str, expected: bool) -> None:
    """Only addresses that no other machine can reach count as loopback."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("10.0.0.5", "http://10.0.0.5:80"),
    ],
)
def test_urls_are_reachable_from_here(host: str, url: str) -> None:
    """The URL for this machine's own programs never holds a wildcard address."""
    assert url_of(host, 80) == url
    assert url_of(host, 80, is_https=True) == url.replace("http:", "https:")
