"""The probe of a machine: what it finds in files, and what it never tells."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kit.ops import probe
from kit.ops.probe import (
    find_cpu_flags,
    find_gpus,
    find_pythons,
    measure_bandwidth,
    platform_name,
    probe_machine,
)
from kit.supply.machine import read_probe, write_probe


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_this_machine_is_described(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real probe is read back, names no host, and its numbers are possible."""
    monkeypatch.setattr(probe, "measure_bandwidth", lambda: 5e9)
    seen = probe_machine(home / "not" / "there")
    text = write_probe(seen)
    path = write(tmp_path / "machine.json", text)
    assert read_probe(path) == seen
    assert seen.cores >= 1
    assert 0 < seen.memory_available_bytes <= seen.memory_total_bytes
    assert seen.disk_free_bytes > 0
    host = socket.gethostname()
    assert len(host) < 5 or host not in text


def test_flags_that_matter_are_kept(tmp_path: Path) -> None:
    """Of a CPU's flags only those with kernels are told, on x86 and on ARM."""
    x86 = write(tmp_path / "x86", "model name\t: A\nflags\t\t: fpu avx2 fma rdtscp avx512f\n\n")
    arm = write(tmp_path / "arm", "Features\t: fp asimd i8mm crc32\n")
    assert find_cpu_flags(x86) == ("avx2", "avx512f", "fma")
    assert find_cpu_flags(arm) == ("asimd", "i8mm")
    assert find_cpu_flags(tmp_path / "absent") == ()


def test_gpus_are_found_in_files(tmp_path: Path) -> None:
    """A GPU of each maker is told once; outputs, virtual displays and serial numbers are not."""
    nvidia, drm = tmp_path / "nvidia", tmp_path / "drm"
    write(nvidia / "0000:01:00.0" / "information", "Model: \t NVIDIA L4\nGPU UUID: GPU-secret\n")
    for name, vendor in {"card0": "0x10de", "card1": "0x1002", "card2": "0x1234"}.items():
        write(drm / name / "device" / "vendor", vendor + "\n")
        write(drm / name / "device" / "device", "0x744c\n")
    write(drm / "card1-DP-1" / "device" / "vendor", "0x1002\n")
    write(drm / "card1" / "device" / "mem_info_vram_total", f"{24 << 30}\n")
    assert find_gpus(nvidia, drm) == ("NVIDIA L4", "AMD 0x744c, 24.0 GiB")
    assert find_gpus(tmp_path / "absent", tmp_path / "absent") == ()


def test_pythons_are_found_by_name(tmp_path: Path) -> None:
    """Versions come from names on the search path, in order, and no program is run."""
    for name in ("python3.12", "python3.9", "python3", "python3.11-config"):
        write(tmp_path / "bin" / name, "#!/bin/sh\ntouch ran\n")
    assert find_pythons(f"{tmp_path / 'bin'}:{tmp_path / 'absent'}") == ("3.9", "3.12")


def test_the_distribution_is_named(tmp_path: Path) -> None:
    """The name is the distribution's own, or the kernel's where there is none."""
    release = write(tmp_path / "os-release", 'NAME=D\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    assert platform_name(release) == "Debian GNU/Linux 12"
    assert platform_name(tmp_path / "absent") == "Linux"


def test_bandwidth_is_measured_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy gives bytes per second; with too little memory nothing is tried."""
    measured = measure_bandwidth(seconds=0.01, num_bytes=4 << 20)
    assert measured is not None
    assert 1e7 < measured < 1e13
    monkeypatch.setattr(probe, "available_memory", lambda: 8 << 20)
    assert measure_bandwidth(num_bytes=4 << 20) is None


def test_a_machine_without_systemd_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemctl the version is not known; with it, it is the first number."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert probe._systemd() is None


def test_systemd_version_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """'systemd 252 (252.30-1)' is version 252."""
    tool = write(tmp_path / "systemctl", "#!/bin/sh\necho 'systemd 252 (252.30-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert probe._systemd() == "252"
