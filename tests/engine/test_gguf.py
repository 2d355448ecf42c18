"""GGUF files: whole ones are read, every kind of damage is named."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.engine.cpu.tiny_model import LAYER_TYPES, write_tiny_model
from kit.engine.gguf import read_gguf, split_paths
from kit.errors import ModelError


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def container(
    entries: list[bytes] = (), tensors: list[bytes] = (), data: bytes = b"", version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


ARCHITECTURE = entry("general.architecture", 8, string("llama"))
GOOD = container([ARCHITECTURE], [tensor("w", (32, 2), 2, 0)], bytes(36))
NEGATIVE, NAN = struct.pack("<f", -1.0), struct.pack("<f", float("nan"))
MANY_TOKENS = struct.pack("<IQ", 8, 101) + b"".join(string(f"t{n}") for n in range(100))
INVALID = {
    "empty": (b"", "the file is empty"),
    "another format": (b"PK\x03\x04" + bytes(100), "not a GGUF model file"),
    "version 1": (container(version=1), "version 2 or 3 expected, 1 observed"),
    "big endian": (b"GGUF" + struct.pack(">I", 3) + bytes(16), "version 2 or 3 expected"),
    "only magic": (b"GGUF", "cut short"),
    "header cut": (GOOD[:40], "cut short"),
    "data cut": (GOOD[:-1], f"cut short: {len(GOOD)} bytes expected, {len(GOOD) - 1} observed"),
    "many tensors": (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "at most 65536 tensors"),
    "much metadata": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "at most 65536 metadata"),
    "endless key": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62),
        "at most 65535 bytes in a metadata key",
    ),
    "endless string": (
        container([string("k") + struct.pack("<IQ", 8, 1 << 40)]),
        "bytes in k expected",
    ),
    "endless array": (
        container([string("k") + struct.pack("<IIQ", 9, 4, 1 << 40)]),
        "items in k expected",
    ),
    "long array cut": (
        container([string("k") + struct.pack("<IIQ", 9, 4, 1 << 20)]),
        "cut short",
    ),
    "array of arrays": (container([entry("k", 9, struct.pack("<IQ", 9, 1))]), "value type 9"),
    "unknown value type": (container([entry("k", 77, b"")]), "value type 77"),
    "key twice": (container([ARCHITECTURE, ARCHITECTURE]), "occurs twice"),
    "alignment 0": (
        container([entry("general.alignment", 4, struct.pack("<I", 0))]),
        "power of two expected, 0",
    ),
    "alignment 24": (
        container([entry("general.alignment", 4, struct.pack("<I", 24))]),
        "power of two expected, 24",
    ),
    "alignment text": (
        container([entry("general.alignment", 8, string("32"))]),
        "power of two expected",
    ),
    "alignment 16": (
        container([entry("general.alignment", 4, struct.pack("<I", 16))]),
        "32 or more that is a power of two expected, 16",
    ),
    "no layers": (
        container([ARCHITECTURE, entry("llama.block_count", 4, struct.pack("<I", 0))]),
        "1 to 512 layers expected, 0 observed",
    ),
    "endless layers": (
        container([ARCHITECTURE, entry("llama.block_count", 4, struct.pack("<I", 513))]),
        "1 to 512 layers expected, 513 observed",
    ),
    "endless experts": (
        container([ARCHITECTURE, entry("llama.expert_count", 4, struct.pack("<I", 1 << 31))]),
        "at most 1024 experts expected",
    ),
    "negative epsilon": (
        container([ARCHITECTURE, entry("llama.attention.layer_norm_rms_epsilon", 6, NEGATIVE)]),
        "a small positive number expected, -1.0 observed",
    ),
    "epsilon that is no number": (
        container([ARCHITECTURE, entry("llama.attention.layer_norm_epsilon", 6, NAN)]),
        "a small positive number expected, nan observed",
    ),
    "weights of whole numbers": (
        container([], [tensor("blk.0.attn_q.weight", (32, 1), 26, 0)], bytes(128)),
        "blk.0.attn_q.weight is of the type I32",
    ),
    "a token twice": (
        container([entry("tokenizer.ggml.tokens", 9, MANY_TOKENS + string("t7"))]),
        "the token b't7' occurs twice",
    ),
    "word pieces with bytes": (
        container(
            [
                entry("tokenizer.ggml.model", 8, string("bert")),
                entry(
                    "tokenizer.ggml.token_type", 9, struct.pack("<IQ100i", 5, 100, *[6], *[1] * 99)
                ),
            ]
        ),
        "a vocabulary of word pieces has tokens for bytes",
    ),
    "no dimensions": (container([], [tensor("w", (), 0, 0)]), "1 to 4 dimensions expected, 0"),
    "five dimensions": (
        container([], [tensor("w", (1, 1, 1, 1, 1), 0, 0)], bytes(4)),
        "1 to 4 dimensions",
    ),
    "zero rows": (container([], [tensor("w", (32, 0), 2, 0)]), "impossible shape"),
    "overflowing shape": (
        container([], [tensor("w", (1 << 62, 1 << 62), 0, 0)]),
        "impossible shape",
    ),
    "odd rows": (container([], [tensor("w", (33, 1), 2, 0)], bytes(64)), "rows of 32·n weights"),
    "unknown type": (container([], [tensor("w", (32, 1), 99, 0)], bytes(64)), "tensor type 99"),
    "odd offset": (container([], [tensor("w", (32, 1), 2, 7)], bytes(64)), "aligned to 32"),
    "far offset": (container([], [tensor("w", (32, 1), 2, 1 << 40)], bytes(64)), "cut short"),
    "tensor twice": (
        container([], [tensor("w", (32, 1), 2, 0)] * 2, bytes(64)),
        "the tensor 'w' occurs twice",
    ),
    "long tensor name": (
        container([], [tensor("w" * 64, (32, 1), 2, 0)], bytes(64)),
        "at most 63 bytes",
    ),
}


@pytest.mark.parametrize("kind", INVALID)
def test_each_kind_of_damage_is_named(kind: str, tmp_path: Path) -> None:
    """A damaged file is refused with what was expected and observed, and a next step."""
    data, said = INVALID[kind]
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError) as refused:
        read_gguf(path)
    assert said in refused.value.message
    assert refused.value.hint


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Metadata of every kind and each tensor's place come out as they were written."""
    many = b"".join(string(f"t{n}") for n in range(100))
    data = container(
        [
            ARCHITECTURE,
            entry("llama.context_length", 4, struct.pack("<I", 4096)),
            entry("general.file_type", 4, struct.pack("<I", 2)),
            entry("f", 6, struct.pack("<f", 0.5)),
            entry("b", 7, b"\1"),
            entry("llama.attention.head_count_kv", 9, struct.pack("<IQ4I", 4, 4, 2, 8, 0, 2)),
            entry("llama.attention.head_count", 9, struct.pack("<IQ70I", 4, 70, *range(70))),
            entry("few", 9, struct.pack("<IQ", 5, 2) + struct.pack("<ii", -1, 2)),
            entry("many", 9, struct.pack("<IQ", 8, 100) + many),
        ],
        [tensor("a", (32, 2), 2, 0), tensor("b", (256,), 12, 64)],
        bytes(64 + 144),
    )
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    gguf = read_gguf(path)
    assert (gguf.architecture, gguf.number("context_length"), gguf.type_name) == (
        *("llama", 4096),
        "Q4_0",
    )
    assert (gguf.metadata["f"], gguf.metadata["b"], gguf.metadata["few"]) == (0.5, True, (-1, 2))
    assert (gguf.array_sizes["few"], gguf.array_sizes["many"]) == (2, 100)
    assert "many" not in gguf.metadata
    numbers = [gguf.number(f"attention.{key}", 5) for key in ("head_count_kv", "head_count", "x")]
    assert numbers == [8, 0, 5]  # the largest of a short array, nothing of a long one, the default
    assert [(t.shape, t.type_name, t.size_bytes) for t in gguf.tensors] == [
        ((32, 2), "Q4_0", 36),
        ((256,), "Q4_K", 144),
    ]
    assert gguf.tensors[1].offset == len(data) - 144
    assert gguf.num_params == 64 + 256


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_model(path)
    return path


def test_the_probe_model_is_a_valid_file(tiny: Path) -> None:
    """The model that tries CPU variants passes the same check, with a layer of each weight type."""
    gguf = read_gguf(tiny)
    found = {t.name: t.type_name for t in gguf.tensors}
    layers = range(len(LAYER_TYPES))
    assert [found[f"blk.{n}.ffn_up.weight"] for n in layers] == list(LAYER_TYPES)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_cut_is_found(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A file cut short anywhere is refused; no cut goes unseen and none raises anything else."""
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 32))])
    with pytest.raises(ModelError):
        read_gguf(path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    damage=st.lists(st.tuples(st.integers(0, len(GOOD) - 37), st.binary(min_size=1, max_size=9)))
)
def test_any_damage_is_refused_or_harmless(tmp_path: Path, damage: list[tuple[int, bytes]]) -> None:
    """Overwritten bytes lead to ModelError or to tensors inside the file, never to a crash."""
    data = bytearray(GOOD)
    for at, new in damage:
        data[at : at + len(new)] = new
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    try:
        gguf = read_gguf(path)
    except ModelError:
        return
    assert all(t.offset + t.size_bytes <= len(data) for t in gguf.tensors)


def test_odd_but_sound_files_are_read(tmp_path: Path) -> None:
    """Many empty tokens, bytes in a vocabulary that has them, and tables of numbers do no harm."""
    tokens = struct.pack("<IQ", 8, 100) + string("") * 50
    tokens += b"".join(string(f"t{n}") for n in range(50))
    data = container(
        [
            ARCHITECTURE,
            entry("llama.block_count", 4, struct.pack("<I", 512)),
            entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 0.0)),
            entry("tokenizer.ggml.model", 8, string("llama")),
            entry("tokenizer.ggml.tokens", 9, tokens),
            entry("tokenizer.ggml.token_type", 9, struct.pack("<IQ100i", 5, 100, *[6] * 100)),
        ],
        [tensor("blk.0.ffn_gate_tid2eid.weight", (32, 1), 26, 0)],
        bytes(128),
    )
    path = tmp_path / "odd.gguf"
    path.write_bytes(data)
    assert read_gguf(path).number("block_count") == 512


def test_a_missing_file_is_a_plain_error(tmp_path: Path) -> None:
    """A wrong path is named, without a traceback's words."""
    with pytest.raises(ModelError, match="No such file"):
        read_gguf(tmp_path / "none.gguf")


def test_parts_of_a_split_model_are_found() -> None:
    """A model in three files is three paths, whichever of them is named."""
    parts = split_paths(Path("/m/big-00002-of-00003.gguf"))
    assert [path.name for path in parts] == [f"big-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert split_paths(Path("/m/small.gguf")) == [Path("/m/small.gguf")]
