"""Answers that no sound model gives are told from answers that are merely poor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.supply.smoke.health import MIN_LOOP_CHARS, health, repetition, scripts
from kit.supply.smoke.reply import Reply

SOUND = [
    "Hello, and welcome to the team!",
    "Paris",
    "4",
    "Yes.",
    "watermelon watermelon",
    "图书馆是收藏书籍供人借阅的地方。",
    "'n Biblioteek is 'n plek waar mense boeke kan leen.",
    "東京は日本の首都です。カタカナも漢字もひらがなも使います。",
    'x = [1, 2, 3]\nprint(x["a"] < 3 and x > 2)\n\n| a | b |\n|---|---|',
    "Apples, bananas, cherries 🍎🍌👩‍🔬 — and “quoted” ones…",
    "The user said that the system has a model and an assistant.",
    "Ha ha ha ha!",
    "----------\nA heading\n----------\nand then some text below it that goes on for a while",
    "α + β = γ, as the Greeks wrote, and Иван agreed.",
]
BROKEN = {
    "a control token": "Hello!<|im_end|>",
    "a full-width control token": "你好<｜end▁of▁sentence｜>",
    "the end of a sentence": "Hello!</s>",
    "an instruction mark": "[INST] Say hello [/INST] Hello",
    "a turn mark": "Hello<end_of_turn>",
    "a turn whose marks were silent": "Hello!\nuser\nSay hello to",
    "an answer that begins with its role": "assistant\nHello!",
    "byte tokens": "Hel<0x0A>lo",
    "the vocabulary's spaces": "ĠHelloĠandĠwelcome",
    "the vocabulary's own line breaks": "HelloĊandĊwelcome",
    "sentencepiece's spaces": "▁Hello▁and▁welcome",
    "padding": "[PAD][PAD]",
    "token 0 for ever": "!" * 64,
    "a word for ever": "the the the the the the the the the",
    "a phrase for ever": "I am a model. " * 9,
    "broken UTF-8": "Hel\ufffdlo",
    "control characters": "Hello\x00\x01\x02",
    "unassigned characters": "Hello \U000e0080",
    "private characters": "Hello \ue000\ue001",
    "noise of all scripts": "tion ский 的 הו ัน 에서 للم der",
}


@pytest.mark.parametrize("text", SOUND)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_what_people_write_is_sound(text: str, finish_reason: str) -> None:
    """Short, foreign, formatted, repeating or odd: none of it is held against the file."""
    assert health(Reply(text, finish_reason=finish_reason)).outcome == "passed"


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_a_broken_file_writes_is_broken(text: str) -> None:
    """Each kind of damage is named."""
    verdict = health(Reply(text, finish_reason="length"))
    assert verdict.outcome == "broken"
    assert verdict.why


def test_a_poor_answer_is_weak() -> None:
    """Nothing, or a loop after a beginning of its own, is what small models do."""
    assert health(Reply("  \n", finish_reason="stop")).outcome == "weak"
    start = "A library lends books to the people of a town, and it keeps them dry. "
    assert health(Reply(start + "It is a place. " * 5, finish_reason="length")).outcome == "weak"


def test_thoughts_that_take_all_tokens_are_weak() -> None:
    """A model that thinks too long is not broken; one whose thoughts are noise is."""
    thought = "The person wants a greeting. I should be friendly and short."
    assert health(Reply("", thought, "length")).outcome == "weak"
    assert health(Reply("", "!" * 64, "length")).outcome == "broken"


def test_a_character_cut_at_the_limit_is_no_fault() -> None:
    """Half a character at the end of a cut text is the limit's doing; elsewhere it is a fault."""
    assert health(Reply("图书馆\ufffd", finish_reason="length")).outcome == "passed"
    assert health(Reply("图书馆\ufffd", finish_reason="stop")).outcome == "broken"


def test_errors_of_the_engine() -> None:
    """A failure is broken; a prompt that is too long for the model, or slowness, is not."""
    assert health(Reply(error="the engine failed with status 500")).outcome == "broken"
    assert health(Reply(error="too long", error_code="context_length_exceeded")).outcome == "weak"
    assert health(Reply(error="no answer within 900 s", error_code="timeout")).outcome == "weak"


@given(st.text(alphabet="abcdefgh-", min_size=1, max_size=20), st.integers(4, 12))
def test_any_piece_for_ever_is_a_repetition(piece: str, times: int) -> None:
    """Whatever is said four times or more, and nothing else, is all repetition."""
    text = piece * times
    assert repetition(text) == (1.0 if len(text) >= MIN_LOOP_CHARS else 0.0)


@given(st.lists(st.integers(0, 10**6), min_size=5, max_size=40, unique=True))
def test_counting_is_no_repetition(numbers: list[int]) -> None:
    """Different numbers in a row are not one piece over and over."""
    assert repetition(", ".join(map(str, sorted(numbers)))) < 0.8


def test_scripts_are_counted_by_letters() -> None:
    """Digits and marks have no script; Japanese counts as one."""
    assert scripts("Ab 12, ç!") == {"LATIN": 3}
    assert set(scripts("東京とカナ")) == {"CJK"}
