"""The release a kit runs from: its models, its settings, and whose data it may touch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import release
from kit.config import load_config
from kit.errors import MachineError, NotFound, UsageError
from kit.supply.catalog import ModelFile
from kit.supply.store import (
    RECORD,
    InstalledModel,
    copy_bundled,
    find_installed,
    is_bundled,
    list_installed,
    model_folder,
    remove_model,
    write_record,
)

GUEST = InstalledModel("guest", "chat", "file guest.gguf", "MIT", (ModelFile("a.gguf", "0", 1),))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A root of releases, and this process as one that was started from its current one."""
    folder = tmp_path / "root" / "releases" / "1.2.0-00000000"
    (folder / "files" / "models" / "guest").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "venv").mkdir()
    (folder / "files" / "settings.toml").write_text('[engine]\nmodel = "guest"\nctx = 1024\n')
    (tmp_path / "root" / "current").symlink_to("releases/1.2.0-00000000")
    record = json.dumps({"home": str(tmp_path / "data")})
    (tmp_path / "root" / "serving.json").write_text(record)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "root" / "current" / "venv"))
    release.running_release.cache_clear()
    yield tmp_path / "root"
    release.running_release.cache_clear()


@pytest.fixture
def bundled(root: Path) -> Path:
    """The folder of a model that came with the release."""
    folder = root / "releases" / "1.2.0-00000000" / "files" / "models" / "guest"
    (folder / "a.gguf").write_bytes(b"x")
    own = root.parent / "maker"
    write_record(own, GUEST)
    (folder / RECORD).write_bytes((own / "models" / "guest" / RECORD).read_bytes())
    return folder


def test_a_checkout_is_no_release() -> None:
    """Nothing of an installation is seen where there is none."""
    assert release.running_release() is None
    assert release.serving_home() is None
    assert release.bundled_models() is None


def test_a_switch_does_not_move_what_runs(root: Path) -> None:
    """`current` leads elsewhere after an upgrade; this process stays with its own release."""
    before = release.running_release()
    (root / "current").unlink()
    (root / "current").symlink_to("releases/9.9.9-99999999")
    assert release.running_release() == before
    assert before == root / "releases" / "1.2.0-00000000"


def test_settings_of_the_bundle_lie_under_kit_toml(root: Path, tmp_path: Path) -> None:
    """The installation names the data; a kit.toml there goes before the bundle's settings."""
    config = load_config(environ={})
    assert config.home == tmp_path / "data"
    assert (config.engine.model, config.engine.ctx) == ("guest", 1024)
    config.home.mkdir()
    (config.home / "kit.toml").write_text("[engine]\nctx = 4096\n")
    config = load_config(environ={})
    assert (config.engine.model, config.engine.ctx) == ("guest", 4096)
    assert config.origins["engine.model"].endswith("settings.toml")
    assert root.name == "root"


def test_models_of_the_bundle_are_seen_and_never_changed(bundled: Path, tmp_path: Path) -> None:
    """Listed, found where they lie, not removed; a copy is the home's own and goes first."""
    home = tmp_path / "data"
    assert [model.name for model in list_installed(home)] == ["guest"]
    assert is_bundled(home, "guest")
    assert model_folder(home, "guest") == bundled
    with pytest.raises(UsageError, match="came with the installed bundle"):
        remove_model(home, "guest")
    before = {path.name: path.read_bytes() for path in bundled.iterdir()}
    assert copy_bundled(home, "guest")
    assert not copy_bundled(home, "guest")
    assert model_folder(home, "guest") == home / "models" / "guest"
    remove_model(home, "guest")
    assert find_installed(home, "guest").name == "guest"
    assert {path.name: path.read_bytes() for path in bundled.iterdir()} == before


def test_without_the_bundle_its_models_are_gone(tmp_path: Path) -> None:
    """A plain installation knows its home's models alone."""
    with pytest.raises(NotFound):
        find_installed(tmp_path, "guest")


def test_root_keeps_its_hands_off_a_services_data(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with the command that works, only there, and only where the owner is another."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    release.require_owner(tmp_path)
    real = Path.stat

    def owned(path: Path, **options: bool) -> os.stat_result:
        found = list(real(path, **options))
        found[4] = 65534 if path == tmp_path / "data" else found[4]
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", owned)
    with pytest.raises(MachineError, match="belongs to") as caught:
        release.require_owner(tmp_path / "data")
    assert "sudo -u" in str(caught.value.hint)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    release.require_owner(tmp_path / "data")
    assert root.is_dir()
