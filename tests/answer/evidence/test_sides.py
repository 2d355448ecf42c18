"""Which side of a limit a sentence speaks of, and that it is asked about the same side."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.evidence.evidence import find_evidence
from kit.answer.evidence.questions import read_question
from kit.answer.evidence.sides import Range, is_other_side, ranges
from kit.library.documents import Hit

INF = math.inf


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("up to R5,000,000 are", Range("zar", -INF, 5_000_000, True)),
        ("above R50 000 and up to R500 000", Range("zar", 50_000, 500_000, True, True)),
        ("exceeding USD 500 a night", Range("usd", 500, INF, True, True)),
        ("fees of R1.5 million or more", Range("zar", 1_500_000, INF, True)),
        ("flights of more than ten hours", Range("hour", 10, INF, True, True)),
        ("not more than 20 % of it", Range("pct", -INF, 20, True)),
        ("no more than thirty-five pages", Range("pag", -INF, 35, True)),
        ("groups of 12 or fewer people", Range("peopl", -INF, 12, True)),
        ("fewer than 3 reviewers", Range("reviewer", -INF, 3, True, True)),
        ("at least 5 working days", Range("dai", 5, INF, True)),
        ("a stay of four nights", Range("night", 4, 4, False)),
        ("more than sixteen hours", Range("hour", 16, INF, True, True)),
        ("at most seventy-six pages", Range("pag", -INF, 76, True)),
    ],
)
def test_limits_are_read(text: str, found: Range) -> None:
    """The unit, both ends, and whether the end counts; figures and words alike."""
    assert ranges(text) == [found]


@pytest.mark.parametrize("text", ["", "section 4.2", "in 2025", "1.500 km", "Room 12", "5 or 6"])
def test_what_is_no_quantity_has_no_range(text: str) -> None:
    """A number without a unit, or one that two countries read differently."""
    assert [one for one in ranges(text) if one.is_limit] == []


@pytest.mark.parametrize(
    ("question", "text", "is_other"),
    [
        ("Who signs applications above R5,000,000?", "Up to R5,000,000 the Director signs.", True),
        ("Who signs applications above R5,000,000?", "Above R5,000,000 the Rector signs.", False),
        ("Who approves a purchase of R60,000?", "The head approves up to R50,000.", True),
        ("Who approves a purchase of R50,000?", "The head approves up to R50,000.", False),
        ("Who approves a purchase of R50,000?", "The dean approves more than R50,000.", True),
        ("Which class for a flight of ten hours?", "Business for more than ten hours.", True),
        ("Which class for a flight of ten hours?", "Economy for up to ten hours.", False),
        ("What happens above 300 words?", "The summary has at most 300 words.", True),
        ("What happens above 300 words?", "The text has at most 500 words.", False),
        ("What happens above 300 words?", "The summary has at most 2 pages.", False),
        ("What share was funded without review?", "With review: 44 per cent.", True),
        ("What share was funded with review?", "Without review: 22 per cent.", True),
        ("What share was funded without review?", "Without review: 22 per cent.", False),
        ("What was funded without review?", "Nothing with review, 5 without.", False),
        # The limit is the answer where an amount is asked for, or yes or no.
        ("May a hotel cost more than R2,000?", "Hotels are paid up to R2,000.", False),
        ("How much of my R60,000 may go to travel?", "Travel takes up to R20,000.", False),
        ("How long may a stay of 30 days be extended?", "By at most 10 days.", False),
    ],
)
def test_the_other_side(question: str, text: str, is_other: bool) -> None:
    """What is asked lies outside the sentence's limits, or it says 'with' for 'without'."""
    assert is_other_side(read_question(question), text) is is_other


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read(question: str, text: str) -> None:
    """No text breaks the reading, and a text without numbers has no limits."""
    is_other_side(read_question(f"Who {question}"), text)
    if not any(letter.isdigit() for letter in text):
        assert all(one.high <= 1e9 or one.high == INF for one in ranges(text))


def test_the_answer_is_for_the_side_that_was_asked(make_hit) -> None:
    """Of two sentences that differ by the side, the right one is quoted; the wrong one alone is no
    answer, and stays the closest passage."""
    below = "Applications up to R5,000,000 are signed by the Director, Dr Johan Esterhuyse."
    above = "Applications above that sum are signed by the Rector, Prof. Lindiwe Mabaso."
    question = "Who signs applications above R5,000,000?"
    both: list[Hit] = [make_hit(f"{below} {above}")]
    assert [unit.text for unit in find_evidence(question, both, None).best][-1] == above
    alone = find_evidence(question, [make_hit(below)], None)
    assert not alone.is_answered
    assert alone.closest is not None
    assert alone.closest.text == below
    assert find_evidence(question.replace("above", "of"), [make_hit(below)], None).is_answered
