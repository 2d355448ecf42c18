"""The questions: what passes, what is weak, what is broken, and who is asked what."""

from __future__ import annotations

import pytest

from kit.supply.smoke.chat import (
    PASSAGE,
    QUESTIONS,
    THINKING_TOKENS,
    ChatQuestion,
    longest_quotation,
    questions_for,
)
from kit.supply.smoke.reply import Reply
from tests.supply.smoke.good_replies import GOOD

BY_NAME = {question.name: question for question in QUESTIONS}
NOISE = Reply("lant orb xq miny tero gull", finish_reason="length", logprobs=(-9.0,))
BROKEN = [
    ("not-empty", Reply("", finish_reason="stop")),
    ("not-empty", Reply(" \n ", finish_reason="stop")),
    ("fills-a-form", Reply("Beaufort West", finish_reason="stop")),
    ("fills-a-form", Reply('{"city": "Beaufort West"}', finish_reason="stop")),
    ("fills-a-form", Reply('{"city": "Beaufort West", "year": "1987"}', finish_reason="stop")),
    ("fills-a-form", Reply("", finish_reason="stop")),
    ("chooses", Reply("Wednesday!", finish_reason="stop")),
    ("chooses", Reply("", finish_reason="stop")),
    ("probabilities", Reply(" a", finish_reason="length", logprobs=(float("nan"),))),
    ("probabilities", Reply(" a", finish_reason="length", logprobs=(float("-inf"),))),
    ("probabilities", Reply(" a", finish_reason="length", logprobs=(0.7,))),
]
WEAK = [
    ("ends", Reply("Paris is the capital and", finish_reason="length")),
    ("repeats-a-word", Reply("Melon", finish_reason="stop")),
    ("copies-a-number", Reply("It paid 148,250 rand in 2026.", finish_reason="stop")),
    ("copies-a-number", Reply("4825", finish_reason="stop")),
    ("quotes", Reply("The fund was founded in 1987.", finish_reason="stop")),
    ("fills-a-form", Reply('{"city": "Cape Town", "year": 2026}', finish_reason="stop")),
    ("fills-a-form", Reply('{"city": "Beaufort Wes', finish_reason="length")),
    ("chooses", Reply("Sunday", finish_reason="stop")),
    ("continues", Reply(" and so on", finish_reason="length")),
    ("remembers", Reply("I do not know your name.", finish_reason="stop")),
    ("finds", Reply("There are 32 shelves.", finish_reason="stop")),
    ("probabilities", Reply("", finish_reason="stop")),
    ("answers-in-english", Reply("图书馆是借书的地方。", finish_reason="stop")),
    ("answers-in-chinese", Reply("A library is a place with books.", finish_reason="stop")),
    ("answers-in-afrikaans", Reply("A library is a place with books.", finish_reason="stop")),
    ("repeats-a-word", Reply("", finish_reason="stop")),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_good_answer_passes(question: ChatQuestion) -> None:
    """Every question can be passed, and its answer stands in the report as it was given."""
    answered = question.answered(GOOD[question.name])
    assert (answered.outcome, answered.why) == ("passed", "")
    assert answered.answer == GOOD[question.name].text
    assert answered.criterion


@pytest.mark.parametrize(("name", "reply"), BROKEN)
def test_what_no_sound_file_answers_is_broken(name: str, reply: Reply) -> None:
    """No greeting at all, what a grammar forbids, probabilities that are none."""
    answered = BY_NAME[name].answered(reply)
    assert answered.outcome == "broken"
    assert answered.why


@pytest.mark.parametrize(("name", "reply"), WEAK)
def test_a_wrong_answer_is_weak(name: str, reply: Reply) -> None:
    """What a small model gets wrong is recorded with the reason, not held against the file."""
    answered = BY_NAME[name].answered(reply)
    assert answered.outcome == "weak"
    assert answered.why


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_noise_passes_no_question_of_sense(question: ChatQuestion) -> None:
    """Made-up words, without any other fault, pass nothing that asks for sense."""
    if question.about == "sense":
        assert question.answered(NOISE).outcome != "passed"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_marks_and_errors_are_broken_everywhere(question: ChatQuestion) -> None:
    """A leaked mark or a failing engine is broken, also where the words are right."""
    good = GOOD[question.name]
    leaked = Reply(good.text + "<|im_end|>", finish_reason="stop", logprobs=good.logprobs)
    assert question.answered(leaked).outcome == "broken"
    assert question.answered(Reply(error="the engine broke off")).outcome == "broken"


def test_languages_are_asked_of_those_that_claim_them() -> None:
    """A dozen questions for everybody, one more for each language that is claimed."""
    alone = {question.name for question in questions_for(())}
    assert len(alone) == 12
    english = {question.name for question in questions_for(("en",))}
    assert english - alone == {"answers-in-english"}
    assert {q.name for q in questions_for(("multilingual",))} == set(BY_NAME)
    assert "answers-in-chinese" in {q.name for q in questions_for(("zh", "fr"))}


def test_a_model_that_thinks_gets_room_for_it() -> None:
    """Its limit is higher, and templates that can switch thoughts off are told to."""
    question = BY_NAME["ends"]
    plain, thinking = question.body(thinks=False), question.body(thinks=True)
    assert thinking["max_tokens"] == plain["max_tokens"] + THINKING_TOKENS
    assert thinking["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in plain
    assert BY_NAME["continues"].body(thinks=True) == BY_NAME["continues"].body(thinks=False)


def test_only_the_sampled_question_is_not_greedy() -> None:
    """Answers can be compared between checks, save the one that is sampled on purpose."""
    assert [q.name for q in QUESTIONS if not q.is_greedy] == ["sampled"]
    assert all(q.body(thinks=False)["temperature"] == 0 for q in QUESTIONS if q.is_greedy)


@pytest.mark.parametrize(
    ("text", "num"),
    [
        ("", 0),
        ("Nothing here", 0),
        ("Nothing of it", 1),
        ("the fund was founded in Beaufort West", 6),
        ("It says: “In 2026 it paid 48250 rand to the”", 8),
        ("founded in beaufort west in 1987 in 2026 it paid", 10),
    ],
)
def test_quotations_are_counted_in_words(text: str, num: int) -> None:
    """The longest run of words that stands in the passage, whatever the capitals and marks."""
    assert longest_quotation(text, PASSAGE) == num
