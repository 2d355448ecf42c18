"""The numbers of a run, and what several rounds say together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.evaluate.figures import BY_NAME, Spread, median, percentile, ratio, spread
from kit.evaluate.rounds import Run
from tests.evaluate.made_runs import refusal, reply, run

NUMBERS = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=40)


def read(name: str, one: Run) -> float | None:
    return BY_NAME[name].read(one)


@given(NUMBERS, st.floats(0, 1))
def test_percentile_is_numpys(values: list[float], share: float) -> None:
    """Linear between the two nearest ranks, within the values, whatever their order."""
    observed = percentile(values, share)
    assert observed == pytest.approx(float(np.percentile(values, 100 * share)), abs=1e-6)
    assert min(values) <= observed <= max(values) or observed == pytest.approx(min(values))
    assert observed == percentile(values[::-1], share)


@given(NUMBERS)
def test_median_lies_between_the_least_and_the_most(values: list[float]) -> None:
    """A spread is least <= median <= most, and the ratio of a spread to itself is one."""
    found = Spread(tuple(values))
    assert found.least <= found.median <= found.most
    assert found.median == median(values)
    own = ratio(found, found)
    assert own == (pytest.approx(1) if found.median else None)


@given(NUMBERS, NUMBERS)
def test_ratios_of_both_directions_are_inverse(ours: list[float], theirs: list[float]) -> None:
    """a/b times b/a is one; a missing or zero side has no ratio."""
    a, b = Spread(tuple(ours)), Spread(tuple(theirs))
    there, back = ratio(a, b), ratio(b, a)
    if there and back:
        assert there * back == pytest.approx(1)
    assert ratio(a, None) is None
    assert ratio(None, b) is None


def test_percentile_of_nothing_is_an_error() -> None:
    """There is no median of no rounds."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_figures_of_a_run_worked_out_by_hand() -> None:
    """Two answers of 11 tokens in 4 seconds, the first token after 1 and 3 seconds."""
    one = run("kit", "b", [reply(1.0), reply(3.0)], wall_s=4.0)
    assert read("tok_per_s", one) == pytest.approx(22 / 4)
    assert read("ttft_median_s", one) == pytest.approx(2.0)
    assert read("ttft_p95_s", one) == pytest.approx(2.9)
    assert read("decode_tok_per_s", one) == pytest.approx(10)
    assert read("gap_p95_ms", one) == pytest.approx(100)
    assert (read("asked_tokens", one), read("answered_tokens", one)) == (200, 22)
    assert (read("computed_tokens", one), read("reused_tokens", one)) == (80, 20)
    assert (read("steps", one), read("pages_per_s", one)) == (12, None)
    assert read("later_ttft_median_s", one) is None


def test_later_turns_are_apart_from_the_first() -> None:
    """Of a conversation, only turns from the second on count as later."""
    talk = run("kit", "d", [reply(9.0), reply(1.0, turn=2), reply(2.0, turn=3)])
    assert read("later_ttft_median_s", talk) == pytest.approx(1.5)
    assert read("ttft_median_s", talk) == pytest.approx(2.0)


def test_refusals_are_apart_from_answers() -> None:
    """They count with their latency, and neither as tokens nor as first tokens."""
    storm = run("kit", "f", [reply(1.0), refusal(0.05), refusal(0.15)])
    assert (read("num_finished", storm), read("num_refused", storm)) == (1, 2)
    assert read("slowest_refusal_ms", storm) == pytest.approx(150)
    assert read("finished_share", storm) == 1.0
    assert read("ttft_p95_s", storm) == 1.0


def test_failed_runs_have_no_figures() -> None:
    """A run that failed is not in the spread, however fast it looks."""
    runs = [run(wall_s=2.0), run(wall_s=0.01, failure="the server was killed by SIGSEGV")]
    found = spread(runs, "tok_per_s")
    assert found is not None
    assert found.values == (pytest.approx(5.5),)
    assert spread(runs[1:], "tok_per_s") is None
