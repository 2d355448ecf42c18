"""Goals: reached, missed, or not measured."""

from __future__ import annotations

import pytest

from kit.evaluate.goals import GOALS, Judgement, judge
from kit.evaluate.loads import TITLES
from kit.evaluate.rounds import Run
from tests.evaluate.made_runs import refusal, reply, run


def verdicts(runs: list[Run], load: str) -> dict[str, Judgement]:
    return {j.goal.figure: j for j in judge(runs, threads=1, loads=[load])}


def test_every_load_has_a_goal() -> None:
    """No load is measured for nothing."""
    assert {goal.load for goal in GOALS} == set(TITLES)


@pytest.mark.parametrize(
    ("peer_s", "verdict"), [(4.0, "reached"), (2.0, "reached"), (1.9, "missed")]
)
def test_speed_against_the_peer(peer_s: float, verdict: str) -> None:
    """The same tokens in 2 seconds reach a goal of 1.0 against a peer that takes 2 or more."""
    runs = [run("kit", "a", wall_s=2.0), run("peer", "a", wall_s=peer_s)]
    assert verdicts(runs, "a")["tok_per_s"].verdict == verdict


def test_without_a_peer_nothing_is_reached() -> None:
    """A comparison with nobody is not measured."""
    found = verdicts([run("kit", "b")], "b")
    assert {j.verdict for j in found.values()} == {"not measured"}


def test_failed_run_of_the_kit_misses_every_goal_of_its_load() -> None:
    """Even if its other rounds were fast."""
    runs = [run("kit", "c"), run("kit", "c", number=2, failure="died"), run("peer", "c", wall_s=99)]
    assert {j.verdict for j in verdicts(runs, "c").values()} == {"missed"}


def test_embedding_is_measured_against_the_idle_load() -> None:
    """Decoding at 5 tokens per second is half of load b's 10: below 0.6."""
    runs = [run("kit", "b"), run("kit", "e", [reply(gap_s=0.2)])]
    found = verdicts(runs, "e")["decode_tok_per_s"]
    assert (found.observed, found.verdict) == (pytest.approx(0.5), "missed")


def test_the_worst_round_keeps_a_promise_or_breaks_it() -> None:
    """A slow refusal in one of three rounds is not averaged away."""
    runs = [run("kit", "f", [reply(), refusal(s)], number=n) for n, s in enumerate((0.1, 0.3, 0.1))]
    found = verdicts(runs, "f")
    assert found["slowest_refusal_ms"].observed == pytest.approx(300)
    assert found["slowest_refusal_ms"].verdict == "missed"
    assert found["finished_share"].verdict == "reached"
    assert "load b" in next(goal for goal in GOALS if goal.load == "e").words
