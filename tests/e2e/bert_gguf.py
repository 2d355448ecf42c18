"""The starter embedding model as a GGUF file, so that embeddings are tested for real."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

_ALIGNMENT = 32
_NAMES = {  # of each layer, as Hugging Face and as GGUF name them
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_SPECIAL = {"padding": 0, "unknown": 100, "cls": 101, "bos": 101, "seperator": 102, "mask": 103}


def write_bert_gguf(folder: Path, path: Path, *, pooling_type: int = 1) -> None:
    """Write the BERT model in `folder` (safetensors, vocab.txt) to `path`; weights as F32."""
    tensors = _tensors(folder / "model.safetensors")
    headers, data = [], bytearray()
    for name, array in tensors.items():
        shape = array.shape[::-1]
        layout = f"<I{len(shape)}QIQ"
        headers.append(_string(name) + struct.pack(layout, len(shape), *shape, 0, len(data)))
        data += array.tobytes()
        data += bytes(-len(data) % _ALIGNMENT)
    metadata = _metadata(folder, pooling_type)
    counts = struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head = b"GGUF" + counts + b"".join(metadata) + b"".join(headers)
    path.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + bytes(data))


def _tensors(path: Path) -> dict[str, np.ndarray]:
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name == "__metadata__" or (named := _gguf_name(name)) is None:
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        found[named] = np.frombuffer(raw[start:end], "<f4").reshape(entry["shape"])
    return found


def _gguf_name(name: str) -> str | None:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    if not name.startswith("encoder.layer."):
        return None
    layer, rest = name.removeprefix("encoder.layer.").split(".", 1)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _metadata(folder: Path, pooling_type: int) -> list[bytes]:
    config = json.loads((folder / "config.json").read_text())
    words = (folder / "vocab.txt").read_text().splitlines()
    numbers = {
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.pooling_type": pooling_type,
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        **{f"tokenizer.ggml.{name}_token_id": at for name, at in _SPECIAL.items()},
    }
    kinds = [3 if at in _SPECIAL.values() else 1 for at in range(len(words))]
    return [
        _key("general.architecture", 8) + _string("bert"),
        _key("general.file_type", 4) + struct.pack("<I", 0),
        _key("tokenizer.ggml.model", 8) + _string("bert"),
        _key("tokenizer.ggml.pre", 8) + _string("jina-v2-en"),
        _key("bert.attention.causal", 7) + b"\0",
        _key("bert.attention.layer_norm_epsilon", 6) + struct.pack("<f", 1e-12),
        *(_key(name, 4) + struct.pack("<I", value) for name, value in numbers.items()),
        _array("tokenizer.ggml.tokens", 8, [_string(_word(word)) for word in words]),
        _array("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in kinds]),
    ]


def _word(word: str) -> str:
    """A word begins with a space, a piece within a word does not; as the converter writes them."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _array(key: str, kind: int, items: list[bytes]) -> bytes:
    return _key(key, 9) + struct.pack("<IQ", kind, len(items)) + b"".join(items)


def _key(key: str, kind: int) -> bytes:
    return _string(key) + struct.pack("<I", kind)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
