"""What this machine offers, as the kernel says it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.engine import native
from kit.engine.cpu import machine
from kit.engine.cpu.machine import cpu_fingerprint, cpu_name, usable_cores
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.engine.gguf import GgufFile, read_gguf
from kit.engine.gpu import size_of
from kit.errors import MachineError


def test_hyper_threads_and_quotas_are_not_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four CPUs that are two cores count as two; a quota of one CPU's time as one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "_siblings", lambda cpu: f"{cpu % 2},{cpu % 2 + 2}")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert usable_cores() == 2
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores() == 2


def test_a_memory_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a control group the free memory is what its limit leaves."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert machine.available_memory() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory() > 10_000_000


def test_the_fingerprint_is_of_the_cpu_not_of_its_clock(tmp_path: Path) -> None:
    """Another speed of the moment is the same CPU; another instruction set is not."""
    cpuinfo = tmp_path / "cpuinfo"
    row = "vendor_id\t: X\nmodel name\t: Fast CPU\ncpu MHz\t\t: {mhz}\nflags\t\t: fpu {flag}\n\n"
    found = []
    for mhz, flag in (("1000", "avx2"), ("3000", "avx2"), ("1000", "amx_tile")):
        cpuinfo.write_text(row.format(mhz=mhz, flag=flag) * 2)
        found.append(cpu_fingerprint(cpuinfo))
    assert found[0] == found[1] != found[2]
    assert cpu_name(cpuinfo) == "Fast CPU"


@pytest.fixture
def tiny(tmp_path: Path) -> GgufFile:
    write_tiny_model(tmp_path / "tiny.gguf")
    return read_gguf(tmp_path / "tiny.gguf")


def test_what_does_not_fit_in_memory_is_refused_with_sizes(
    tiny: GgufFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and context are added up before loading; the error names both and the way out."""
    num_layers, width = 5, 256
    cache_bytes = 2 * num_layers * 2 * width * 1000 * 4  # two bytes, keys and values
    needed = tiny.size_bytes + cache_bytes
    monkeypatch.setattr(native, "available_memory", lambda: needed)
    native.require_memory("tiny.gguf", size_of(tiny, 1000, 4))
    monkeypatch.setattr(native, "available_memory", lambda: needed - 1)
    with pytest.raises(MachineError, match=r"MiB weights, .* context") as refused:
        native.require_memory("tiny.gguf", size_of(tiny, 1000, 4))
    assert "--ctx" in (refused.value.hint or "")
