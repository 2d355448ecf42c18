"""A cage for code that reads hostile bytes: limits, no network, no files but those it is given.

Runs in the child, before it touches the file. Knows Linux, not documents. Limits on memory, time
and files always hold; the namespace and Landlock rules are added where the kernel allows it to an
ordinary user, and `confine` says which did.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.isolate import leave_network
from kit.library.reading.no_processes import forbid_processes

_PR_SET_NO_NEW_PRIVS = 38
# Landlock (Linux 5.13): the same numbers on every architecture.
_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_ALL_V1 = (1 << 13) - 1
_RULE_PATH_BENEATH = 1
_O_PATH = 0o10000000

_libc = ctypes.CDLL(None, use_errno=True)


def limit_resources(*, memory_bytes: int, cpu_s: int, file_bytes: int) -> None:
    """Bound memory, processor time, the size of any file written, open files and core dumps."""
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def confine(
    *, readable: Sequence[Path], writable: Sequence[Path], threads: bool = False
) -> tuple[str, ...]:
    """Take away network, new privileges, other processes and other files, as far as possible.

    With `threads` it may start threads, and only the filter of system calls keeps it from
    processes. Returns: the names of the measures that the kernel granted.
    """
    done = []
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        done.append("no_new_privs")
    if leave_network():
        done.append("no_network")
    if _landlock(readable, writable):
        done.append("files")
    if forbid_processes():
        done.append("no_processes")
    if not threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return tuple(done)


def python_folders() -> list[Path]:
    """Where Python, its libraries and this package are read from."""
    package = Path(__file__).resolve().parents[3]
    roots = {Path(entry).resolve() for entry in sys.path if entry} | {package}
    roots |= {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve() / "lib"}
    system = (
        Path(name)
        for name in ("/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
    )
    devices = (
        Path(name) for name in ("/dev/null", "/dev/urandom", "/proc/self", "/etc/mime.types")
    )
    return [path for path in (*roots, *system, *devices) if path.exists()]


def _landlock(readable: Sequence[Path], writable: Sequence[Path]) -> bool:
    """Allow reading under `readable` and everything under `writable`; nothing else on disk."""
    ruleset = _libc.syscall(_SYS_CREATE_RULESET, struct.pack("=Q", _FS_ALL_V1), 8, 0)
    if ruleset < 0:
        return False
    try:
        for paths, rights in (
            (readable, _FS_READ_FILE | _FS_READ_DIR | _FS_EXECUTE),
            (writable, _FS_ALL_V1),
        ):
            for path in paths:
                if not _allow(ruleset, path, rights):
                    return False
        return bool(_libc.syscall(_SYS_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> bool:
    if not path.is_dir():
        rights &= _FS_EXECUTE | _FS_WRITE_FILE | _FS_READ_FILE
    handle = os.open(path, _O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, handle)
        return bool(_libc.syscall(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(handle)
