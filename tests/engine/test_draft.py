"""Drafting: guesses come from the sequence's own words, and only while they pay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.engine.draft import NGRAM, REST_STEPS, TRIAL_STEPS, Drafter, Trial, lookup
from kit.engine.sequence import Sequence


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 8))
def test_a_guess_followed_the_same_words_before(tokens: list[int], max_tokens: int) -> None:
    """The guess stands in the tokens right after an earlier place of their last three."""
    guess = lookup(tokens, max_tokens)
    assert len(guess) <= max_tokens
    end = tokens[-NGRAM:]
    places = [
        at
        for at in range(len(tokens) - NGRAM)
        if tokens[at : at + NGRAM] == end and len(tokens) > NGRAM
    ]
    if not places or not max_tokens:
        assert guess == ()
    else:
        after = places[-1] + NGRAM
        assert list(guess) == tokens[after : after + max_tokens]


def run(trial: Trial, drafted_tok_per_s: float, steps: int) -> list[bool]:
    """What the trial does while drafting gives that speed and leaving it gives 1."""
    did = []
    for _ in range(steps):
        did.append(trial.is_drafting)
        trial.observe(1, 1 / drafted_tok_per_s if trial.is_drafting else 1.0)
    return did


def test_what_does_not_pay_is_left() -> None:
    """A machine on which checking guesses costs more than it saves drafts in trials only."""
    did = run(Trial(), 0.8, 4 * REST_STEPS)
    assert sum(did) <= 5 * TRIAL_STEPS


def test_what_pays_is_kept() -> None:
    """A machine on which it pays drafts nearly always."""
    did = run(Trial(), 1.5, 4 * REST_STEPS)
    assert sum(did) >= len(did) - 6 * TRIAL_STEPS


def test_a_machine_that_changes_is_noticed() -> None:
    """What paid once is tried again later, and left if it pays no more."""
    trial = Trial()
    run(trial, 1.5, REST_STEPS)
    did = run(trial, 0.5, 3 * REST_STEPS)
    assert sum(did[-REST_STEPS:]) <= 3 * TRIAL_STEPS


def drafter(num_decoding: int, drafted_tok_per_s: float, max_tokens: int = 8) -> Drafter:
    """One that has seen what drafting gives for up to so many answers; leaving it gives 1."""
    made = Drafter(max_tokens)
    sequences = [Sequence([*range(6), *range(3)], 3, lambda _event: None) for _ in range(3)]
    for number in range(1, num_decoding + 1):
        for _ in range(3 * TRIAL_STEPS):
            is_drafted = bool(made.propose(sequences[:number], num_reading=0))
            made.observe_step(number, 1, 1 / drafted_tok_per_s if is_drafted else 1.0)
    return made


def test_nothing_is_guessed_beside_prompts_or_past_the_limit() -> None:
    """Rows go to prompts first; a guess never passes max_tokens; 0 switches it off."""
    tokens = [1, 2, 3, 4, 5, 6, 1, 2, 3]
    sequence = Sequence(tokens, 3, lambda _event: None)
    pays = drafter(1, 2.0)
    assert pays.propose([sequence], num_reading=0) == {sequence: (4, 5)}
    assert pays.propose([sequence], num_reading=1) == {}
    assert drafter(1, 2.0, max_tokens=0).propose([sequence], num_reading=0) == {}


def test_more_answers_are_guessed_only_where_it_paid_for_fewer() -> None:
    """Two answers are not tried before one was, nor after it did not pay for one."""
    pair = [Sequence([*range(6), *range(3)], 3, lambda _event: None) for _ in range(2)]

    def tries(made: Drafter) -> bool:
        tried = False
        for _ in range(3 * TRIAL_STEPS):
            tried |= bool(made.propose(pair, num_reading=0))
            made.observe_step(2, 1, 1.0)
        return tried

    assert not tries(Drafter())
    assert not tries(drafter(1, 0.5))
    assert tries(drafter(1, 2.0))
