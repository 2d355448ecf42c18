"""What all answers together say about a file."""

from __future__ import annotations

from dataclasses import replace

from kit.supply.smoke.chat import questions_for
from kit.supply.smoke.report import SmokeAnswer, SmokeReport, settled
from tests.supply.smoke.good_replies import GOOD

ANSWERS = tuple(q.answered(GOOD[q.name]) for q in questions_for(("en",)))


def with_outcomes(num_right: int) -> SmokeReport:
    """The first `num_right` questions of sense passed, the others weak, all of health passed."""
    left = num_right
    out: list[SmokeAnswer] = []
    for answer in ANSWERS:
        if answer.about == "sense":
            left -= 1
            answer = answer if left >= 0 else replace(answer, outcome="weak", why="wrong")
        out.append(answer)
    return SmokeReport(tuple(out))


def test_one_broken_answer_breaks_the_file() -> None:
    """It is named, with the reason."""
    (first, *rest) = ANSWERS
    report = SmokeReport((replace(first, outcome="broken", why="it is empty"), *rest))
    assert [(p.where, p.what) for p in report.problems()] == [(first.name, "it is empty")]
    assert report.is_broken
    assert report.num_passed == len(ANSWERS) - 1


def test_too_little_sense_breaks_the_file() -> None:
    """A model of noise that hits one answer by luck is broken; two right answers are enough."""
    assert with_outcomes(0).is_broken
    assert with_outcomes(1).is_broken
    assert not with_outcomes(2).is_broken


def test_one_answer_without_end_is_weak_and_two_are_broken() -> None:
    """A loop in one answer is a small model's; in two the file's. Other faults stay as they are."""
    loop = {"answer": "The fund. " * 30, "outcome": "broken", "why": "one piece over and over"}
    (first, second, third, *rest) = ANSWERS
    alone = (replace(first, **loop), second, third, *rest)
    assert [answer.outcome for answer in settled(alone)][:2] == ["weak", second.outcome]
    assert not SmokeReport(settled(alone)).is_broken
    twice = (replace(first, **loop), replace(second, **loop), third, *rest)
    assert settled(twice) == twice
    marked = (replace(first, **loop), replace(second, outcome="broken", why="a mark"), *rest)
    assert [answer.outcome for answer in settled(marked)][:2] == ["weak", "broken"]


def test_changed_answers_are_named() -> None:
    """Greedy answers that differ are named; sampled ones may differ, new questions are new."""
    before = SmokeReport(ANSWERS[:-1])
    changed = {"quotes": "Another sentence.", "sampled": "Plums."}
    after = SmokeReport(
        tuple(replace(answer, answer=changed.get(answer.name, answer.answer)) for answer in ANSWERS)
    )
    assert after.changed_since(before) == ("quotes",)
    assert before.changed_since(before) == ()
