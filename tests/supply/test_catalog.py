"""Model cards: what ships is right, and what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.errors import ModelError, NotFound
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING, find_card, load_catalog, recommend

GIB = 1 << 30
CARD = """
name = "tiny"
kind = "chat"
title = "Tiny"
source = "https://example.org/tiny"
licence = "MIT"
languages = ["en"]
facts_from = "this test"
parameters = 1_000_000_000
n_layers = 10
n_kv_heads = 2
head_dim = 64
quant_type = "Q8_0"
"""


def test_the_starter_may_run_as_a_first_start_chooses() -> None:
    """Its card allows what Q4_0 costs it, so that `kit model quantize` does not refuse what
    `kit up` did."""
    assert (load_catalog()[STARTER_CHAT].max_kl or 0) > 0.326


def test_shipped_cards_are_right() -> None:
    """Every card of the repository is read, and the starter models are pinned to the byte."""
    cards = load_catalog()
    for name in (STARTER_CHAT, STARTER_EMBEDDING):
        assert cards[name].is_ready_made
        assert cards[name].size_bytes > 80_000_000
        assert all(len(file.sha256) == 64 for file in cards[name].files)
    assert any(card.recommended for card in cards.values())
    assert all(card.facts_from for card in cards.values())


def test_shipped_cards_say_what_one_must_know() -> None:
    """Each model has its licence and what that permits, its context, and where facts are from."""
    for card in load_catalog().values():
        assert card.permits, card.name
        assert card.licence_url.startswith("https://"), card.name
        assert card.languages, card.name
        assert card.parameters, card.name
        assert card.n_ctx, card.name
        assert not card.revision or re.fullmatch(r"[0-9a-f]{40}", card.revision), card.name
        assert (card.kind == "embedding") == (card.dim is not None and card.pooling is not None)
        assert bool(card.reasoning_tags) == card.reasoning, card.name
        assert not (card.is_gated and card.recommended), card.name


def test_parameters_are_what_the_name_says() -> None:
    """The size in a name and the parameters of its card agree within a fifth; experts are fewer."""
    for card in load_catalog().values():
        said = re.search(r"(?:^|-)(\d+(?:\.\d+)?)(b|m)(?:-|$)", card.name)
        if said:
            size = float(said[1]) * (1e9 if said[2] == "b" else 1e6)
            assert card.parameters == pytest.approx(size, rel=0.2), card.name
        assert (card.active_parameters or 0) < (card.parameters or 0), card.name


def test_every_kind_and_size_is_there() -> None:
    """There are cards for embedding and reranking, and chat models from below 1 to beyond 100 B."""
    cards = load_catalog().values()
    assert {card.kind for card in cards} == {"chat", "embedding", "reranker"}
    sizes = [card.parameters or 0 for card in cards if card.kind == "chat"]
    assert min(sizes) < 1_000_000_000 < 100_000_000_000 < max(sizes)


def test_memory_is_the_stated_formula(tmp_path: Path) -> None:
    """Need = parameters * bits / 8 + 2 * layers * heads * size * 2 * tokens + 512 MiB."""
    (tmp_path / "tiny.toml").write_text(CARD)
    card = load_catalog(tmp_path)["tiny"]
    expected = 1_000_000_000 * 8.5 / 8 + 2 * 10 * 2 * 64 * 2 * 4096 + 512 * 2**20
    assert card.needed_bytes(4096) == int(expected)
    assert card.needed_bytes(4096, "no such type") is None


def test_unknown_facts_stay_unknown(tmp_path: Path) -> None:
    """A card without a parameter count states no memory need instead of a guess."""
    (tmp_path / "tiny.toml").write_text(CARD.replace("parameters = 1_000_000_000\n", ""))
    assert load_catalog(tmp_path)["tiny"].needed_bytes(4096) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (CARD + 'licens = "MIT"', "did you mean 'licence'"),
        (CARD.replace('kind = "chat"', 'kind = "chats"'), "expected one of"),
        (CARD.replace('title = "Tiny"\n', ""), "missing: title"),
        (CARD.replace('name = "tiny"', 'name = "other"'), "differs from the file's name"),
        (CARD + "= 3", "not TOML"),
        (CARD + '[[files]]\npath = "../x"\nsha256 = "00"\nsize_bytes = 1', "unsafe path"),
        (CARD + '[[files]]\npath = "x"\nsha256 = "00"\nsize_bytes = 1', "64 hexadecimal"),
        (CARD + '[[files]]\npath = "x"\nsize = 1', "expected path, sha256, size_bytes"),
    ],
)
def test_a_wrong_card_is_named(tmp_path: Path, wrong: str, says: str) -> None:
    """A card with a wrong key or value is an error that names the file and what is wrong."""
    (tmp_path / "tiny.toml").write_text(wrong)
    with pytest.raises(ModelError) as caught:
        load_catalog(tmp_path)
    assert caught.value.problems[0].where == "models/tiny.toml"
    assert says in caught.value.problems[0].what


def test_a_mistyped_name_gets_a_suggestion() -> None:
    """Asking for a model that has no card names the nearest one."""
    with pytest.raises(NotFound) as caught:
        find_card("qwen3-8")
    assert "qwen3-8b" in str(caught.value.hint)


def test_recommendation_fits_and_grows_with_memory() -> None:
    """A recommended model leaves a quarter of the memory; more memory never shrinks it."""
    cards = load_catalog()
    before = 0
    for gib in (2, 4, 8, 12, 16, 24, 32, 64, 512):
        card = recommend(cards, gib * GIB, 8192)
        needed = (card.needed_bytes(8192) or 0) if card else 0
        assert before <= needed <= gib * GIB * 3 // 4
        before = needed
    assert recommend(cards, 1 * GIB, 8192) is None
    assert before > 0
