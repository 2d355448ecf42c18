"""The licence's text comes from the model, or is the one fixed text of Apache-2.0."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

from kit.supply.catalog import STARTER_CHAT, find_card
from kit.supply.licence import NOT_THERE, licence_of
from tests.supply.made_passport import MODEL

CARD = replace(find_card(STARTER_CHAT), permits="use, change and pass on")


def test_the_models_own_text_comes_first(tmp_path: Path) -> None:
    """A licence file that came with the model is taken as it is, whatever the licence."""
    (tmp_path / "LICENSE.md").write_text("Copyright (c) 2026 Office\n")
    for said in ("MIT", "Apache-2.0"):
        licence = licence_of(tmp_path, replace(MODEL, licence=said), None)
        assert (licence.id, licence.text) == (said, "Copyright (c) 2026 Office\n")
        assert licence.text_from == "LICENSE.md"


def test_apache_has_one_text(tmp_path: Path) -> None:
    """Without a file of its own, Apache-2.0 gets the standard text, and says that it is that."""
    licence = licence_of(tmp_path, replace(MODEL, licence="apache-2.0"), CARD)
    assert "Version 2.0, January 2004" in licence.text
    assert licence.text_from == "the standard text of Apache-2.0"
    assert licence.permits == CARD.permits


@pytest.mark.parametrize("said", ["MIT", "gemma", "BSD-3-Clause"])
def test_no_other_text_is_made_up(tmp_path: Path, said: str) -> None:
    """A licence that begins with its holder's name is not filled in for him."""
    licence = licence_of(tmp_path, replace(MODEL, licence=said), None)
    assert (licence.id, licence.text, licence.text_from) == (said, "", NOT_THERE)


def test_a_changed_standard_text_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: an installed file that was edited passes for the licence."""

    class Changed:
        def read_text(self, name: str) -> str:
            return "Apache License, but not quite"

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Changed())
    assert licence_of(tmp_path, replace(MODEL, licence="Apache-2.0"), None).text == ""


def test_the_card_speaks_where_the_file_does_not(tmp_path: Path) -> None:
    """An imported file that names no licence has its card's; without a card it is unknown."""
    silent = replace(MODEL, licence="unknown")
    assert licence_of(tmp_path, silent, CARD).id == "Apache-2.0"
    assert licence_of(tmp_path, silent, None).id == "unknown"
