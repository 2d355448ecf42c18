"""How much of a model goes to a GPU, where llama.cpp was built for one.

Rules over sizes and names; they ask no device. Keeps one invariant: what it promises to a device
fits there with room for llama.cpp's work in progress, or nothing goes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.engine.gguf import GgufFile, split_paths

RESERVED_BYTES = 768 << 20  # of each device: buffers of a step, and what the driver itself takes
RESERVED_SHARE = 0.05
ALL_LAYERS = 999
BACKENDS = ("cuda", "hip", "vulkan", "sycl", "cann", "musa", "opencl")  # ggml's names


@dataclass(frozen=True)
class Device:
    """A GPU as llama.cpp sees it: the maker's name of it, and what is free there."""

    name: str
    free_bytes: int


@dataclass(frozen=True)
class ModelSize:
    """What a model takes, in bytes: its weights, and the keys and values of every sequence."""

    num_layers: int
    weight_bytes: int
    cache_bytes: int

    @property
    def num_bytes(self) -> int:
        return self.weight_bytes + self.cache_bytes


def gpu_backends(folder: Path) -> list[Path]:
    """ggml's code for GPUs, where a build has it as libraries beside those for CPUs."""
    paths = (folder / f"libggml-{name}.so" for name in BACKENDS)
    return [path for path in paths if path.is_file()]


def size_of(gguf: GgufFile, n_ctx: int, parallel: int) -> ModelSize:
    """The size of a model with `parallel` contexts of `n_ctx` tokens, keys and values in F16."""
    heads = gguf.number("attention.head_count_kv", gguf.number("attention.head_count"))
    head_dim = gguf.number("embedding_length") // max(1, gguf.number("attention.head_count", 1))
    widths = [gguf.number(f"attention.{part}_length", head_dim) for part in ("key", "value")]
    num_layers = gguf.number("block_count")
    return ModelSize(
        num_layers,
        weight_bytes=sum(part.stat().st_size for part in split_paths(gguf.path)),
        cache_bytes=2 * num_layers * heads * sum(widths) * n_ctx * parallel,
    )


def layers_that_fit(
    size: ModelSize, devices: Sequence[Device], max_layers: int = ALL_LAYERS
) -> int:
    """Layers to put on the devices; `num_layers` + 1 is the whole model, its output included.

    A layer is taken to be an equal part of weights and cache. Each device takes whole layers, so
    what is left over on one does not add up with another's rest.
    """
    num_parts = size.num_layers + 1
    part_bytes = max(1, -(-size.num_bytes // num_parts))
    fitting = sum(_room(device) // part_bytes for device in devices)
    return max(0, min(max_layers, num_parts, fitting))


def _room(device: Device) -> int:
    return max(0, int(device.free_bytes * (1 - RESERVED_SHARE)) - RESERVED_BYTES)
