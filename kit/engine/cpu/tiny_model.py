"""A language model of a few megabytes, written in plain Python, that exercises a CPU's kernels.

Knows the layout of a few weight formats, means nothing. Its products run through the same repacked
or tiled kernels as a real model's, which is where a CPU build that does not fit its machine dies.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

N_EMBD, N_FF, N_HEAD, N_VOCAB, N_CTX = 256, 256, 4, 256, 128
LAYER_TYPES = ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16")
_TYPE_NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14}
_ALIGNMENT = 32
_Tensor = tuple[str, tuple[int, ...], str, bytes]


def write_tiny_model(path: Path) -> None:
    """Write the model to `path`: llama architecture, one layer per weight type, no vocabulary."""
    rng = random.Random(0)  # noqa: S311 - weights, not secrets
    tensors: list[_Tensor] = [
        _matrix(rng, "token_embd.weight", N_VOCAB, "F16"),
        _matrix(rng, "output.weight", N_VOCAB, "Q8_0"),
        _ones("output_norm.weight"),
    ]
    for layer, type_name in enumerate(LAYER_TYPES):
        tensors += [_ones(f"blk.{layer}.{name}_norm.weight") for name in ("attn", "ffn")]
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors.append(_matrix(rng, f"blk.{layer}.{name}.weight", N_EMBD, type_name))
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            tensors.append(_matrix(rng, f"blk.{layer}.{name}.weight", N_FF, type_name))
    path.write_bytes(_container(tensors))


def _matrix(rng: random.Random, name: str, num_rows: int, type_name: str) -> _Tensor:
    """Weights of shape (num_rows, N_EMBD), stored as ggml wants them: row length first."""
    return name, (N_EMBD, num_rows), type_name, _weights(rng, num_rows * N_EMBD, type_name)


def _ones(name: str) -> _Tensor:
    return name, (N_EMBD,), "F32", struct.pack("<f", 1.0) * N_EMBD


def _weights(rng: random.Random, num_weights: int, type_name: str) -> bytes:
    """Random weights of about ±0.1: random digits under fixed finite scales."""
    half = struct.Struct("<e").pack
    if type_name == "F16":
        table = [half(rng.uniform(-0.1, 0.1)) for _ in range(1024)]
        return b"".join(rng.choices(table, k=num_weights))
    if type_name == "Q4_0":
        blocks = (half(0.012) + rng.randbytes(16) for _ in range(num_weights // 32))
    elif type_name == "Q8_0":
        blocks = (half(0.0008) + rng.randbytes(32) for _ in range(num_weights // 32))
    elif type_name == "Q4_K":
        head = half(0.0004) + half(0.003)
        blocks = (head + rng.randbytes(12 + 128) for _ in range(num_weights // 256))
    else:  # Q6_K: digits, then 16 signed scales, then the block's scale
        scales = bytes(range(1, 17))
        blocks = (
            rng.randbytes(128 + 64) + scales + half(0.0003) for _ in range(num_weights // 256)
        )
    return b"".join(blocks)


def _container(tensors: list[_Tensor]) -> bytes:
    metadata = [
        _text("general.architecture", "llama"),
        _text("tokenizer.ggml.model", "no_vocab"),
        _number("llama.vocab_size", N_VOCAB),
        _number("llama.context_length", N_CTX),
        _number("llama.embedding_length", N_EMBD),
        _number("llama.feed_forward_length", N_FF),
        _number("llama.block_count", len(LAYER_TYPES)),
        _number("llama.attention.head_count", N_HEAD),
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
