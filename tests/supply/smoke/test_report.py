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


def test_a_few_answers_without_end_are_weak_and_most_are_broken() -> None:
    """Loops in two of thirteen are a small model's; in half the file's. Other faults stay."""
    loop = {"answer": "The fund. " * 30, "outcome": "broken", "why": "one piece over and over"}

    def with_loops(number: int) -> tuple[SmokeAnswer, ...]:
        return (*(replace(a, **loop) for a in ANSWERS[:number]), *ANSWERS[number:])

    for number in (1, 2, (len(ANSWERS) - 1) // 2):
        found = settled(with_loops(number))
        assert [answer.outcome for answer in found[:number]] == ["weak"] * number
        assert not any(answer.outcome == "broken" for answer in found)
    most = with_loops((len(ANSWERS) + 1) // 2)
    assert settled(most) == most
    assert settled(with_loops(1)[:1])[0].outcome == "weak"  # one alone proves nothing
    marked = replace(ANSWERS[1], outcome="broken", why="a mark")
    (first, second, *_) = settled((with_loops(1)[0], marked, *ANSWERS[2:]))
    assert (first.outcome, second.outcome) == ("weak", "broken")


def test_changed_answers_are_named() -> None:
    """Greedy answers that differ are named; sampled ones may differ, new questions are new."""
    before = SmokeReport(ANSWERS[:-1])
    changed = {"quotes": "Another sentence.", "sampled": "Plums."}
    after = SmokeReport(
        tuple(replace(answer, answer=changed.get(answer.name, answer.answer)) for answer in ANSWERS)
    )
    assert after.changed_since(before) == ("quotes",)
    assert before.changed_since(before) == ()
