"""The rule that chooses threads: figures in, a choice out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engine.cpu.threads import (
    AS_SET,
    DEFAULT_WAITING,
    MIN_ALONE,
    WAITINGS,
    Figures,
    best,
    counts,
    default_choice,
)

speeds = st.floats(0.01, 1e4)
figures = st.builds(
    Figures, st.sampled_from([*WAITINGS]), st.integers(1, 64), speeds, speeds, speeds, speeds
)


@given(st.lists(figures, min_size=1, max_size=9))
def test_the_choice_keeps_most_of_the_quiet_speed(found: list[Figures]) -> None:
    """Whatever was measured, a choice is made of it that decodes well enough alone."""
    choice = best(found)
    decode = [f for f in found if (f.waiting, f.n_threads) == (choice.waiting, choice.n_threads)]
    least = MIN_ALONE * max(f.decode_alone for f in found)
    assert max(f.decode_alone for f in decode) >= least
    assert (choice.waiting, choice.n_threads_batch) in {(f.waiting, f.n_threads) for f in found}


def test_a_way_that_collapses_in_company_is_not_chosen() -> None:
    """A little faster alone does not make up for ten times slower beside other work."""
    spin, brief = Figures("spin", 2, 1000, 100, 90, 5), Figures("brief", 2, 950, 95, 600, 50)
    assert best([spin, brief]).waiting == "brief"


def test_a_way_that_is_slow_alone_is_not_chosen() -> None:
    """Steady in company does not make up for half the speed on a quiet machine."""
    brief, sleep = Figures("brief", 2, 1000, 100, 100, 10), Figures("sleep", 2, 1000, 60, 1000, 60)
    assert best([brief, sleep]).waiting == "brief"


def test_prompts_and_single_tokens_have_numbers_of_their_own() -> None:
    """Prompts gain from every core where single tokens do not."""
    many, few = Figures("brief", 8, 1000, 50, 900, 30), Figures("brief", 4, 600, 60, 500, 50)
    choice = best([many, few])
    assert (choice.n_threads, choice.n_threads_batch) == (4, 8)


def test_nothing_measured_is_no_choice() -> None:
    """The rule does not invent figures."""
    with pytest.raises(ValueError, match="nothing"):
        best([])


@pytest.mark.parametrize(
    ("n_cores", "expected"), [(1, [1]), (2, [2, 1]), (3, [3, 2, 1]), (64, [64, 63, 32])]
)
def test_few_numbers_are_tried(n_cores: int, expected: list[int]) -> None:
    """All cores first, never none."""
    assert counts(n_cores) == expected


def test_the_default_leaves_alone_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's variables are the administrator's."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert (default_choice(3).waiting, default_choice(3).n_threads) == (DEFAULT_WAITING, 3)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert default_choice(3).waiting == AS_SET
