"""What fits where: memory by card and type, verdicts, speed from above, and the recommendation."""

from __future__ import annotations

import dataclasses

import pytest

from kit.supply.catalog import COMPUTE_BYTES, ModelCard, load_catalog
from kit.supply.fit import Room, fit, max_decode, memory_by_type, recommend_for
from kit.supply.quant_types import BITS_PER_WEIGHT

GIB = 1 << 30
DENSE = ModelCard(
    name="dense",
    kind="chat",
    title="Dense",
    source="hf://example/dense",
    licence="MIT",
    languages=("en",),
    facts_from="this test",
    parameters=8_000_000_000,
    n_ctx=16384,
    n_layers=32,
    n_kv_heads=8,
    head_dim=128,
    quant_type="Q8_0",
    recommended=True,
)
EXPERTS = dataclasses.replace(
    DENSE, name="experts", parameters=30_000_000_000, active_parameters=3_000_000_000
)
EMBEDDING = dataclasses.replace(DENSE, name="embedding", kind="embedding", parameters=500_000_000)


def test_grouped_heads_and_hybrid_layers_make_the_cache_small() -> None:
    """The cache counts KV heads, not heads, and only the layers that keep one."""
    assert DENSE.kv_bytes(1000) == 2 * 32 * 8 * 128 * 2 * 1000
    hybrid = dataclasses.replace(DENSE, n_kv_layers=8)
    assert hybrid.kv_bytes(1000) == 2 * 8 * 8 * 128 * 2 * 1000


def test_an_embedding_model_takes_its_weights_in_full_precision() -> None:
    """An embedding model has no cache; its weights are F32, whatever its card says."""
    assert EMBEDDING.needed_bytes(100_000) == 500_000_000 * 4 + COMPUTE_BYTES


def test_a_pinned_file_is_its_own_measure() -> None:
    """The starter model's memory is its file's size, not an estimate by bits."""
    card = load_catalog()["smollm2-135m"]
    assert card.weights_bytes() == 98_362_432
    assert card.weights_bytes("Q8_0") == int(134_515_008 * 8.5 / 8)


@pytest.mark.parametrize(("gib", "verdict"), [(64, "yes"), (11, "tight"), (8, "no")])
def test_verdict_follows_the_memory(gib: int, verdict: str) -> None:
    """Fits, fits with little left, does not fit."""
    seen = fit(DENSE, Room(gib * GIB, 8192))
    assert seen.verdict == verdict
    assert seen.needed_bytes == DENSE.needed_bytes(8192)


def test_what_is_not_known_is_no_verdict() -> None:
    """Without a known cache it is unknown, unless the weights alone are too much."""
    card = dataclasses.replace(DENSE, n_layers=None)
    assert fit(card, Room(64 * GIB, 8192)).verdict == "unknown"
    assert fit(card, Room(4 * GIB, 8192)).verdict == "no"
    assert fit(dataclasses.replace(card, parameters=None), Room(GIB, 1)).verdict == "unknown"


def test_speed_is_bandwidth_by_bytes_read() -> None:
    """A dense model reads all weights per token, a mixture of experts its active ones."""
    room = Room(64 * GIB, 8192, bandwidth_bytes_per_s=85e9)
    assert max_decode(DENSE, room) == pytest.approx(85e9 / (8e9 * 8.5 / 8))
    assert max_decode(EXPERTS, room) == pytest.approx(85e9 / (3e9 * 8.5 / 8))
    assert max_decode(EMBEDDING, room) is None
    assert max_decode(DENSE, Room(64 * GIB, 8192)) is None


def test_recommendation_says_why_and_why_none() -> None:
    """The largest that fits and writes as fast as one reads; otherwise what is lacking."""
    cards = {"dense": DENSE, "experts": EXPERTS}
    large = Room(64 * GIB, 8192, 85e9)
    card, why = recommend_for(cards, large)
    assert card is EXPERTS
    assert "up to 27 tokens" in why
    card, why = recommend_for(cards, dataclasses.replace(large, bandwidth_bytes_per_s=2e9))
    assert (card, "slower than a person reads" in why) == (None, True)
    card, why = recommend_for(cards, Room(2 * GIB, 8192))
    assert (card, "quarter of the memory" in why) == (None, True)


def test_memory_by_type_grows_with_bits_and_context() -> None:
    """Every usual type has its row, larger ones need more, no context is beyond the trained."""
    rows = memory_by_type(DENSE)
    weights = [row.weights_bytes for row in rows]
    assert weights == sorted(weights)
    assert {row.quant_type for row in rows} >= {"Q4_K_M", "Q8_0", "F16", "Q3_K_M", "IQ4_XS"}
    for row in rows:
        assert list(row.needed_bytes) == [4096, 8192]  # it was trained for 16,384
        short, long = row.needed_bytes.values()
        assert long is not None
        assert long - (short or 0) == DENSE.kv_bytes(4096)
    assert "MXFP4_MOE" in {row.quant_type for row in memory_by_type(load_catalog()["gpt-oss-20b"])}


def test_bits_are_known_for_every_card() -> None:
    """Each card's type has its bits, so each card states the size of its weights."""
    for card in load_catalog().values():
        assert card.run_type in BITS_PER_WEIGHT, card.name
        assert card.weights_bytes() is not None, card.name
