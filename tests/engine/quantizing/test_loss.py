"""The arithmetic of a loss, and what is done with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.quantizing.loss import (
    DEFAULT_MAX_KL,
    compare,
    log_softmax,
    require_acceptable,
    summarize,
)
from kit.engine.quantizing.measure_loss import NUM_CONTEXT, WINDOW, windows
from kit.errors import ModelError
from tests.engine.quantizing.figures import loss

LOGITS = st.lists(st.floats(-30, 30), min_size=5, max_size=5)


def test_a_worked_example() -> None:
    """Two tokens, p = (3/4, 1/4) against q = (1/2, 1/2): the textbook's divergence."""
    p, q = np.log([[0.75, 0.25]]).astype(np.float32), np.zeros((1, 2), np.float32)
    found = summarize([compare(p, q, [1])])
    assert found.mean_kl == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert found.perplexity == pytest.approx(2.0)
    assert found.reference_perplexity == pytest.approx(4.0, rel=1e-6)
    assert found.num_tokens == 1


def test_positions_are_averaged_over_all_windows() -> None:
    """Perplexity is the exponential of the mean over positions, not a mean of perplexities."""
    sure = np.array([[9.0, 0.0]], np.float32)
    parts = [compare(sure, sure, [0]), compare(sure, sure, [1])]
    apart = [-log_softmax(sure)[0, token] for token in (0, 1)]
    assert summarize(parts).perplexity == pytest.approx(math.exp(sum(apart) / 2))


def test_the_same_predictions_lose_nothing() -> None:
    """Against itself a model's divergence is exactly 0 and every likeliest token is the same."""
    logits = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    found = summarize([compare(logits, logits, [7] * 40)])
    assert (found.mean_kl, found.p99_kl, found.top1_agreement) == (0.0, 0.0, 1.0)
    assert found.perplexity == found.reference_perplexity


def test_the_worst_positions_and_disagreements_show() -> None:
    """One bad position in a hundred moves the 99th percentile and the agreement."""
    good = np.tile(np.array([5.0, 0.0, 0.0], np.float32), (100, 1))
    bad = good.copy()
    bad[0] = (0.0, 5.0, 0.0)
    found = summarize([compare(good, bad, [0] * 100)])
    assert found.top1_agreement == 0.99
    assert found.p99_kl > 0
    assert found.mean_kl == pytest.approx(float(compare(good, bad, [0] * 100).kl[0]) / 100)


@given(LOGITS, LOGITS, st.floats(-20, 20))
def test_divergence_is_what_it_must_be(p: list[float], q: list[float], shift: float) -> None:
    """It is never negative, and adding a constant to all logits changes nothing."""
    a, b = np.array([p]), np.array([q])
    found, shifted = compare(a, b, [2]), compare(a + shift, b - shift, [2])
    assert found.kl[0] >= 0
    assert shifted.kl[0] == pytest.approx(found.kl[0], abs=1e-9)
    assert shifted.nll[0] == pytest.approx(found.nll[0], abs=1e-9)


def test_a_model_that_predicts_no_numbers_is_refused() -> None:
    """Weights that were destroyed give NaN, which is an error and not a figure."""
    logits = np.zeros((2, 3), np.float32)
    broken = logits.copy()
    broken[1, 1] = np.nan
    with pytest.raises(ModelError, match="not numbers"):
        summarize([compare(logits, broken, [0, 0])])


def test_nothing_compared_is_an_error() -> None:
    """A text too short to compare on does not count as no loss."""
    with pytest.raises(ModelError, match="too short"):
        summarize([])


@pytest.mark.parametrize("bos", [None, 1])
@pytest.mark.parametrize("num_tokens", [0, 1, NUM_CONTEXT, NUM_CONTEXT + 2, WINDOW, 900, 5000])
def test_windows_compare_each_position_once(num_tokens: int, bos: int | None) -> None:
    """No window is longer than the context, all have context, and never too much is compared."""
    tokens = list(range(10, 10 + num_tokens))
    found = list(windows(tokens, bos, 512))
    assert sum(len(window.positions) for window in found) <= 512
    following = [token for window in found for token in window.following]
    assert len(set(following)) == len(following)
    for window in found:
        assert len(window.tokens) <= WINDOW
        assert window.positions[0] == NUM_CONTEXT
        assert bos is None or window.tokens[0] == bos
        assert all(
            window.tokens[at + 1] == token
            for at, token in zip(window.positions, window.following, strict=True)
        )
    if num_tokens == 5000:
        assert sum(len(window.positions) for window in found) == 512
    if num_tokens <= NUM_CONTEXT:
        assert found == []


def test_a_loss_above_the_cards_limit_is_refused_unless_forced() -> None:
    """The limit is the card's, else the stated constant; insisting overrules both."""
    require_acceptable(loss(0.05), None, forced=False)
    require_acceptable(loss(DEFAULT_MAX_KL), None, forced=False)
    with pytest.raises(ModelError, match=r"0\.150 nats observed, at most 0\.1 is allowed") as why:
        require_acceptable(loss(0.15), None, forced=False)
    assert "--force" in (why.value.hint or "")
    with pytest.raises(ModelError, match=r"at most 0\.02 its card allows"):
        require_acceptable(loss(0.05), 0.02, forced=False)
    require_acceptable(loss(0.15), 0.2, forced=False)
    require_acceptable(loss(5.0), 0.02, forced=True)
    with pytest.raises(ModelError):
        require_acceptable(loss(0.001), 0.0, forced=False)  # 0 is a limit, not its absence
