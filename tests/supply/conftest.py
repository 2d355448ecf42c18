"""Small models of the right form, and a card for them."""

from __future__ import annotations

import json
import random
import struct

import pytest

from kit.supply.catalog import ModelCard
from kit.supply.transfer import Patience

QUICK = Patience(max_tries=8, first_wait_s=0.001, max_wait_s=0.005, read_timeout_s=0.3)


def make_gguf(num_bytes: int, seed: int = 1) -> bytes:
    """A GGUF file of one F32 tensor of random numbers."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    rows = num_bytes // 4
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("general.file_type") + struct.pack("<II", 4, 15)
    head += text("t") + struct.pack("<IQIQ", 1, rows, 0, 0)
    head += b"\0" * (-len(head) % 32)
    return head + random.Random(seed).randbytes(rows * 4)


def make_safetensors(num_bytes: int, seed: int = 1) -> bytes:
    """A safetensors file of one tensor of random bytes."""
    tensor = {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}
    header = json.dumps({"t": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(num_bytes)


def make_card() -> ModelCard:
    """A chat model of a hub, with nothing unusual about it."""
    return ModelCard(
        name="office",
        kind="chat",
        title="Office",
        source="hf://office/model",
        licence="MIT",
        languages=("en",),
        facts_from="this test",
    )


@pytest.fixture
def hub_card() -> ModelCard:
    return make_card()
