"""A model's stream is cut into sentences and reasoning, however its pieces fall."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kit.answer.stream import SentenceBuffer, ThinkSplitter

TEXT = "Before. <think>I wonder. Is it <so?</think>The rate is R1.50. It rose!\nNext < line 3. End"


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 200)))
def test_reasoning_is_split_off_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    """Text and reasoning do not depend on how the stream was cut into pieces."""
    splitter = ThinkSplitter()
    got = [splitter.feed(piece) for piece in pieces_of(TEXT, cuts)] + [splitter.flush()]
    assert "".join(reasoning for _, reasoning in got) == "I wonder. Is it <so?"
    assert "".join(text for text, _ in got).startswith("Before. The rate is R1.50.")


@given(st.lists(st.integers(0, 200)))
def test_sentences_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    """Every sentence comes out once, whole and in order."""
    text = "The rate is R1.50. See e.g. Dr. Smith there. It rose!\nNext line 3. End"
    buffer = SentenceBuffer()
    got = [s for piece in pieces_of(text, cuts) for s in buffer.feed(piece)] + buffer.flush()
    assert "".join("".join(got).split()) == "".join(text.split())


def test_a_sentence_comes_as_soon_as_the_next_begins() -> None:
    """A complete sentence is given out before the stream ends."""
    buffer = SentenceBuffer()
    assert buffer.feed("It is open. It cl") == ["It is open."]
    assert buffer.feed("oses") == []
    assert buffer.flush() == ["It closes"]
