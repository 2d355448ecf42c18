"""Vectors: nearness passes, faults of the file are broken."""

from __future__ import annotations

import math

import pytest

from kit.supply.smoke.embedding import PAIRS, Vector, judge_vectors, pairs_for
from kit.supply.smoke.report import SmokeAnswer, SmokeReport

ENGLISH = pairs_for(("en",))


def unit(*numbers: float) -> list[float]:
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def vectors(num: int, tilt: float = 0.0) -> list[list[float]]:
    """`num` directions at right angles, each leaning a little to the next."""
    return [
        unit(*(1.0 if at == n else tilt if at == (n + 1) % num else 0.0 for at in range(num)))
        for n in range(num)
    ]


QUERIES, PASSAGES = vectors(len(ENGLISH), 0.4), vectors(len(ENGLISH))


def judged(
    queries: list[list[float]] = QUERIES,
    passages: list[list[float]] = PASSAGES,
    alone: Vector | None = None,
    dim: int | None = None,
) -> dict[str, SmokeAnswer]:
    found = judge_vectors(ENGLISH, queries, passages, alone or passages[0], dim=dim)
    return {answer.name: answer for answer in found}


def broken(answers: dict[str, SmokeAnswer]) -> set[str]:
    return {name for name, answer in answers.items() if answer.outcome == "broken"}


def test_good_vectors_pass() -> None:
    """Unit vectors, each nearest to its own passage, pass every question."""
    answers = judged(dim=len(ENGLISH))
    assert {answer.outcome for answer in answers.values()} == {"passed"}
    assert len(answers) == 5 + len(ENGLISH)
    assert not SmokeReport(tuple(answers.values())).is_broken


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_broken(number: float) -> None:
    """One such number anywhere is enough."""
    damaged = [list(vector) for vector in PASSAGES]
    damaged[3][2] = number
    assert broken(judged(passages=damaged)) == {"finite"}


def test_another_dimension_is_broken() -> None:
    """Not as the card says, or not the same for all."""
    assert broken(judged(dim=384)) == {"dimension"}
    assert broken(judged(passages=[*PASSAGES[:-1], PASSAGES[-1][:-1]])) == {"dimension"}


def test_another_length_is_broken() -> None:
    """A vector that was not normalised is seen."""
    longer = [[2 * number for number in PASSAGES[0]], *PASSAGES[1:]]
    assert broken(judged(passages=longer)) == {"unit-norm"}


def test_one_vector_for_all_is_broken() -> None:
    """A model that maps everything to one point is broken, also by the sense of it."""
    same = [PASSAGES[0] for _ in ENGLISH]
    answers = judged(queries=same, passages=same)
    assert broken(answers) == {"distinct"}
    assert "questions of sense" in {
        problem.where for problem in SmokeReport(tuple(answers.values())).problems()
    }


def test_neighbours_in_a_batch_must_not_matter() -> None:
    """A text alone has the vector that it has among others."""
    assert broken(judged(alone=PASSAGES[1])) == {"batch"}


def test_a_wrong_neighbour_is_weak_and_all_wrong_is_broken() -> None:
    """A question missed is recorded; a model that finds nothing right is broken."""
    swapped = judged(queries=[QUERIES[1], QUERIES[0], *QUERIES[2:]])
    assert (swapped["finds-money"].outcome, swapped["finds-health"].outcome) == ("weak", "passed")
    assert "'finds-water' is nearer" in swapped["finds-money"].why
    assert not SmokeReport(tuple(swapped.values())).is_broken
    turned = judged(queries=[*QUERIES[1:], QUERIES[0]])
    report = SmokeReport(tuple(turned.values()))
    assert broken(turned) == set()
    assert [problem.where for problem in report.problems()] == ["questions of sense"]


def test_languages_are_asked_of_those_that_claim_them() -> None:
    """English models are not asked for Chinese; multilingual ones are asked everything."""
    assert {pair.language for pair in ENGLISH} == {""}
    assert pairs_for(("multilingual",)) == list(PAIRS)
    assert "finds-chinese" in {pair.name for pair in pairs_for(("en", "zh"))}
