"""A small GGUF model taken apart, changed in one to three places, and put together again.

The base is a whole llama model with a vocabulary; weights are zeros. Mutations keep the container's
grammar most of the time, so that they reach what a reader checks late, or not at all.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from pathlib import Path

WIDTH, NUM_LAYERS, NUM_TOKENS, FFN = 64, 2, 300, 96
ALIGNMENT = 32
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q",
           11: "<q", 12: "<d"}  # fmt: skip
EDGES = (0, 1, 2, 3, 31, 32, 33, 255, 256, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31,
         (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
FLOATS = (0.0, -1.0, 1e-38, 3e38, float("inf"), float("nan"))


@dataclasses.dataclass
class Entry:
    key: str
    kind: int
    value: bytes
    """Without the kind; for arrays with their item kind and length."""


@dataclasses.dataclass
class TensorHead:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclasses.dataclass
class Parts:
    """What a file is written from; `size_bytes` of zeros follow the headers."""

    entries: list[Entry]
    tensors: list[TensorHead]
    size_bytes: int
    version: int = 3
    cut: int = 0

    def header(self) -> bytes:
        head = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors), len(self.entries))
        for entry in self.entries:
            head += _string(entry.key) + struct.pack("<I", entry.kind) + entry.value
        for one in self.tensors:
            shape = [n % (1 << 64) for n in one.shape]
            head += _string(one.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            head += struct.pack("<IQ", one.kind % (1 << 32), one.offset % (1 << 64))
        return head + bytes(-len(head) % ALIGNMENT)


def write(path: Path, header: bytes, size_bytes: int) -> None:
    """The header, then zeros that take no room on the disk."""
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(max(0, len(header) + size_bytes))


def base() -> Parts:
    tensors: list[TensorHead] = []
    size = 0

    def add(name: str, *shape: int) -> None:
        nonlocal size
        tensors.append(TensorHead(name, shape, 0, size))
        count = 4
        for n in shape:
            count *= n
        size += count + -count % ALIGNMENT

    add("token_embd.weight", WIDTH, NUM_TOKENS)
    add("output_norm.weight", WIDTH)
    add("output.weight", WIDTH, NUM_TOKENS)
    for layer in range(NUM_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{norm}.weight", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{layer}.{name}.weight", WIDTH, FFN)
        add(f"blk.{layer}.ffn_down.weight", FFN, WIDTH)
    return Parts(_entries(), tensors, size)


def _entries() -> list[Entry]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "\u2581"]
    tokens += [f"w{n}" for n in range(NUM_TOKENS - len(tokens))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (NUM_TOKENS - 259)]
    numbers = {
        "llama.context_length": 128,
        "llama.embedding_length": WIDTH,
        "llama.block_count": NUM_LAYERS,
        "llama.feed_forward_length": FFN,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 4,
        "llama.rope.dimension_count": WIDTH // 4,
        "general.file_type": 0,
        "general.alignment": ALIGNMENT,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    text = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.chat_template": "{{ messages[0].content }}",
    }
    return [
        *(Entry(key, 8, _string(value)) for key, value in text.items()),
        *(Entry(key, 4, struct.pack("<I", value)) for key, value in numbers.items()),
        Entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        Entry("tokenizer.ggml.add_bos_token", 7, b"\1"),
        _array("tokenizer.ggml.tokens", 8, [_string(token) for token in tokens]),
        _array("tokenizer.ggml.scores", 6, [struct.pack("<f", -n) for n in range(NUM_TOKENS)]),
        _array("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in kinds]),
    ]


def _array(key: str, kind: int, items: list[bytes]) -> Entry:
    return Entry(key, 9, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw


def mutant(seed: int) -> tuple[bytes, int]:
    """(header, bytes of zeros that follow). The same seed gives the same file."""
    rng = random.Random(seed)
    parts = base()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_MUTATIONS)(parts, rng)
    header = bytearray(parts.header())
    if rng.random() < 0.1:  # and a few bytes that no editor would write
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(header))
            header[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(header[: len(header) - parts.cut]), parts.size_bytes


def _number(parts: Parts, rng: random.Random) -> None:
    entry = rng.choice([e for e in parts.entries if e.kind in SCALARS])
    entry.value = _edge(entry.kind, rng)


def _edge(kind: int, rng: random.Random) -> bytes:
    layout = SCALARS[kind]
    if layout in ("<f", "<d"):
        return struct.pack(layout, rng.choice(FLOATS) if layout == "<f" else rng.random())
    size = struct.calcsize(layout)
    return (rng.choice((*EDGES, rng.randrange(1 << 16))) % (1 << (8 * size))).to_bytes(
        size, "little"
    )


def _kind(parts: Parts, rng: random.Random) -> None:
    """The same key with a value of another kind, well formed."""
    entry = rng.choice(parts.entries)
    entry.kind = rng.choice((*SCALARS, 8, 9))
    if entry.kind == 8:
        entry.value = _string(rng.choice(("", "llama", "gpt2", "x" * 1000, "\ud800")))
    elif entry.kind == 9:
        kind, length = rng.choice((*SCALARS,)), rng.choice((0, 1, 2, 3, 4, 64, 300))
        entry.value = _array("", kind, [_edge(kind, rng) for _ in range(length)]).value
    else:
        entry.value = _edge(entry.kind, rng)


def _text(parts: Parts, rng: random.Random) -> None:
    entry = rng.choice([e for e in parts.entries if e.kind == 8])
    words = (
        "",
        "bert",
        "qwen2",
        "mamba",
        "t5",
        "clip",
        "gpt2",
        "no_vocab",
        "rwkv6",
        "a\0b",
        "ü" * 99,
    )
    entry.value = _string(rng.choice(words))


def _array_items(parts: Parts, rng: random.Random) -> None:
    """An array longer, shorter, of other items, or with one odd item."""
    at = rng.choice([n for n, e in enumerate(parts.entries) if e.kind == 9])
    entry = parts.entries[at]
    kind, length = struct.unpack_from("<IQ", entry.value)
    if kind == 8:
        words = ["", "<s>", "a", "\u2581", "\xff" * 40, "<0x41>"]
        items = [_string(rng.choice(words)) for _ in range(rng.choice((0, 1, 299, 300, 301)))]
        parts.entries[at] = _array(entry.key, 8, items)
        return
    size = struct.calcsize(SCALARS[kind]) if kind in SCALARS else 4
    body = bytearray(entry.value[12:])
    how = rng.randrange(3)
    if how == 0 and kind in SCALARS and length:
        place = rng.randrange(length) * size
        body[place : place + size] = _edge(kind, rng)
    elif how == 1:
        length = max(0, length - rng.choice((1, 2, 299, 300)))
        body = body[: length * size]
    else:
        length += 1
        body += bytes(size)
    entry.value = struct.pack("<IQ", kind, length) + bytes(body)


def _drop_entry(parts: Parts, rng: random.Random) -> None:
    parts.entries.remove(rng.choice(parts.entries))


def _drop_tensor(parts: Parts, rng: random.Random) -> None:
    parts.tensors.remove(rng.choice(parts.tensors))


def _twice(parts: Parts, rng: random.Random) -> None:
    one = rng.choice(parts.tensors)
    parts.tensors.append(dataclasses.replace(one, name=rng.choice((one.name, f"{one.name}.x"))))


def _rename(parts: Parts, rng: random.Random) -> None:
    one = rng.choice(parts.tensors)
    one.name = rng.choice(("", "x", "blk.9.attn_q.weight", "blk.0.attn_q.bias", "n" * 63, "n" * 64,
                           "rope_freqs.weight", "blk.0.attn_q_norm.weight"))  # fmt: skip


def _shape(parts: Parts, rng: random.Random) -> None:
    one = rng.choice(parts.tensors)
    shape = list(one.shape)
    how = rng.randrange(4)
    if how == 0:
        shape[rng.randrange(len(shape))] = rng.choice(EDGES)
    elif how == 1:
        shape = shape[::-1]
    elif how == 2:
        shape.append(rng.choice((0, 1, 2)))
    else:
        at = rng.randrange(len(shape))
        shape[at] = max(0, shape[at] + rng.choice((-32, -1, 1, 32)))
    one.shape = tuple(shape)


def _tensor_kind(parts: Parts, rng: random.Random) -> None:
    rng.choice(parts.tensors).kind = rng.choice((*range(43), 1000, (1 << 32) - 1))


def _offset(parts: Parts, rng: random.Random) -> None:
    one = rng.choice(parts.tensors)
    one.offset = rng.choice((*EDGES, one.offset + 32, max(0, one.offset - 32)))


def _size(parts: Parts, rng: random.Random) -> None:
    parts.size_bytes += rng.choice((-parts.size_bytes, -32, -1, 1, 4096))


def _cut(parts: Parts, rng: random.Random) -> None:
    parts.cut = rng.randrange(1, 2000)
    parts.size_bytes = 0


def _version(parts: Parts, rng: random.Random) -> None:
    parts.version = rng.choice((0, 1, 2, 4, 0x03000000))


_MUTATIONS = (
    *(_number, _number, _number, _kind, _kind, _text, _array_items, _array_items),
    *(_drop_entry, _drop_tensor, _twice, _rename, _shape, _shape, _tensor_kind, _tensor_kind),
    *(_offset, _size, _cut, _version),
)
