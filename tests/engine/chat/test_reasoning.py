"""Reasoning and answer, told apart while they stream."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.chat.reasoning import ReasoningSplitter, opens_reasoning


def split(text: str, places: list[int], *, is_inside: bool = False) -> tuple[str, str]:
    """(answer, reasoning) of `text` fed in pieces cut at `places`."""
    marks = sorted({place % (len(text) + 1) for place in places})
    splitter = ReasoningSplitter(is_inside=is_inside)
    pieces = [
        splitter.feed(text[a:b]) for a, b in zip([0, *marks], [*marks, len(text)], strict=True)
    ]
    pieces.append(splitter.flush())
    return "".join(p.text for p in pieces), "".join(p.reasoning for p in pieces)


plain = st.text(alphabet="ab <>/think\n", max_size=20).filter(
    lambda text: "think>" not in text and not text.endswith("<")
)


@settings(deadline=None)
@given(before=plain, thought=plain, answer=plain, places=st.lists(st.integers(0, 99), max_size=30))
def test_tags_split_over_tokens_are_found(
    before: str, thought: str, answer: str, places: list[int]
) -> None:
    """Wherever tokens cut the text, the parts are those of the uncut text, and no tag is shown."""
    text = f"{before}<think>{thought}</think>{answer}"
    got = split(text, places)
    assert got == split(text, [])
    assert got[0] == before + answer.lstrip()
    assert got[1] == thought.lstrip()
    assert "think>" not in got[0] + got[1]


@pytest.mark.parametrize(
    ("text", "is_inside", "expected"),
    [
        ("Paris.", False, ("Paris.", "")),
        ("<think>\nHm.\n</think>\n\nParis.", False, ("Paris.", "Hm.\n")),
        ("Hm.\n</think>\n\nParis.", True, ("Paris.", "Hm.\n")),
        ("<think>\n\n</think>\n\nParis.", False, ("Paris.", "")),
        ("<think>never closed", False, ("", "never closed")),
        ("a < b and <thin air>", False, ("a < b and <thin air>", "")),
        ("One.<think>Two.</think>Three.", False, ("One.Three.", "Two.")),
        ("stray</think>text", False, ("straytext", "")),
        ("ends with <thi", False, ("ends with <thi", "")),
    ],
)
def test_the_usual_shapes(text: str, is_inside: bool, expected: tuple[str, str]) -> None:
    """Reasoning in front, opened by the template, empty, never closed, or absent."""
    for size in (1, 3, 1000):
        assert split(text, list(range(0, len(text), size)), is_inside=is_inside) == expected


def test_a_template_may_open_the_reasoning() -> None:
    """A prompt that ends in <think> means the model begins inside its reasoning."""
    assert opens_reasoning("<|Assistant|><think>\n")
    assert not opens_reasoning("<|Assistant|>")
    assert not opens_reasoning("<|Assistant|><think>\n\n</think>\n\n")
