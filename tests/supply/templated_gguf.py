"""A model that loads, with a chat template of choice in its header."""

from __future__ import annotations

import struct
from pathlib import Path

from kit.engine.cpu.tiny_model import write_tiny_model

HOSTILE = "{{ messages[0]['content'] }}\n{{ ''.__class__.__mro__ }}\n{{ cycler.__init__ }}"


def write_model(path: Path, template: str) -> Path:
    """The tiny model with that template."""
    write_tiny_model(path)
    data = path.read_bytes()
    key, value = b"tokenizer.chat_template", template.encode()
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    entry += pad(entry)
    num_tensors, num_metadata = struct.unpack_from("<QQ", data, 8)
    head = data[:8] + struct.pack("<QQ", num_tensors, num_metadata + 2)
    path.write_bytes(head + entry + data[24:])
    return path


def pad(entry: bytes) -> bytes:
    """A second entry, so that both together leave the alignment of what follows as it was."""
    key = b"kit.pad"
    empty = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, 0)
    space = -(len(entry) + len(empty)) % 32
    return struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, space) + b" " * space
