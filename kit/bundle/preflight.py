"""Whether a bundle can be installed on a machine: every obstacle named at once, with what to do.

Rules over nouns; looks at nothing itself. Invariant: a finding that is not fine says the next step.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.bundle.manifest import Manifest
from kit.bundle.server import Server, version_key
from kit.bundle.serving import Serving
from kit.errors import MachineError, Problem
from kit.files import format_bytes

OK, WARN, FAIL = "ok", "warn", "fail"
UNPACKED = 4  # a wheel's size on the disk once installed, about, over its own
ROOM_BYTES = 1 << 30  # for documents, logs and what pip needs while it works
RUNNING_BYTES = 2 << 30  # web, worker and the embedding model
CONTEXT_SHARE = 0.25  # of the weights, for keys and values


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str
    found: str
    next_step: str = ""


def examine(
    manifest: Manifest, server: Server, serving: Serving, *, is_first: bool, admin: str
) -> list[Finding]:
    """Every check, in the order of the report. `admin` is the account that will be made."""
    findings = [
        _system(manifest, server),
        _glibc(manifest, server),
        _python(manifest, server),
        _memory(manifest, server),
        _disk(manifest, server),
        _cpu(manifest, server),
        _loopback(server),
    ]
    if is_first:
        has_accounts = bool(admin) or (serving.home / "kit.db").is_file()
        findings += examine_serving(
            server.busy_ports,
            serving,
            has_address=server.has_address,
            has_accounts=has_accounts,
        )
    return findings + _systemd(server, serving.has_service)


def examine_serving(
    busy_ports: Sequence[int], serving: Serving, *, has_address: bool, has_accounts: bool
) -> list[Finding]:
    """Whether the page can be served so: the address is this machine's, the port is free, and who
    reaches it has to sign in.
    """
    return [
        *_address(serving.host, has_address),
        *_ports(busy_ports),
        *_account(serving, has_accounts),
    ]


def require_fit(findings: list[Finding]) -> None:
    """Raises: MachineError naming everything that is missing, with what to do."""
    failed = [finding for finding in findings if finding.state == FAIL]
    if failed:
        raise MachineError(
            "the bundle cannot be installed here",
            problems=[Problem(f.name, f"{f.found}; {f.next_step}") for f in failed],
            hint="mend these, then run install.sh again; nothing was changed",
        )


def choose_python(manifest: Manifest, server: Server) -> str:
    """The path of the Python that the wheels are for, '' for the one that the bundle carries.

    Raises: MachineError if there is neither.
    """
    if any(file.kind == "python" for file in manifest.files):
        return ""
    for version, path in server.pythons:
        if version == manifest.target.python:
            return path
    raise MachineError(f"no Python {manifest.target.python} here", hint=_python_step(manifest))


def _system(manifest: Manifest, server: Server) -> Finding:
    found = f"{server.system} {server.machine}"
    if server.system != "Linux" or server.machine != manifest.target.machine:
        step = f"make a bundle for it: this one is for Linux {manifest.target.machine}"
        return Finding("system", FAIL, found, step)
    return Finding("system", OK, found)


def _glibc(manifest: Manifest, server: Server) -> Finding:
    needed = manifest.target.glibc
    if not server.glibc:
        step = "this system has no glibc (Alpine?): use a Debian, Ubuntu or Red Hat based one"
        return Finding("glibc", FAIL, "none", step)
    if needed and version_key(server.glibc) < version_key(needed):
        step = f"make a bundle for glibc {server.glibc}: kit bundle create --for machine.json"
        return Finding("glibc", FAIL, f"{server.glibc}, {needed} expected", step)
    return Finding("glibc", OK, server.glibc)


def _python(manifest: Manifest, server: Server) -> Finding:
    versions = [version for version, _ in server.pythons]
    found = ", ".join(versions) or "none that can make a virtual environment"
    if any(file.kind == "python" for file in manifest.files):
        return Finding("python", OK, f"{manifest.target.python} comes with the bundle")
    if manifest.target.python in versions:
        return Finding("python", OK, f"{manifest.target.python} (here: {found})")
    return Finding("python", FAIL, found, _python_step(manifest))


def _python_step(manifest: Manifest) -> str:
    version = manifest.target.python
    return (
        f"install python{version} from this system's own media, or make a bundle"
        " that carries one: kit bundle create --with-python ARCHIVE"
    )


def _memory(manifest: Manifest, server: Server) -> Finding:
    weights = max(
        (file.size_bytes for file in manifest.files if file.path.endswith(".gguf")), default=0
    )
    needed = int(weights * (1 + CONTEXT_SHARE)) + RUNNING_BYTES
    found = f"{format_bytes(server.memory_bytes)}, {format_bytes(server.free_memory_bytes)} free"
    if server.memory_bytes < needed:
        step = f"{format_bytes(needed)} are needed: choose a smaller model, or add memory"
        return Finding("memory", FAIL, found, step)
    if server.free_memory_bytes < needed:
        step = f"{format_bytes(needed)} are needed once it runs: stop what else runs here"
        return Finding("memory", WARN, found, step)
    return Finding("memory", OK, found)


def needed_disk_bytes(manifest: Manifest) -> int:
    """Copies of what the bundle carries, its wheels unpacked, and room to work."""
    wheels = sum(file.size_bytes for file in manifest.files if file.kind in ("wheel", "app"))
    return manifest.carried_bytes + UNPACKED * wheels + ROOM_BYTES


def _disk(manifest: Manifest, server: Server) -> Finding:
    needed = needed_disk_bytes(manifest)
    found = f"{format_bytes(server.free_disk_bytes)} free"
    if server.free_disk_bytes < needed:
        step = f"{format_bytes(needed)} are needed: free some, or choose another folder: --root"
        return Finding("disk", FAIL, found, step)
    return Finding("disk", OK, found)


def _cpu(manifest: Manifest, server: Server) -> Finding:
    name = server.cpu or "unknown"
    if manifest.target.machine == "x86_64" and "avx2" not in server.cpu_flags:
        step = "it works, some ten times slower than on a CPU with AVX2"
        return Finding("cpu", WARN, f"{name}, without AVX2", step)
    return Finding("cpu", OK, name)


def _loopback(server: Server) -> Finding:
    if not server.has_loopback:
        step = "the kit's parts speak to each other there; bring it up: ip link set lo up"
        return Finding("loopback", FAIL, "127.0.0.1 does not answer", step)
    return Finding("loopback", OK, "127.0.0.1")


def _address(host: str, has_address: bool) -> list[Finding]:
    step = "name one of its own (ip address shows them), or 0.0.0.0 for all: --host"
    found = "not an address of this machine"
    return [] if has_address else [Finding(f"host {host}", FAIL, found, step)]


def _ports(busy_ports: Sequence[int]) -> list[Finding]:
    step = "stop what listens there, or choose another port: --port"
    return [Finding(f"port {port}", FAIL, "in use", step) for port in busy_ports]


def _account(serving: Serving, has_accounts: bool) -> list[Finding]:
    """Threat: a page that the whole office reaches and nobody has to sign in to."""
    if not serving.is_open:
        return []
    if not has_accounts:
        step = "name the first account, its password is asked for: --admin NAME"
        return [Finding("account", FAIL, f"others reach {serving.host}", step)]
    return [Finding("account", OK, "somebody can sign in")]


def _systemd(server: Server, wants_systemd: bool) -> list[Finding]:
    if not wants_systemd:
        return [Finding("service", OK, "none: you start it yourself, as this user")]
    if not server.has_systemd:
        step = "use --no-systemd, and start it as this system starts its services"
        return [Finding("service", FAIL, "systemd does not run here", step)]
    if not server.is_root:
        step = "run install.sh as root, or with --no-systemd into a folder of your own"
        return [Finding("service", FAIL, "only root can install a service", step)]
    return [Finding("service", OK, "systemd")]
