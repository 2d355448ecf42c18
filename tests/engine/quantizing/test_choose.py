"""The rule that chooses a quantization type from its speed and its loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.quantizing.choose import TIE_SHARE, Candidate, choose_type
from kit.engine.quantizing.loss import DEFAULT_MAX_KL
from kit.errors import ModelError
from tests.engine.quantizing.figures import candidate

FIGURES = st.builds(
    candidate,
    st.sampled_from(["Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"]),
    st.floats(10, 1000),
    st.floats(1, 100),
    st.floats(0, 0.3),
)


def test_the_soonest_of_the_allowed_types_is_taken() -> None:
    """A type that loses more than is allowed is not taken, however fast it is."""
    found = [
        candidate("Q2_K", 900, 150, 0.6),
        candidate("Q4_0", 676, 98, 0.07),
        candidate("Q8_0", 453, 63, 0.001),
    ]
    assert choose_type(found, "F16").chosen.type_name == "Q4_0"
    assert choose_type(found, "F16", max_kl=0.05).chosen.type_name == "Q8_0"
    assert choose_type(found, "F16", max_kl=1.0).chosen.type_name == "Q2_K"


def test_a_loss_at_the_limit_is_allowed() -> None:
    """The limit is the most that is allowed, and a card without one allows the stated constant."""
    at_limit = candidate("Q4_0", 676, 98, DEFAULT_MAX_KL)
    assert choose_type([at_limit], "F16").max_kl == DEFAULT_MAX_KL
    with pytest.raises(ModelError, match="every type loses more"):
        choose_type([candidate("Q4_0", 676, 98, DEFAULT_MAX_KL * 1.01)], "F16")


def test_ties_go_to_the_smaller_loss() -> None:
    """Types within three hundredths of the soonest are told apart by what they lose."""
    soonest = candidate("Q4_0", 600, 60, 0.08)
    near = candidate("Q4_K_M", 590, 59, 0.03)
    far = candidate("Q8_0", 540, 54, 0.001)
    assert choose_type([soonest, near, far], "F16").chosen.type_name == "Q4_K_M"


def test_prompt_and_answer_decide_what_is_fast() -> None:
    """A type that reads fast wins for long prompts, one that writes fast for long answers."""
    reads, writes = candidate("Q8_0", 900, 20, 0.01), candidate("Q4_0", 300, 90, 0.01)
    assert choose_type([reads, writes], "F16", prompt_tokens=6000, answer_tokens=50).chosen is reads
    assert choose_type([reads, writes], "F16", prompt_tokens=50, answer_tokens=900).chosen is writes


def test_a_refusal_shows_each_loss() -> None:
    """Where every type loses too much, the error has the figures to decide by."""
    found = [candidate("Q4_0", 676, 98, 0.31), candidate("Q8_0", 453, 63, 0.12)]
    with pytest.raises(ModelError) as refused:
        choose_type(found, "F16", max_kl=0.05)
    assert "Q4_0 0.310, Q8_0 0.120" in refused.value.message
    assert refused.value.hint


def test_a_choice_says_what_losses_are_relative_to() -> None:
    """A source that was quantized before hides what it had lost: the choice says so."""
    one = [candidate("Q8_0", 453, 63, 0.0)]
    assert choose_type(one, "Q4_1").is_relative
    assert not choose_type(one, "BF16").is_relative


@given(st.lists(FIGURES, min_size=1, max_size=6), st.floats(0, 0.3))
def test_no_allowed_type_is_much_sooner(found: list[Candidate], max_kl: float) -> None:
    """What is chosen is allowed, within the tie of the soonest, and none as soon loses less."""
    allowed = [one for one in found if one.loss.mean_kl <= max_kl]
    if not allowed:
        with pytest.raises(ModelError):
            choose_type(found, "F16", max_kl=max_kl)
        return
    choice = choose_type(found, "F16", max_kl=max_kl)
    assert choice.candidates == tuple(found)
    assert choice.chosen in allowed
    seconds = choice.chosen.speed.seconds()
    soonest = min(one.speed.seconds() for one in allowed)
    assert seconds <= soonest * (1 + TIE_SHARE)
    for one in allowed:
        if one.speed.seconds() <= seconds:
            assert one.loss.mean_kl >= choice.chosen.loss.mean_kl
