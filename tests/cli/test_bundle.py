"""kit bundle inspect: what a bundle says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.bundle.trust import SIGNER
from kit.cli.bundle import inspect
from kit.errors import UsageError
from tests.bundle.made import KEY, make_bundle


def test_inspect_names_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose bundle it says it is, for people and programs, and that nothing of it is checked."""
    folder = tmp_path / "bundle"
    make_bundle(folder)
    (folder / SIGNER).write_text(KEY.public.text())
    inspect(folder, is_json=False)
    printed = capsys.readouterr()
    assert f"of the key {KEY.public.id_text}, fingerprint {KEY.public.fingerprint}" in printed.out
    assert "check it: kit bundle verify" in printed.err
    inspect(folder, is_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["key"], facts["fingerprint"]) == (KEY.public.id_text, KEY.public.fingerprint)


def test_inspect_of_no_bundle(tmp_path: Path) -> None:
    """A folder without a manifest is none."""
    with pytest.raises(UsageError, match="is no bundle"):
        inspect(tmp_path, is_json=False)
