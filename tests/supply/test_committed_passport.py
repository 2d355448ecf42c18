"""The starter model's passport in the documentation is whole, current and of the card's files."""

from __future__ import annotations

from pathlib import Path

from kit.supply.catalog import STARTER_CHAT, find_card
from kit.supply.passport_json import parse_passport, passport_text
from kit.supply.passport_page import LICENCE_FILE, PAGE, render_page

FOLDER = Path(__file__).parents[2] / "docs" / "passports" / STARTER_CHAT
TEXT = (FOLDER / "passport.json").read_text(encoding="utf-8")
PASSPORT = parse_passport(TEXT)  # of the current schema, or it is refused


def test_it_is_the_canonical_text() -> None:
    """Nobody edited it by hand: it is what the kit writes, and so are page and licence."""
    assert passport_text(PASSPORT) == TEXT
    assert (FOLDER / PAGE).read_text(encoding="utf-8") == render_page(PASSPORT)
    assert (FOLDER / LICENCE_FILE).read_text(encoding="utf-8") == PASSPORT.licence.text


def test_its_files_are_the_cards() -> None:
    """What it was measured on is to the byte what the card pins and `kit model pull` fetches."""
    card = find_card(STARTER_CHAT)
    assert PASSPORT.inputs == card.files
    assert (PASSPORT.name, PASSPORT.title, PASSPORT.licence.id) == (
        *(card.name, card.title),
        card.licence,
    )


def test_it_was_measured() -> None:
    """Every question was asked and the model is sound; speed and memory are there."""
    assert PASSPORT.smoke is not None
    assert not PASSPORT.smoke.is_broken
    assert len(PASSPORT.smoke.answers) >= 12
    assert PASSPORT.speed is not None
    assert PASSPORT.memory.resident_bytes
    assert PASSPORT.template is not None


def test_it_names_no_machine() -> None:
    """No path of the machine that made it, and nobody's folder."""
    for found in ("/root", "/home/", "/tmp", "/work", "/opt", "KIT_HOME"):
        assert found not in TEXT
