"""What this machine offers to an engine: cores, memory, and which CPU it is.

Reads /proc, /sys and cgroup limits, changes nothing. Counts what this process may use, not what
the machine has: a container with two of sixty-four cores must not start sixty-four threads.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPU_KEYS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features")


def usable_cores() -> int:
    """Physical cores this process may use: its affinity without hyper-threads, within its quota."""
    cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    quota = _cpu_quota()
    return max(1, min(len(cores), int(quota) if quota else len(cores)))


def _siblings(cpu: int) -> str:
    """The hyper-threads that share this CPU's core, as the kernel writes them ("0,32")."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _cpu_quota() -> float | None:
    """CPUs' worth of time this control group may use, or None without a limit."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def available_memory() -> int:
    """Bytes that can be allocated without pushing others out."""
    available = _meminfo("MemAvailable")
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return available
    return min(available, max(0, limit - used))


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    return 1 << 62


def cpu_fingerprint(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """A digest of the first CPU's model and instruction set; changes when the machine does."""
    first = cpuinfo.read_text(errors="replace").split("\n\n", 1)[0]
    lines = [line for line in first.splitlines() if line.split("\t")[0].strip() in _CPU_KEYS]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"
