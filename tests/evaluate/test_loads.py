"""The loads are what they are said to be, the same for every server and in every round."""

from __future__ import annotations

import pytest

from kit.evaluate.embedding import make_pages
from kit.evaluate.loads import FULL, QUICK, TITLES, capacity_load, make_load
from kit.evaluate.prose import Writer


@pytest.mark.parametrize("key", TITLES)
def test_a_load_is_the_same_every_time(key: str) -> None:
    """Word for word and arrival for arrival."""
    loads = [make_load(key, FULL, arrivals_per_s=3.0) for _ in range(2)]
    assert loads[0] == loads[1]
    assert loads[0].title == TITLES[key]


def test_people_ask_about_different_passages_or_the_same() -> None:
    """In b nobody shares a passage or a namespace; in c all share both, and no question."""
    different, same = make_load("b", FULL).scripts, make_load("c", FULL).scripts
    assert len(different) == len(same) == FULL.people
    beginnings = [{script.turns[0][:200] for script in scripts} for scripts in (different, same)]
    assert [len(found) for found in beginnings] == [FULL.people, 1]
    assert len({script.namespace for script in different}) == FULL.people
    assert {script.namespace for script in same} == {"everyone"}
    assert len({script.turns[0] for script in same}) == FULL.people


def test_prompts_have_about_the_wanted_length() -> None:
    """1,500 tokens are some 1,000 words of English."""
    for script in make_load("b", FULL).scripts:
        assert 900 <= len(script.turns[0].split()) <= 1100
        assert script.turns[0].count("<passage ") == FULL.passages


def test_conversations_have_five_turns() -> None:
    """The first with passages, the later ones short; d2 has twice the people."""
    talks = make_load("d", FULL).scripts
    assert [len(script.turns) for script in talks] == [5] * FULL.people
    assert all(script.is_conversation for script in talks)
    assert max(len(turn.split()) for script in talks for turn in script.turns[1:]) < 30
    assert len(make_load("d2", FULL).scripts) == 2 * FULL.people


def test_embedding_runs_beside_the_very_load_b() -> None:
    """Only so can e be compared with b."""
    assert make_load("e", FULL).scripts == make_load("b", FULL).scripts
    assert make_load("e", FULL).is_beside_embedding


def test_storm_arrives_at_the_wanted_rate() -> None:
    """Ten people a second for a minute are 600, give or take three standard deviations."""
    storm = make_load("f", FULL, arrivals_per_s=10.0).scripts
    assert 600 - 74 <= len(storm) <= 600 + 74
    starts = [script.start_s for script in storm]
    assert starts == sorted(starts)
    assert starts[0] > 0
    assert starts[-1] < FULL.storm_s
    assert len({script.person for script in storm}) == len(storm)


def test_capacity_is_measured_with_questions_like_the_storms() -> None:
    """As long, and as many answers at a time as there are slots."""
    calm, storm = capacity_load(QUICK).scripts, make_load("f", QUICK, arrivals_per_s=5).scripts
    assert len(calm) == QUICK.people
    assert {script.max_tokens for script in (*calm, *storm)} == {QUICK.storm_tokens}
    lengths = [len(turn.split()) for script in (*calm, *storm) for turn in script.turns]
    assert max(lengths) < 2 * min(lengths) + 20


def test_prose_is_sentences_without_holes() -> None:
    """Every slot is filled, every sentence begins with a capital and ends with a full stop."""
    text = Writer(1).passage(5000)
    assert "{" not in text
    assert all(part[0].isupper() for part in text.split(". "))
    assert text.endswith(".")
    assert 5000 <= len(text.split()) < 5040


def test_pages_to_embed_differ() -> None:
    """No page is embedded from a cache."""
    pages = make_pages(20)
    assert len({chunk for page in pages for chunk in page}) == 60
