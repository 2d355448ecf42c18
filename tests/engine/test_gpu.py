"""How much of a model goes to a GPU: what fits, never more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine import native, server
from kit.engine.gpu import (
    RESERVED_BYTES,
    RESERVED_SHARE,
    Device,
    ModelSize,
    gpu_backends,
    layers_that_fit,
)
from kit.errors import MachineError

GB = 1 << 30
QWEN_8B = ModelSize(num_layers=36, weight_bytes=5 * GB, cache_bytes=4 * GB)


@pytest.mark.parametrize(
    ("free_gb", "expected"),
    [([], 0), ([24], 37), ([0.5], 0), ([8, 8], 37), ([80, 80], 37)],
)
def test_the_whole_model_goes_where_it_fits(free_gb: list[float], expected: int) -> None:
    """With its output layer if there is room, over several devices, and not at all without any."""
    devices = [Device(f"GPU {n}", int(gb * GB)) for n, gb in enumerate(free_gb)]
    assert layers_that_fit(QWEN_8B, devices) == expected


def test_every_device_takes_whole_layers() -> None:
    """Two rests of half a layer are no room for one."""
    layer_bytes = QWEN_8B.num_bytes // 37 + 1
    free_bytes = int((RESERVED_BYTES + 1.5 * layer_bytes) / (1 - RESERVED_SHARE))
    devices = [Device("GPU 0", free_bytes), Device("GPU 1", free_bytes)]
    assert layers_that_fit(QWEN_8B, devices) == 2


def test_a_part_goes_where_the_whole_does_not_fit() -> None:
    """A small card takes some layers; a setting takes fewer."""
    some = layers_that_fit(QWEN_8B, [Device("GPU 0", 6 * GB)])
    assert 10 < some < 36
    assert layers_that_fit(QWEN_8B, [Device("GPU 0", 6 * GB)], max_layers=5) == 5
    assert layers_that_fit(QWEN_8B, [Device("GPU 0", 80 * GB)], max_layers=0) == 0


@given(
    free=st.lists(st.integers(0, 100 * GB), max_size=4),
    weights=st.integers(1, 100 * GB),
    cache=st.integers(0, 50 * GB),
    num_layers=st.integers(1, 120),
)
def test_what_is_promised_fits(free: list[int], weights: int, cache: int, num_layers: int) -> None:
    """The layers' share of weights and cache is within what is free, reserve kept."""
    size = ModelSize(num_layers, weights, cache)
    layers = layers_that_fit(size, [Device("GPU", size_bytes) for size_bytes in free])
    assert 0 <= layers <= num_layers + 1
    used = layers * (weights + cache) / (num_layers + 1)
    assert used <= sum(max(0, size_bytes - RESERVED_BYTES) for size_bytes in free) or layers == 0


def test_memory_is_asked_for_what_stays_off_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is wholly on the GPU needs none of its size here; half of it half."""
    monkeypatch.setattr(native, "available_memory", lambda: GB)
    native.require_memory("m.gguf", QWEN_8B, num_gpu_layers=37)
    with pytest.raises(MachineError, match=r"(49|50)% of both on the GPU"):
        native.require_memory("m.gguf", QWEN_8B, num_gpu_layers=18)


def test_a_build_without_gpus_has_none() -> None:
    """No device is asked where llama.cpp cannot use one."""

    class Library:
        @staticmethod
        def llama_supports_gpu_offload() -> bool:
            return False

    library: Any = Library()
    assert native.gpu_devices(library) == []


def test_code_for_gpus_is_found_beside_that_for_cpus(tmp_path: Path) -> None:
    """Variants for CPUs, and what is no device's code, are not taken for it."""
    names = ("cpu-zen4", "base", "rpc", "blas", "vulkan", "cuda")
    for name in names:
        (tmp_path / f"libggml-{name}.so").touch()
    assert [path.stem for path in gpu_backends(tmp_path)] == ["libggml-cuda", "libggml-vulkan"]


def test_only_gpus_count_and_have_their_makers_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a CPU, a card, the CPU's own graphics and an accelerator, the card is a device."""
    planted = [(0, b"Some CPU", 64), (1, b"Card", 24), (2, b"Graphics", 64), (3, b"AMX", 0)]

    class Function:
        def __init__(self, value: Any) -> None:
            self.value = value

        def __call__(self, *given: Any) -> Any:
            return self.value(*given)

    def memory(handle: Any, free: Any, _total: Any) -> None:
        free._obj.value = planted[handle.value - 1][2] * GB

    class Ggml:
        ggml_backend_dev_count = Function(lambda: len(planted))
        ggml_backend_dev_get = Function(lambda index: index.value + 1)
        ggml_backend_dev_type = Function(lambda handle: planted[handle.value - 1][0])
        ggml_backend_dev_description = Function(lambda handle: planted[handle.value - 1][1])
        ggml_backend_dev_memory = Function(memory)

    class Library:
        __file__ = "/opt/llama_cpp/llama_cpp.py"
        llama_supports_gpu_offload = staticmethod(lambda: True)

    monkeypatch.setattr(native.ctypes, "CDLL", lambda _path: Ggml)
    assert native.gpu_devices(Library) == [Device("Card", 24 * GB)]


def test_the_log_says_what_is_where() -> None:
    """The line of a started engine names layers and cards, and is silent where there are none."""
    facts = {"layers": 31, "gpu_layers": 20, "gpus": ["Card A", "Card B"]}
    assert server.gpu_share(facts) == ", 20 of 31 layers on Card A and Card B"
    assert server.gpu_share({**facts, "gpus": []}) == ""
    assert server.gpu_share({}) == ""
