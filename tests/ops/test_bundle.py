"""Making a bundle: what is wrong is said before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.bundle.make import wheelhouse
from kit.bundle.minisign import SecretKey
from kit.config import load_config
from kit.errors import ConfigError, UsageError
from kit.ops import bundle
from kit.ops.bundle import BundleOptions

KEY = SecretKey(b"officekt", bytes(range(32)))


@pytest.mark.parametrize("wrong", ["output", "settings", "python_archive"])
def test_cheap_checks_come_before_slow_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A folder that is not empty, and a file that is not there, are named before pip runs."""

    def gather(*_arguments: object, **_options: object) -> None:
        raise AssertionError("pip ran first")

    monkeypatch.setattr(wheelhouse, "gather", gather)
    monkeypatch.setattr(bundle, "_in_use", lambda _config: [])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    paths = {
        "output": tmp_path / "new",
        wrong: tmp_path / ("full" if wrong == "output" else "absent"),
    }
    with pytest.raises((UsageError, ConfigError)):
        bundle.make_bundle(
            load_config(home=tmp_path / "home"),
            KEY,
            BundleOptions(**paths),  # type: ignore[arg-type]
            say=lambda _text: None,
            on_progress=lambda _what, _done, _total: None,
        )
