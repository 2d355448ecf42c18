"""A language model of a few megabytes, written in plain Python, that exercises a CPU's kernels.

Knows the layout of a few weight formats, means nothing. Its products run through the same repacked
or tiled kernels as a real model's, which is where a CPU build that does not fit its machine dies.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path

N_VOCAB, N_CTX, HEAD_DIM = 256, 128, 64
LAYER_TYPES = ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16")
TINY_WIDTH, STAND_IN_WIDTH, STAND_IN_LAYERS = 256, 1024, 6
_TYPE_NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14}
_ALIGNMENT = 32
_FFN = ("ffn_gate", "ffn_up", "ffn_down")
_Tensor = tuple[str, tuple[int, ...], str, bytes]


def write_tiny_model(path: Path) -> None:
    """Write the model to `path`: llama architecture, one layer per weight type, no vocabulary."""
    _write(path, TINY_WIDTH, LAYER_TYPES)


def write_stand_in(path: Path) -> None:
    """Write a model of 25 MB whose steps are long enough to time a large model's threads by."""
    _write(path, STAND_IN_WIDTH, ("Q4_0",) * STAND_IN_LAYERS)


def _write(path: Path, width: int, layer_types: Sequence[str]) -> None:
    rng = random.Random(0)  # noqa: S311 - weights, not secrets
    tensors: list[_Tensor] = [
        _matrix(rng, "token_embd.weight", (width, N_VOCAB), "F16"),
        _matrix(rng, "output.weight", (width, N_VOCAB), "Q8_0"),
        _ones("output_norm.weight", width),
    ]
    for layer, type_name in enumerate(layer_types):
        tensors += [_ones(f"blk.{layer}.{name}_norm.weight", width) for name in ("attn", "ffn")]
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", *_FFN):
            name = f"blk.{layer}.{name}.weight"
            tensors.append(_matrix(rng, name, (width, width), type_name))
    path.write_bytes(_container(tensors, width, len(layer_types)))


def _matrix(rng: random.Random, name: str, shape: tuple[int, int], type_name: str) -> _Tensor:
    """Weights stored as ggml wants them: row length first."""
    return name, shape, type_name, _weights(rng, shape[0] * shape[1], type_name)


def _ones(name: str, width: int) -> _Tensor:
    return name, (width,), "F32", struct.pack("<f", 1.0) * width


def _weights(rng: random.Random, num_weights: int, type_name: str) -> bytes:
    """Random weights of about ±0.1: blocks of random digits under fixed finite scales."""
    weights_in_block, table = _blocks(rng, type_name)
    return b"".join(rng.choices(table, k=num_weights // weights_in_block))


def _blocks(rng: random.Random, type_name: str) -> tuple[int, list[bytes]]:
    """(weights in a block, some blocks to choose from)."""
    half = struct.Struct("<e").pack
    if type_name == "F16":
        values = [half(rng.uniform(-0.1, 0.1)) for _ in range(1024)]
        return 32, [b"".join(rng.choices(values, k=32)) for _ in range(256)]
    if type_name == "Q4_0":
        return 32, [half(0.012) + rng.randbytes(16) for _ in range(1024)]
    if type_name == "Q8_0":
        return 32, [half(0.0008) + rng.randbytes(32) for _ in range(1024)]
    if type_name == "Q4_K":
        head = half(0.0004) + half(0.003)
        return 256, [head + rng.randbytes(12 + 128) for _ in range(256)]
    # Q6_K: digits, then 16 signed scales, then the block's scale
    tail = bytes(range(1, 17)) + half(0.0003)
    return 256, [rng.randbytes(128 + 64) + tail for _ in range(256)]


def _container(tensors: list[_Tensor], width: int, num_layers: int) -> bytes:
    metadata = [
        _text("general.architecture", "llama"),
        _text("tokenizer.ggml.model", "no_vocab"),
        _number("llama.vocab_size", N_VOCAB),
        _number("llama.context_length", N_CTX),
        _number("llama.embedding_length", width),
        _number("llama.feed_forward_length", width),
        _number("llama.block_count", num_layers),
        _number("llama.attention.head_count", width // HEAD_DIM),
        _key("llama.attention.layer_norm_rms_epsilon", 6) + struct.pack("<f", 1e-5),
    ]
    headers, data = [], bytearray()
    for name, shape, type_name, weights in tensors:
        layout = f"<I{len(shape)}QIQ"
        numbers = (len(shape), *shape, _TYPE_NUMBERS[type_name], len(data))
        headers.append(_string(name) + struct.pack(layout, *numbers))
        data += weights + bytes(-len(weights) % _ALIGNMENT)
    counts = struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head = b"GGUF" + counts + b"".join(metadata) + b"".join(headers)
    return head + bytes(-len(head) % _ALIGNMENT) + bytes(data)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _key(key: str, kind: int) -> bytes:
    return _string(key) + struct.pack("<I", kind)


def _text(key: str, value: str) -> bytes:
    return _key(key, 8) + _string(value)


def _number(key: str, value: int) -> bytes:
    return _key(key, 4) + struct.pack("<I", value)
