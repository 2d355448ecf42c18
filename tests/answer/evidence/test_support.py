"""What the passages support is told from what a model invents."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.evidence.passages import cut_passages
from kit.answer.evidence.support import SupportCheck
from kit.library.documents import Hit
from kit.testing import FakeEmbedder


def test_the_labelled_statements_are_judged_right(office) -> None:
    """Every true statement about the office is supported and no false one is, by words alone."""
    check = SupportCheck(cut_passages(office.passage_hits()), None, None)
    judged = {text: check(text).support == "supported" for text, _ in office.STATEMENTS}
    assert judged == dict(office.STATEMENTS)


def test_the_run_is_what_supports(office) -> None:
    """The evidence of a supported statement is the sentence that says it."""
    check = SupportCheck(cut_passages(office.passage_hits()), None, None)
    verdict = check("A berth licence is valid for 18 months.")
    assert [unit.text for unit in verdict.run] == [
        "A berth licence is valid for 18 months and may be renewed twice."
    ]


@given(number=st.integers(2, 10**6), day=st.integers(1, 28))
def test_an_invented_number_is_never_supported(number: int, day: int) -> None:
    """However alike the words, a number or date that is not there is not supported."""
    hit = Hit(
        1, 1.0, 1, "d", "d.md", None, "", 0, 60, "The daily rate is R585 and starts on 4 May.", 9
    )
    check = SupportCheck(cut_passages([hit]), None, None)
    is_there = (number, day) == (585, 4)
    said = f"The daily rate is R{number} and starts on {day} May."
    assert (check(said).support == "supported") == is_there
    assert (check(said).support == "unsupported") == (not is_there)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Alcohol is not refunded.", "Alcohol is refunded."),
        ("Alcohol is refunded.", "Alcohol is not refunded."),
        ("Visitors aren't insured.", "Visitors are insured."),
        ("The minimum stay is long.", "The maximum stay is long."),
        ("Private cars are prohibited on campus.", "Private cars are allowed on campus."),
        ("Apply before the journey begins.", "Apply after the journey begins."),
        ("The office pays staff. Ms Okoro leads it.", "Ms Adams leads the office."),
    ],
)
def test_denials_opposites_and_other_names_are_not_supported(
    text: str, sentence: str, make_hit: Callable[..., Hit]
) -> None:
    """The same words with the opposite meaning are no support."""
    check = SupportCheck(cut_passages([make_hit(text)]), None, None)
    assert check(sentence).support == "unsupported"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Claims arrive no later than 5 May.", "Claims arrive by 5 May."),
        ("At most R500 is paid, not more than once.", "At most R500 is paid."),
        ("Not only staff but also visitors may apply.", "Visitors may apply."),
    ],
)
def test_idioms_with_not_are_no_denials(
    text: str, sentence: str, make_hit: Callable[..., Hit]
) -> None:
    """'Not more than' and 'no later than' deny nothing."""
    check = SupportCheck(cut_passages([make_hit(text)]), None, None)
    assert check(sentence).support != "unsupported"


def test_the_price_of_one_thing_does_not_support_that_of_another(make_hit) -> None:
    """Numbers must stand beside what they are said of."""
    rows = "Item: Crane; Fee: R1 200\nItem: Slipway; Fee: R85"
    check = SupportCheck(cut_passages([make_hit(rows)]), None, None)
    assert check("The crane fee is R1 200.").support == "supported"
    assert check("The crane fee is R85.").support == "unsupported"


@pytest.mark.parametrize(
    ("text", "sentence", "support"),
    [
        ("The daily rate is 585.", "The daily rate is 585.", "supported"),
        ("The daily rate is 585.", "The daily rate is $585.", "partly"),
        ("The daily rate is R585.", "The daily rate is $585.", "unsupported"),
        ("The crane costs R90. The daily rate is 585.", "The daily rate is $585.", "unsupported"),
        ("The crane costs R90. The daily rate is 585.", "The daily rate is R585.", "supported"),
        ("Rates in rand. The daily rate is 585.", "The daily rate is R585.", "supported"),
        ("Daily rate (R): 585", "The daily rate is R585.", "supported"),
        ("Daily rate (USD): 585", "The daily rate is R585.", "unsupported"),
    ],
)
def test_a_currency_that_the_passage_does_not_name_is_not_supported(
    text: str, sentence: str, support: str, make_hit: Callable[..., Hit]
) -> None:
    """A bare number backs no dollars; where the passage names another currency, even less."""
    check = SupportCheck(cut_passages([make_hit(text)]), None, None)
    assert check(sentence).support == support


@pytest.mark.parametrize(
    ("place", "is_supported"),
    [
        ("page 11", False),
        ("slide 11: Rates", False),
        ("sheet Rates, rows 1-11", False),
        ("sheet Rates, row 11", False),
        ("Rates > 11 euro a day", True),
        ("slide 3: 11 euro a day", True),
    ],
)
def test_the_number_of_a_page_or_a_row_is_no_fact(make_hit, place: str, is_supported: bool) -> None:
    """What the program itself calls a place supports no sum; a heading's own words do."""
    hit = make_hit("Item: Daily allowance, full day; Rate: 585", place=place)
    check = SupportCheck(cut_passages([hit]), None, None)
    verdict = check("The daily allowance for a full day is 11.00.")
    assert (verdict.support == "supported") is is_supported


@pytest.mark.parametrize(
    ("sentence", "is_supported"),
    [
        ("The allowance of R585 is reduced by R15 for breakfast.", False),
        ("The allowance of R585 is reduced by 15% for breakfast.", True),
        ("The allowance of R585 is reduced by 15 per cent for breakfast.", True),
        ("A lunch costs R40.", True),
    ],
)
def test_a_share_is_no_sum(make_hit, sentence: str, is_supported: bool) -> None:
    """15 per cent of something is not R15, even where other sums of money stand beside it."""
    text = (
        "The allowance of R585 is reduced by 15 per cent for breakfast. A lunch costs forty rand."
    )
    check = SupportCheck(cut_passages([make_hit(text)]), None, None)
    assert (check(sentence).support == "supported") is is_supported


def test_nothing_supports_without_passages() -> None:
    """Without passages every sentence is unsupported."""
    assert SupportCheck([], None, None)("Anything at all.").support == "unsupported"


def test_a_unit_without_a_vector_gets_one_when_a_sentence_may_rest_on_it(make_hit) -> None:
    """Of a whole document few sentences are embedded for the question; what the model says of
    another is judged as if all were."""
    fillers = [f"Locker {n} stands in corridor {n + 7} beside the stairs." for n in range(40)]
    text = " ".join([*fillers, "The boat ramp opens at seven in the morning.", *fillers[:1]])
    units, embedder = cut_passages([make_hit(text)]), FakeEmbedder()
    every = embedder.embed_passages([unit.with_context for unit in units])
    few = every.copy()
    few[30:] = 0
    said = "The boat ramp opens early at seven in the morning."
    expected = SupportCheck(units, every, embedder)(said)
    assert expected.support == "supported"
    assert SupportCheck(units, few, embedder)(said) == expected
    assert not few[30:].any()  # the caller's own are left as they were
