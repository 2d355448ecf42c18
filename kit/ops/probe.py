"""Look at this machine and write down what decides which models it can run.

Reads files of /proc, /sys and /etc, changes nothing, reaches no network, loads no native library of
ours. Invariant: nothing that identifies the machine is written down, and what cannot be read is
None, never an error.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from kit import __version__
from kit.engine.cpu.machine import available_memory, cpu_name, usable_cores
from kit.files import format_bytes
from kit.supply.machine import MachineProbe

# The instruction sets that llama.cpp has kernels for, on x86 and on ARM.
# fmt: off
CPU_FLAGS = frozenset({
    "sse4_2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512vl",
    "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp",
    "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
})
# fmt: on
COPIED_BYTES = 256 << 20  # larger than nearly every cache
COPY_S = 0.5
NUM_STEPS = 16
_GPU_MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


def probe_machine(home: Path) -> MachineProbe:
    """This machine, in about a second. `home` says which disk is meant; it need not exist."""
    return MachineProbe(
        kit_version=__version__,
        probed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        architecture=platform.machine(),
        cpu_name=cpu_name(),
        cpu_flags=find_cpu_flags(),
        cores=usable_cores(),
        memory_total_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        memory_available_bytes=available_memory(),
        disk_free_bytes=_disk_free(home),
        os_name=platform_name(),
        kernel=os.uname().release,
        glibc=_glibc(),
        systemd=_systemd(),
        python_versions=find_pythons(os.environ.get("PATH", "")),
        gpus=find_gpus(),
        bandwidth_bytes_per_s=measure_bandwidth(),
    )


def find_cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The flags of the first CPU that matter, in alphabetical order."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _read(cpuinfo), re.MULTILINE)
    return tuple(sorted(CPU_FLAGS & set(found[1].split()))) if found else ()


def platform_name(release: Path = Path("/etc/os-release")) -> str:
    """What the distribution calls itself, for example 'Debian GNU/Linux 12 (bookworm)'."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', _read(release), re.MULTILINE)
    return found[1] if found else platform.system()


def find_pythons(path: str) -> tuple[str, ...]:
    """The versions of all pythonX.Y on the search path, oldest first; none is run."""
    versions = set()
    for folder in path.split(os.pathsep):
        with contextlib.suppress(OSError):
            names = os.listdir(folder or ".")
            versions |= {m[1] for name in names if (m := re.fullmatch(r"python(3\.\d+)", name))}
    return tuple(sorted(versions, key=lambda version: int(version.split(".")[1])))


def find_gpus(
    nvidia: Path = Path("/proc/driver/nvidia/gpus"), drm: Path = Path("/sys/class/drm")
) -> tuple[str, ...]:
    """The GPUs that the kernel shows, by model where it says so, else by maker and number."""
    models = [
        found[1].strip()
        for path in sorted(nvidia.glob("*/information"))
        if (found := re.search(r"^Model:(.*)$", _read(path), re.MULTILINE))
    ]
    for path in sorted(drm.glob("card*/device/vendor")):
        maker = _GPU_MAKERS.get(_read(path).strip())
        if maker is None or (maker == "NVIDIA" and models) or "-" in path.parts[-3]:
            continue
        memory = _read(path.with_name("mem_info_vram_total")).strip()
        size = f", {format_bytes(int(memory))}" if memory.isdecimal() else ""
        models.append(f"{maker} {_read(path.with_name('device')).strip()}{size}")
    return tuple(models)


def measure_bandwidth(seconds: float = COPY_S, num_bytes: int = COPIED_BYTES) -> float | None:
    """Bytes per second that the usable cores copy together, the best step; None without room.

    Read and write count. The steps are short, so that one of them is not disturbed by other work,
    and go round a memory larger than nearly every cache. A first round touches every page.
    """
    import numpy as np

    if available_memory() < 4 * num_bytes:
        return None
    cores, source = usable_cores(), np.ones(num_bytes, np.uint8)
    copy = np.empty_like(source)
    steps = [
        list(zip(np.array_split(to, cores), np.array_split(of, cores), strict=True))
        for to, of in zip(np.split(copy, NUM_STEPS), np.split(source, NUM_STEPS), strict=True)
    ]
    best, number, until = 0.0, 0, time.perf_counter() + seconds
    with ThreadPoolExecutor(cores) as pool:
        while number < 2 * NUM_STEPS or time.perf_counter() < until:
            start = time.perf_counter()
            list(pool.map(lambda piece: np.copyto(*piece), steps[number % NUM_STEPS]))
            if number >= NUM_STEPS:
                best = max(best, 2 * num_bytes / NUM_STEPS / (time.perf_counter() - start))
            number += 1
    return best


def _disk_free(home: Path) -> int:
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _glibc() -> str | None:
    name, version = platform.libc_ver()
    return version if name == "glibc" else None


def _systemd() -> str | None:
    """The version that systemctl prints first: 'systemd 252 (252.30-1)' -> '252'."""
    try:
        said = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"systemd (\S+)", said)
    return found[1] if found else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
