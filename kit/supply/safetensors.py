"""The header of a .safetensors file is sane: what a loader would trust is checked first.

Source: the format's description: 8 bytes of header length (little-endian), a JSON header with
dtype, shape and data_offsets of each tensor, then the data, without holes or overlaps.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from kit.errors import ModelError

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own library
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def check_safetensors(path: Path, name: str) -> int:
    """The number of tensors of a sane file. Raises: ModelError saying what is wrong with it."""
    size_bytes = path.stat().st_size
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            if len(head) < 8:
                raise ValueError(f"{size_bytes} bytes are too few for a header")
            (length,) = struct.unpack("<Q", head)
            if not 2 <= length <= min(MAX_HEADER_BYTES, size_bytes - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size_bytes}")
            header = json.loads(stream.read(length).decode("utf-8"))
        return _check_header(header, size_bytes - 8 - length)
    except (ValueError, TypeError, KeyError, RecursionError) as problem:
        what = str(problem) or type(problem).__name__
        raise ModelError(
            f"{name} is no sane safetensors file: {what}",
            hint="the file was made wrong or to deceive; do not use this source",
        ) from None


def _check_header(header: Any, data_bytes: int) -> int:
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    header.pop("__metadata__", None)
    spans = []
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        shape, dtype = tensor["shape"], tensor["dtype"]
        numbers = [begin, end, *shape]
        if not all(type(n) is int and n >= 0 for n in numbers) or not begin <= end <= data_bytes:
            raise ValueError(f"tensor {name!r} lies at {begin}..{end} of {data_bytes} bytes")
        if dtype in BITS and (math.prod(shape) * BITS[dtype] + 7) // 8 != end - begin:
            raise ValueError(f"tensor {name!r}: {dtype} {shape} does not take {end - begin} bytes")
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError(f"the data has a hole or an overlap at byte {min(begin, position)}")
        position = end
    if position != data_bytes:
        raise ValueError(f"{data_bytes - position} bytes at the end belong to no tensor")
    return len(spans)
