"""nDCG, recall and MRR: values worked out by hand, and what must hold for any ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.evaluate.ranking import Difference, compare, judge, ndcg, recall, reciprocal_rank

RELEVANT = {"a": 2, "b": 1}


def test_by_hand() -> None:
    """Ranks 2 and 4 of a two-grade judgement."""
    ranked = ["x", "a", "y", "b"]
    best = 2 / math.log2(2) + 1 / math.log2(3)
    assert ndcg(ranked, RELEVANT) == pytest.approx((2 / math.log2(3) + 1 / math.log2(5)) / best)
    assert recall(ranked, RELEVANT) == 1.0
    assert reciprocal_rank(ranked, RELEVANT) == 0.5


def test_what_comes_too_late_does_not_count() -> None:
    """Beyond rank 10 for nDCG and MRR, beyond rank 100 for recall."""
    late = [f"x{number}" for number in range(10)] + ["a"]
    assert ndcg(late, RELEVANT) == 0.0
    assert reciprocal_rank(late, RELEVANT) == 0.0
    assert recall(late, RELEVANT) == 0.5
    assert recall([f"x{number}" for number in range(100)] + ["a"], RELEVANT) == 0.0


NAMES = st.lists(st.sampled_from("abcdefghijkl"), unique=True)
GRADES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3), min_size=1)


@given(ranked=NAMES, relevant=GRADES)
def test_figures_are_shares(ranked: list[str], relevant: dict[str, int]) -> None:
    """Between 0 and 1; 1 for the ideal order; never less for moving an answer to the front."""
    for figure in (ndcg, recall, reciprocal_rank):
        assert 0.0 <= figure(ranked, relevant) <= 1.0 + 1e-9
    ideal = sorted(relevant, key=lambda name: -relevant[name])
    assert ndcg(ideal, relevant) == pytest.approx(1.0)
    assert recall(ideal, relevant) == 1.0
    best = ideal[0]
    moved = [best, *(name for name in ranked if name != best)]
    assert ndcg(moved, relevant) >= ndcg(ranked, relevant) - 1e-9


def test_a_query_that_was_not_ranked_found_nothing() -> None:
    """It counts, as 0, and is not left out of the mean."""
    figures = judge({"q1": ["a"]}, {"q1": {"a": 1}, "q2": {"b": 1}})
    assert figures.num_queries == 2
    assert figures.ndcg_10 == figures.recall_100 == figures.mrr_10 == 0.5
    assert figures.as_json()["ndcg@10"] == 0.5


def ranked_so(firsts: list[bool]) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """Questions whose one answer is found at the top, or not at all."""
    rankings = {f"q{n}": ["a"] if is_found else ["b"] for n, is_found in enumerate(firsts)}
    return rankings, {query: {"a": 1} for query in rankings}


def test_a_difference_that_may_be_chance_is_told_from_one_that_is_none() -> None:
    """One question of twenty more is chance, ten of twenty are not; the same again and again."""
    none, relevant = ranked_so([False] * 20)
    one, _ = ranked_so([True] + [False] * 19)
    half, _ = ranked_so([True, False] * 10)
    little, much = compare(one, none, relevant), compare(half, none, relevant)
    assert little.mean == pytest.approx(0.05)
    assert little.low == 0.0 < little.high
    assert much.mean == pytest.approx(0.5)
    assert 0.2 < much.low < 0.35
    assert 0.65 < much.high < 0.8
    assert compare(half, none, relevant) == much
    back = compare(none, half, relevant)
    assert back.mean == -much.mean
    assert back.high < 0


def test_equal_searches_differ_by_nothing() -> None:
    """No difference has no width; no questions have no difference."""
    half, relevant = ranked_so([True, False] * 10)
    assert compare(half, half, relevant) == Difference(0.0, 0.0, 0.0)
    assert compare({}, {}, {}) == Difference(0.0, 0.0, 0.0)
