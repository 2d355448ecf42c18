"""Facts have one normal form, and a missing fact is found missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.evidence.facts import facts, missing_names, missing_values


def lacks(sentence: str, evidence: str) -> bool:
    return bool(missing_values(facts(sentence), facts(evidence)))


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("It costs 1,500 rand.", "The rate is R1 500 per day."),
        ("It costs R1500.", "The rate is R1 500.00 per day."),
        ("On 12 March 2025.", "on 2025-03-12"),
        ("On March 12.", "12 March 2025"),
        ("On 12 March 2025.", "by 12/03/2025"),
        ("At 2 pm.", "at 14:00"),
        ("It takes twelve weeks.", "It takes 12 weeks."),
        ("It takes 125 days.", "one hundred and twenty-five days"),
        ("R4,200,000", "R4.2 million"),
        ("Half, or 50 per cent.", "50%"),
        ("On the 1st Tuesday.", "the first Tuesday"),
        ("In March.", "12 March 2025"),
        ("There is one.", "nothing here"),
        ("First, apply.", "apply"),
        ("3月5日", "on 5 March"),
        ("See HB-12.", "form hb-12"),
    ],
)
def test_two_ways_of_writing_a_fact_are_one(sentence: str, evidence: str) -> None:
    """A fact is found however it is written."""
    assert not lacks(sentence, evidence)


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("It costs R500.", "It costs R1 500."),
        ("It costs $1,500.", "It costs R1 500."),
        ("On 13 March.", "on 2025-03-12"),
        ("On 12 March 2024.", "12 March 2025"),
        ("At 2 am.", "at 14:00"),
        ("On the second Tuesday.", "the first Tuesday"),
        ("On Thursday.", "on Tuesday"),
        ("50%", "50 days"),
        ("two", "three"),
        ("See HB-13.", "form HB-12"),
        ("In April.", "12 March 2025"),
    ],
)
def test_another_fact_is_missing(sentence: str, evidence: str) -> None:
    """A fact that the evidence does not state is reported missing."""
    assert lacks(sentence, evidence)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_match_exactly_when_they_are_equal(said: int, there: int) -> None:
    """Any number supports itself, grouped or not, and no other."""
    assert lacks(f"It is {said:,}.", f"It is {there}.") == (said != there)


@given(st.text(max_size=80))
def test_every_text_supports_itself(text: str) -> None:
    """No text lacks its own facts, and none makes the reading fail."""
    own = facts(text)
    assert not missing_values(own, own)


@pytest.mark.parametrize(
    ("sentence", "evidence", "missing"),
    [
        ("The chair is Emmanuel Macron.", "The chair is Ms Okoro.", {"emmanuel", "macron"}),
        ("Macron leads it.", "Ms Okoro leads it.", {"macron"}),
        ("The NRF pays.", "The National Research Foundation pays.", set()),
        ("However, staff may apply.", "Staff may apply.", set()),
        ("The Okoros' office.", "Ms Okoro has an office.", {"okoros'"}),
        ("I think Okoro is the chair.", "the chair, Ms Okoro", set()),
    ],
)
def test_invented_names_are_missing(sentence: str, evidence: str, missing: set[str]) -> None:
    """A name that the passage does not have is reported; an opener or an acronym of it is not."""
    assert bool(missing_names(facts(sentence), evidence)) == bool(missing)
