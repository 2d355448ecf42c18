"""The store of installed models."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import ModelError, NotFound, UsageError
from kit.supply import store
from kit.supply.store import (
    RECORD,
    add_file,
    find_damage,
    find_installed,
    import_gguf,
    list_installed,
    model_folder,
    model_path,
    require_whole,
)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Office-Q8_0.gguf"
    write_tiny_model(path)
    return path


def test_an_imported_model_is_a_checked_copy(home: Path, gguf: Path) -> None:
    """Import copies the file; the source can go away and the model stays whole."""
    seen: list[tuple[int, int]] = []
    model = import_gguf(home, gguf, "office", on_progress=lambda *now: seen.append(now))
    content = gguf.read_bytes()
    gguf.unlink()
    assert find_installed(home, "office") == model
    assert model_path(home, model).read_bytes() == content
    assert find_damage(home, model, by_digest=True) == []
    assert seen[-1] == (len(content), len(content))


def test_a_cut_file_is_refused_before_anything_is_written(home: Path, gguf: Path) -> None:
    """A GGUF file cut short is one error and leaves nothing behind."""
    gguf.write_bytes(gguf.read_bytes()[:-100])
    with pytest.raises(ModelError):
        import_gguf(home, gguf, "office")
    assert not (home / "models").exists()


def test_a_name_is_not_taken_twice(home: Path, gguf: Path) -> None:
    """A second import under the same name needs --replace."""
    import_gguf(home, gguf, "office")
    with pytest.raises(UsageError, match="already installed"):
        import_gguf(home, gguf, "office")
    import_gguf(home, gguf, "office", replace=True)
    assert len(list_installed(home)) == 1


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "Big"])
def test_a_name_cannot_leave_the_models_folder(home: Path, gguf: Path, name: str) -> None:
    """A name with a path in it is refused."""
    with pytest.raises(UsageError):
        import_gguf(home, gguf, name)


def test_a_kill_while_copying_leaves_no_model(
    home: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its record, which is written last, a half-copied model does not exist."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_record", killed)
    with pytest.raises(KeyboardInterrupt):
        import_gguf(home, gguf, "office")
    assert list_installed(home) == []
    with pytest.raises(NotFound):
        find_installed(home, "office")


@pytest.mark.parametrize("damage", ["cut", "gone", "bit"])
def test_damage_is_named(home: Path, gguf: Path, damage: str) -> None:
    """A file that is cut, gone or changed in one bit is named, with a way to get it back."""
    model = import_gguf(home, gguf, "office")
    path = model_path(home, model)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "gone":
        path.unlink()
    else:
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        require_whole(home, model, by_digest=True)
    assert caught.value.problems[0].where == "models/office/Office-Q8_0.gguf"
    assert "kit model import" in str(caught.value.hint)
    # the quick check before every start sees sizes; a changed bit needs the digest
    assert bool(find_damage(home, model, by_digest=False)) is (damage != "bit")


def test_another_file_becomes_the_one_that_runs(home: Path, gguf: Path) -> None:
    """After re-quantizing, the new file runs and the original stays listed and checked."""
    model = import_gguf(home, gguf, "office")
    second = model_folder(home, "office") / "Office-Q4_0.gguf"
    write_tiny_model(second)
    changed = add_file(home, model, second, "Q4_0")
    assert model_path(home, changed) == second
    assert [file.path for file in changed.files] == ["Office-Q8_0.gguf", "Office-Q4_0.gguf"]
    assert find_damage(home, find_installed(home, "office"), by_digest=True) == []


def test_an_unreadable_record_is_named(home: Path, gguf: Path) -> None:
    """A record that is not ours is an error with the path, not a traceback."""
    import_gguf(home, gguf, "office")
    (model_folder(home, "office") / RECORD).write_text('{"name": 3}')
    with pytest.raises(ModelError, match=RECORD):
        list_installed(home)
