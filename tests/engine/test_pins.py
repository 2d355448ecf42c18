"""Pins: a document's prefix on disk is used again, never when it is not what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.engine.pins import PinStore, model_digest
from kit.engine.prefix import Saved
from kit.engine.sequence import Sequence, Sharing

TOKENS = list(range(1, 101))


class Cache:
    """Gives a fixed state for any slot."""

    can_trim = True

    def __init__(self, num_bytes: int = 1000) -> None:
        self.state = np.arange(num_bytes, dtype=np.uint64).astype(np.uint8)

    def save(self, slot: int, max_bytes: int) -> Any:
        return self.state if self.state.nbytes <= max_bytes else None

    def keep(self, slot: int, num_tokens: int) -> int:
        return num_tokens

    def load(self, slot: int, state: Any) -> bool:
        return True


def sequence(*, num_computed: int = 80, namespace: str | None = "all") -> Sequence:
    """One whose first 80 of 100 tokens are shared and to be pinned."""
    sharing = Sharing("ana", namespace, 80)
    asked = Sequence(list(TOKENS), 5, lambda _event: None, sharing=sharing, is_pinned=True)
    asked.slot, asked.num_computed = 0, num_computed
    return asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


def pin(folder: Path, model: str = "m", **options: Any) -> Saved:
    store = PinStore(folder, model, **options)
    saved = store.keep(sequence(), Cache())
    store.close()
    assert saved is not None
    return saved


def test_a_pin_outlives_its_process(folder: Path) -> None:
    """Another process finds the shared tokens, who may use them, and the same bytes."""
    pin(folder)
    (found,) = PinStore(folder, "m").saved()
    assert found.tokens == TOKENS[:80]
    assert found.sharing == Sharing(None, "all", 80)
    state: Any = found.read()
    assert bytes(state) == bytes(Cache().state)


@pytest.mark.parametrize("where", ["state", "cut", "header", "empty"])
def test_a_damaged_pin_is_never_used(
    folder: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One changed byte, a cut file or another header: it counts as absent."""
    pin(folder)
    (path,) = folder.iterdir()
    raw = bytearray(path.read_bytes())
    if where == "state":
        raw[-5] ^= 1
    elif where == "cut":
        del raw[-1:]
    elif where == "header":
        raw[0:1] = b"["
    else:
        raw.clear()
    path.write_bytes(raw)
    found = list(PinStore(folder, "m").saved())
    assert [saved.read() for saved in found] == [None] * len(found)


def test_another_models_pins_are_left_alone(folder: Path) -> None:
    """A state is only for the model that computed it."""
    pin(folder)
    assert list(PinStore(folder, "another").saved()) == []
    assert len(list(folder.iterdir())) == 1


def test_only_the_shared_part_is_written(folder: Path) -> None:
    """Nothing is pinned before or behind its end, nothing without a namespace, nothing twice."""
    store, cache = PinStore(folder, "m"), Cache()
    assert store.keep(sequence(num_computed=79), cache) is None
    assert store.keep(sequence(num_computed=100), cache) is None
    assert store.keep(sequence(namespace=None), cache) is None
    assert store.keep(sequence(), cache) is not None
    assert store.keep(sequence(), cache) is None
    store.close()
    (path,) = folder.iterdir()
    header = json.loads(path.read_bytes().split(b"\n", 1)[0])
    assert header["tokens"] == TOKENS[:80]


def test_the_oldest_goes_when_the_folder_is_full(folder: Path) -> None:
    """The folder never takes more than it may."""
    store = PinStore(folder, "m", max_bytes=3_500)
    for n in range(4):
        asked = sequence()
        asked.tokens[0] = 1000 + n
        store.keep(asked, Cache())
    store.close()
    firsts = {saved.tokens[0] for saved in PinStore(folder, "m").saved()}
    assert 1003 in firsts
    assert 1000 not in firsts
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3_500


def test_what_is_forgotten_is_gone(folder: Path) -> None:
    """Every file of the namespace is removed, of whatever model; the same can be pinned again."""
    pin(folder, "another model")
    store = PinStore(folder, "m")
    assert store.keep(sequence(), Cache()) is not None
    assert store.keep(sequence(namespace="some"), Cache()) is not None
    store.close()
    assert store.namespaces() == ["all", "some"]
    store.forget("all")
    assert store.namespaces() == ["some"]
    assert len(list(folder.iterdir())) == 1
    assert store.keep(sequence(), Cache()) is not None
    store.close()


def test_what_a_kill_left_half_written_is_found_and_swept(folder: Path) -> None:
    """An unfinished file tells whose it is, is removed with its namespace, and goes by itself at
    a start that is not in the same minute."""
    pin(folder)
    (path,) = folder.iterdir()
    cut = path.read_bytes()[:-900]
    path.unlink()
    for name in (f".{path.name}.x1", f".{path.name}.x2"):
        (folder / name).write_bytes(cut)
    (folder / "damaged.prefix").write_bytes(b"no header")
    store = PinStore(folder, "m")
    assert list(store.saved()) == []
    assert len(list(folder.iterdir())) == 3  # somebody may be writing them
    assert store.namespaces() == ["all"]
    store.forget("all")
    assert [path.name for path in folder.iterdir()] == ["damaged.prefix"]
    os.utime(folder / "damaged.prefix", (0, 0))
    assert list(PinStore(folder, "m").saved()) == []
    assert list(folder.iterdir()) == []


def test_what_is_used_stays_longest(folder: Path) -> None:
    """A pin that was read lately outlives one that was written later and not read."""
    store = PinStore(folder, "m", max_bytes=3_500)
    kept = []
    for n in range(2):
        asked = sequence()
        asked.tokens[0] = 1000 + n
        kept.append(store.keep(asked, Cache()))
        store.close()
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    assert kept[0].read() is not None
    asked = sequence()
    asked.tokens[0] = 1002
    store.keep(asked, Cache())
    store.close()
    assert {saved.tokens[0] for saved in PinStore(folder, "m").saved()} == {1000, 1002}


def test_a_full_disk_costs_no_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be written is told in the log and tried again another time."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    store = PinStore(folder, "m")
    with monkeypatch.context() as patch:
        patch.setattr("kit.engine.pins.require_space", full)
        store.keep(sequence(), Cache())
        store.close()
    assert "not kept on disk" in capsys.readouterr().err
    assert store.keep(sequence(), Cache()) is not None
    store.close()
    assert len(list(folder.iterdir())) == 1


def test_the_digest_changes_with_the_model(tmp_path: Path) -> None:
    """Another beginning, end or length is another model."""
    digests = set()
    for content in (b"a" * 100, b"b" + b"a" * 99, b"a" * 99 + b"b", b"a" * 101):
        (tmp_path / "model.gguf").write_bytes(content)
        digests.add(model_digest(tmp_path / "model.gguf"))
    assert len(digests) == 4
