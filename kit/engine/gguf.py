"""GGUF files read and checked in plain Python, before native code touches them.

Knows the container, not the models inside it. Keeps one invariant: what `read_gguf` returns lies
wholly inside the file: a damaged or hostile one is refused here with words, not by a crash there.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kit.engine.gguf_rules import BYTE_TOKEN, MIN_ALIGNMENT, TOKEN_TYPES, TOKENS, faults
from kit.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_METADATA = 65_536
MAX_TENSORS = 65_536
MAX_ARRAY_ITEMS = 1 << 24
MAX_STRING_BYTES = 1 << 24  # the longest real strings are chat templates and token tables
MAX_KEY_BYTES = 65_535
MAX_TENSOR_NAME_BYTES = 63  # GGML_MAX_NAME less the final NUL
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 20
KEPT_ARRAY_ITEMS = 64  # longer arrays are walked but not kept

# fmt: off
# Tensor types by number: name, weights per block, bytes per block (ggml-common.h of the wheel).
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}
# Whole-file types by number, as quantizing writes them (llama.h, enum llama_ftype).
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}
# Scalar metadata values by number, as struct layouts.
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q",
    12: "<d",
}
# fmt: on
_STRING, _ARRAY, _BOOL = 8, 9, 7
Value = int | float | bool | str | tuple["Value", ...]


@dataclass(frozen=True)
class GgufTensor:
    """One tensor. `shape` is in ggml order, row length first; `offset` is from the file's start."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class GgufFile:
    """A checked file. Arrays of more than 64 items are only in `array_sizes`, not in `metadata`."""

    path: Path
    version: int
    size_bytes: int
    metadata: Mapping[str, Value]
    array_sizes: Mapping[str, int]
    tensors: tuple[GgufTensor, ...]

    def text(self, key: str, default: str = "") -> str:
        value = self.metadata.get(key, default)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: int = 0) -> int:
        """An integer of the architecture, for instance ``number("context_length")``.

        Where the layers differ it is the largest; 0 for an array too long to be kept.
        """
        name = f"{self.architecture}.{key}"
        value = self.metadata.get(name, 0 if name in self.array_sizes else default)
        if isinstance(value, tuple):
            value = max((item for item in value if isinstance(item, int)), default=default)
        return value if isinstance(value, int) else default

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    @property
    def chat_template(self) -> str:
        """The Jinja template as the model's makers wrote it; empty if there is none."""
        return self.text("tokenizer.chat_template")

    @property
    def type_name(self) -> str:
        """The quantization type of the whole: Q4_0, Q4_K_M … or "unknown"."""
        number = self.metadata.get("general.file_type")
        return FILE_TYPES.get(number, "unknown") if isinstance(number, int) else "unknown"

    @property
    def num_params(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def read_gguf(path: Path) -> GgufFile:
    """Read and check a GGUF file; tensor data itself is not read.

    Raises: ModelError saying what is wrong, what was expected and what was observed.
    """
    try:
        with path.open("rb") as stream:
            return _Reader(path, stream, path.stat().st_size).read()
    except OSError as problem:
        raise ModelError(
            f"cannot read the model file {path}: {problem.strerror}",
            hint="check the path and that this user may read it",
        ) from problem


def split_paths(path: Path) -> list[Path]:
    """All files of a model split as `name-00001-of-00003.gguf`; just `path` for a whole one."""
    match = re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\.gguf", path.name)
    if not match:
        return [path]
    total = int(match[3])
    return [path.with_name(f"{match[1]}-{n:05}-of-{total:05}.gguf") for n in range(1, total + 1)]


class _Reader:
    """Walks the header once; checks every count and length before allocating anything for it."""

    def __init__(self, path: Path, stream: IO[bytes], size_bytes: int) -> None:
        self.path, self.stream, self.size_bytes = path, stream, size_bytes
        self.array_sizes: dict[str, int] = {}
        self.has_byte_tokens = False

    def read(self) -> GgufFile:
        magic = self.stream.read(4)
        if magic != MAGIC:
            what = "the file is empty" if not magic else f"it begins with {magic!r}, not {MAGIC!r}"
            raise self.damaged(f"not a GGUF model file: {what}")
        version = int(self.scalar("<I"))
        if version not in VERSIONS:
            raise self.damaged(f"GGUF version 2 or 3 expected, {version} observed")
        num_tensors = self.count("tensors", MAX_TENSORS)
        num_metadata = self.count("metadata entries", MAX_METADATA)
        metadata = self.metadata(num_metadata)
        tensors = self.tensors(num_tensors, self.alignment(metadata))
        for fault in faults(metadata, tensors, has_byte_tokens=self.has_byte_tokens):
            raise self.damaged(fault)
        return GgufFile(
            self.path, version, self.size_bytes, metadata, self.array_sizes, tuple(tensors)
        )

    def damaged(self, what: str) -> ModelError:
        return ModelError(
            f"{self.path.name} is damaged or not a model: {what}",
            hint="copy or fetch the model file again and compare its sha256 with the model card",
        )

    def bytes(self, num_bytes: int) -> bytes:
        data = self.stream.read(num_bytes)
        if len(data) != num_bytes:
            wanted = self.stream.tell() - len(data) + num_bytes
            observed = f"{self.size_bytes} observed"
            raise self.damaged(
                f"the file is cut short: {wanted} or more bytes expected, {observed}"
            )
        return data

    def scalar(self, layout: str) -> int | float:
        number: int | float = struct.unpack(layout, self.bytes(struct.calcsize(layout)))[0]
        return number

    def count(self, what: str, limit: int) -> int:
        number = int(self.scalar("<Q"))
        if number > limit:
            raise self.damaged(f"at most {limit} {what} expected, {number} observed")
        return number

    def string(self, what: str, limit: int = MAX_STRING_BYTES) -> str:
        raw = self.bytes(self.count(f"bytes in {what}", limit))
        return raw.decode("utf-8", errors="replace")

    def metadata(self, num_entries: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for _ in range(num_entries):
            key = self.string("a metadata key", MAX_KEY_BYTES)
            if key in found or key in self.array_sizes:
                raise self.damaged(f"the metadata key {key!r} occurs twice")
            value = self.value(key, int(self.scalar("<I")))
            if value is not None:
                found[key] = value
        return found

    def value(self, key: str, kind: int) -> Value | None:
        """The value, or None for an array too long to keep."""
        if kind == _ARRAY:
            return self.array(key)
        return self.reader_of(kind, key)()

    def array(self, key: str) -> Value | None:
        kind = int(self.scalar("<I"))
        read_item = self.reader_of(kind, key)
        length = self.count(f"items in {key}", MAX_ARRAY_ITEMS)
        self.array_sizes[key] = length
        if length <= KEPT_ARRAY_ITEMS:
            return tuple(read_item() for _ in range(length))
        if kind == _STRING:
            self.strings(key, length)
        else:
            raw = self.bytes(length * struct.calcsize(_SCALARS[kind]))
            if key == TOKEN_TYPES and _SCALARS[kind] in ("<i", "<I"):
                found = {raw[at : at + 4] for at in range(0, len(raw), 4)}
                self.has_byte_tokens = struct.pack("<i", BYTE_TOKEN) in found
        return None

    def strings(self, key: str, length: int) -> None:
        """A long array of texts is walked. No token of a vocabulary may occur twice, as llama.cpp
        keeps them by their text; of empty ones there may be many."""
        what, seen, num_texts = f"bytes in {key}", set(), 0
        for _ in range(length):
            text = self.bytes(self.count(what, MAX_STRING_BYTES))
            if key == TOKENS and text:
                seen.add(text)
                num_texts += 1
                if len(seen) < num_texts:
                    raise self.damaged(f"the token {text!r} occurs twice")

    def reader_of(self, kind: int, key: str) -> Callable[[], Value]:
        if kind == _STRING:
            return lambda: self.string(key)
        if kind == _BOOL:
            return lambda: bool(self.scalar("<B"))
        if kind not in _SCALARS:  # arrays of arrays do not occur in models
            raise self.damaged(f"{key} has the unknown value type {kind}")
        return lambda: self.scalar(_SCALARS[kind])

    def alignment(self, metadata: Mapping[str, Value]) -> int:
        alignment = metadata.get("general.alignment", 32)
        valid = isinstance(alignment, int) and MIN_ALIGNMENT <= alignment <= MAX_ALIGNMENT
        if not valid or not isinstance(alignment, int) or alignment & (alignment - 1):
            raise self.damaged(
                f"an alignment of {MIN_ALIGNMENT} or more that is a power of two expected, "
                f"{alignment} observed"
            )
        return alignment

    def tensors(self, num_tensors: int, alignment: int) -> list[GgufTensor]:
        relative = [self.tensor_header(alignment) for _ in range(num_tensors)]
        names = [tensor.name for tensor in relative]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise self.damaged(f"the tensor {twice!r} occurs twice")
        data_start = -(-self.stream.tell() // alignment) * alignment
        end = max((data_start + t.offset + t.size_bytes for t in relative), default=0)
        if end > self.size_bytes:
            raise self.damaged(
                f"the file is cut short: {end} bytes expected, {self.size_bytes} observed"
            )
        return [
            GgufTensor(t.name, t.shape, t.type_name, data_start + t.offset, t.size_bytes)
            for t in relative
        ]

    def tensor_header(self, alignment: int) -> GgufTensor:
        name = self.string("a tensor name", MAX_TENSOR_NAME_BYTES)
        num_dimensions = int(self.scalar("<I"))
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            raise self.damaged(f"{name}: 1 to 4 dimensions expected, {num_dimensions} observed")
        shape = tuple(int(self.scalar("<Q")) for _ in range(num_dimensions))
        kind, offset = int(self.scalar("<I")), int(self.scalar("<Q"))
        if kind not in TENSOR_TYPES:
            raise self.damaged(f"{name} has the unknown tensor type {kind}")
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        if 0 in shape or math.prod(shape) >= 1 << 63:
            raise self.damaged(f"{name} has the impossible shape {shape}")
        if shape[0] % block:
            raise self.damaged(
                f"{name}: rows of {block}·n weights expected for {type_name}, {shape[0]} observed"
            )
        if offset % alignment:
            raise self.damaged(
                f"{name}: an offset aligned to {alignment} expected, {offset} observed"
            )
        return GgufTensor(name, shape, type_name, offset, math.prod(shape) // block * block_bytes)
