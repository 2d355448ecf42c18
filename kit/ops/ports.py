"""Addresses and ports: is this one free, is that one only this machine's.

Knows sockets, not servers. Invariant: nothing here resolves a name over the network.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl

from kit.errors import MachineError, PortInUse, UsageError


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str) -> None:
    """Raise UsageError unless `host` is 'localhost' or an IP address; names are not looked up."""
    if host == "localhost":
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"--host expects an IP address or 'localhost', observed {host!r}",
            hint="for every address of this machine: --host 0.0.0.0",
        ) from None


def claim_port(host: str, port: int) -> int:
    """`port` if it is free on `host`, or any free one for 0.

    Raises: PortInUse, MachineError (a port this user may not open), UsageError (an address that
    this machine does not have).
    """
    check_host(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise _explain(host, port, problem) from None
        return int(probe.getsockname()[1])


def _explain(host: str, port: int, problem: OSError) -> Exception:
    if problem.errno == errno.EADDRINUSE:
        another = port + 1 if port < 65535 else 7860
        return PortInUse(
            f"port {port} on {host} is in use by another program",
            hint=f"choose another with --port {another}, or any free one: --port 0",
        )
    if problem.errno in (errno.EACCES, errno.EPERM):
        return MachineError(
            f"this user may not open port {port}", hint="choose one above 1023: --port 7860"
        )
    if problem.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            f"this machine has no address {host}", hint="see its addresses: ip address"
        )
    return MachineError(f"cannot listen on {host} port {port}: {problem.strerror}")


def url_of(host: str, port: int, *, is_https: bool = False) -> str:
    """Where this machine reaches a server bound to `host`, without a trailing slash."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    scheme = "https" if is_https else "http"
    return (
        f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"
    )


def trust_only(certfile: str) -> ssl.SSLContext:
    """A context that accepts exactly the page's own certificate, under any name of this machine.

    Threat: another program on the port that would be sent the local user's token.
    """
    context = ssl.create_default_context(cafile=certfile)
    context.check_hostname = False  # the certificate names the machine, we ask 127.0.0.1
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
