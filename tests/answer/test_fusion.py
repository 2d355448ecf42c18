"""Two lists become one: the weighted sum, and what an unsure or unreading model weighs in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.fusion import Meanings, fuse, quoting_first
from kit.library.documents import Hit

Ranked = st.dictionaries(st.integers(1, 12), st.sampled_from([0.1, 0.2, 0.5, 0.9]), max_size=10)


@given(Ranked, Ranked, st.randoms())
def test_fuse_equals_its_definition(dense: dict, lexical: dict, random) -> None:
    """A weighted sum of cosine above the lowest and BM25 by the highest, whatever the order."""
    lists = [list(dense.items()), list(lexical.items())]
    for ranked in lists:
        random.shuffle(ranked)
    expected = dict.fromkeys({*dense, *lexical}, 0.0)
    for chunk, cosine in dense.items():
        expected[chunk] += 2 / 3 * (cosine - min(dense.values()))
    for chunk, bm25 in lexical.items():
        expected[chunk] += 1 / 3 * bm25 / max(lexical.values())
    got = fuse(*lists)
    assert dict(got) == pytest.approx(expected)
    assert got == sorted(got, key=lambda pair: (-pair[1], pair[0]))


def test_a_model_that_does_not_know_the_language_leaves_the_order_to_the_words() -> None:
    """Cosines that lie close together cannot outvote a clear best match of words."""
    unsure = [(n, 0.66 - 0.002 * n) for n in range(1, 51)]
    words = [(99, 12.0), (7, 4.0), (98, 3.0)]
    assert fuse(unsure, words)[0][0] == 99
    sure = [(n, 0.66 - 0.02 * n) for n in range(1, 31)]
    assert fuse(sure, words)[0][0] == 7  # found by both


def test_what_the_model_cannot_read_weighs_nothing() -> None:
    """The meanings' weight falls with the share of the question that the model does not know."""
    found = ((1, 0.9), (2, 0.1))
    words = [(2, 5.0)]
    half, none = Meanings(found, 0.5), Meanings(found, 1.0)
    assert Meanings(found).weight == pytest.approx(2 / 3)
    assert half.weight == pytest.approx(1 / 3)
    assert dict(fuse(half.found, words, weight=half.weight))[1] == pytest.approx(0.8 / 3)
    assert dict(fuse(none.found, words, weight=none.weight)) == {1: 0.0, 2: 1.0}


def passages(*texts: str) -> list[Hit]:
    return [
        Hit(n, 1 / n, n, f"d{n}", f"{n}.txt", None, "", 0, len(text), text, 9)
        for n, text in enumerate(texts, start=1)
    ]


def test_a_sentence_that_is_pasted_finds_its_own_place_first() -> None:
    """Line breaks, capitals and marks around it do not count; the others keep their order."""
    hits = passages("Keep receipts.", "Keep receipts for long.", "So: keep receipts\nfor a year.")
    found = quoting_first(hits, " “Keep receipts for a year.” ")
    assert [hit.rank for hit in found] == [3, 1, 2]


def test_a_few_words_are_no_quotation() -> None:
    """They stand in many passages by chance, so their order is left to the scores."""
    hits = passages("Travel rules differ.", "The policy of travel: rules for travel.")
    assert quoting_first(hits, "rules for travel") == hits
