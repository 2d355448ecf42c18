"""The questions for models that write text, and what a right answer to each is.

Greedy unless said otherwise, short, and of a kind that even the smallest instruct model has seen.
The texts are fixed: a change makes every passport's answers incomparable.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.supply.smoke.health import LENGTH, health, scripts
from kit.supply.smoke.reply import Reply
from kit.supply.smoke.report import About, SmokeAnswer
from kit.supply.smoke.verdict import PASSED, Verdict, broken, passed_if, worse

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
MAX_TOKENS = 64
THINKING_TOKENS = 384  # on top, for a model that thinks before it answers
NUM_LOGPROBS = 5
MIN_QUOTED_WORDS = 8

PASSAGE = (
    "The Karoo Science Fund was founded in Beaufort West in 1987. "
    "In 2026 it paid 48250 rand to the groundwater project. "
    "Its office moved to Cape Town last year."
)
NEEDLE = "The code of the archive door is 7319."
FORM = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 40}, "year": {"type": "integer"}},
    "required": ["city", "year"],
    "additionalProperties": False,
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FUNCTION_WORDS = {
    "en": {"a", "the", "is", "are", "of", "and", "to", "in", "that", "for", "it", "or", "with"},
    "af": {"'n", "die", "is", "en", "van", "vir", "om", "te", "wat", "boeke", "mense", "kan"},
}
Judge = Callable[[Reply], Verdict]


@dataclass(frozen=True)
class ChatQuestion:
    """One question. `judge` is asked only about answers that show no fault of the file."""

    name: str
    criterion: str
    judge: Judge
    messages: tuple[tuple[str, str], ...] = ()
    """(role, content); without any it is a plain completion of `prompt`."""
    prompt: str = ""
    about: About = "sense"
    language: str = ""
    """Asked only of models that claim it; empty = of all."""
    max_tokens: int = MAX_TOKENS
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return CHAT if self.messages else COMPLETION

    @property
    def asks(self) -> str:
        """As a person reads it: the message, the conversation, or what is to be continued."""
        if len(self.messages) > 1:
            return "\n".join(f"{role}: {text}" for role, text in self.messages)
        return self.messages[0][1] if self.messages else self.prompt

    @property
    def is_greedy(self) -> bool:
        return not self.options.get("temperature")

    def body(self, *, thinks: bool) -> dict[str, Any]:
        """The request. `thinks`: the model reasons first, which is switched off where it can be."""
        body: dict[str, Any] = {"temperature": 0, "max_tokens": self.max_tokens, **self.options}
        if not self.messages:
            return body | {"prompt": self.prompt}
        body["messages"] = [{"role": role, "content": text} for role, text in self.messages]
        if thinks:
            body["max_tokens"] += THINKING_TOKENS
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return body

    def answered(self, reply: Reply) -> SmokeAnswer:
        """The reply with its verdict."""
        verdict = health(reply)
        if not reply.error:
            verdict = worse(verdict, self.judge(reply))
        return SmokeAnswer(
            name=self.name,
            about=self.about,
            asks=self.asks,
            criterion=self.criterion,
            answer=reply.text,
            finish_reason=reply.finish_reason,
            is_greedy=self.is_greedy,
            outcome=verdict.outcome,
            why=verdict.why,
        )


# -- criteria ------------------------------------------------------------------------------------


def _is_not_empty(reply: Reply) -> Verdict:
    if reply.text.strip() or (reply.reasoning.strip() and reply.finish_reason == LENGTH):
        return PASSED
    return broken("the answer to a greeting is empty")


def _ends(reply: Reply) -> Verdict:
    return passed_if(reply.finish_reason == "stop", "it did not end by itself")


def _is_any(_reply: Reply) -> Verdict:
    return PASSED


def _says(*words: str) -> Judge:
    """Passed if one of the words is in the answer, in capitals or not."""

    def judge(reply: Reply) -> Verdict:
        is_said = any(word.lower() in reply.text.lower() for word in words)
        return passed_if(is_said, f"{words[0]!r} is not in the answer")

    return judge


def _has_number(number: str) -> Judge:
    """Passed if the number is there, however its thousands are grouped."""

    def judge(reply: Reply) -> Verdict:
        digits = re.sub(r"(?<=\d)[ ,.'\u00a0\u202f](?=\d{3}\b)", "", reply.text)
        is_there = re.search(rf"(?<!\d){number}(?!\d)", digits) is not None
        return passed_if(is_there, f"the number {number} is not in the answer")

    return judge


def _quotes(reply: Reply) -> Verdict:
    num = longest_quotation(reply.text, PASSAGE)
    wanted = f"{MIN_QUOTED_WORDS} words of the passage in a row expected, {num} observed"
    return passed_if(num >= MIN_QUOTED_WORDS, wanted)


def longest_quotation(text: str, passage: str) -> int:
    """The most words in a row that both have."""
    said, source = (re.findall(r"\w+", words.lower()) for words in (text, passage))
    longest = 0
    for start in range(len(said)):
        for at in range(len(source)):
            num = 0
            while said[start + num : start + num + 1] == source[at + num : at + num + 1] != []:
                num += 1
            longest = max(longest, num)
    return longest


def _fills_form(reply: Reply) -> Verdict:
    if reply.finish_reason == LENGTH:  # its grammar cannot close what the model keeps open
        return passed_if(False, "the form was not finished")
    try:
        form = json.loads(reply.text)
    except ValueError:
        return broken("the answer is no JSON, though its grammar allows nothing else")
    is_of_form = isinstance(form, dict) and set(form) == {"city", "year"}
    if not is_of_form or not isinstance(form["city"], str) or type(form["year"]) is not int:
        return broken("the JSON is not of the schema, though its grammar allows nothing else")
    is_right = form["year"] == 1987 and "beaufort west" in form["city"].lower()
    return passed_if(is_right, "Beaufort West and 1987 expected")


def _chooses(reply: Reply) -> Verdict:
    if reply.text not in DAYS:
        return broken("the answer is no day, though its grammar allows nothing else")
    return passed_if(reply.text == "Wednesday", "Wednesday expected")


def _has_finite_logprobs(reply: Reply) -> Verdict:
    if not reply.logprobs:
        return passed_if(False, "no token, so no probability")
    if not all(math.isfinite(number) and number <= 1e-3 for number in reply.logprobs):
        return broken("probabilities that are no numbers from 0 to 1")
    return PASSED


def _is_language(language: str) -> Judge:
    """By script, and by function words where the script tells nothing."""

    def judge(reply: Reply) -> Verdict:
        letters = scripts(reply.text)
        script = "CJK" if language == "zh" else "LATIN"
        share = letters[script] / max(1, letters.total())
        is_right = share >= (0.5 if language == "zh" else 0.9)
        if language in FUNCTION_WORDS:
            words = set(re.findall(r"'?\w+", reply.text.lower().replace("’", "'")))
            is_right = is_right and len(words & FUNCTION_WORDS[language]) >= 2
        return passed_if(is_right, f"the answer is not in the language asked for ({language})")

    return judge


# -- the questions -------------------------------------------------------------------------------


def _user(text: str) -> tuple[tuple[str, str], ...]:
    return (("user", text),)


def haystack() -> str:
    """Some 490 words with the needle past their middle."""
    shelves = [
        f"Shelf {number} of the archive holds the letters of {who}, in {colour} boxes."
        for number, (who, colour) in enumerate(
            (
                (who, colour)
                for colour in ("grey", "brown", "green", "white")
                for who in ("the botanists", "the geologists", "the registrar", "the choir")
            ),
            start=1,
        )
    ]
    others = [f"Nobody has asked for shelf {number} this year." for number in range(1, 33)]
    sentences = [*shelves, *others]
    return " ".join([*sentences[:30], NEEDLE, *sentences[30:]])


QUESTIONS: Sequence[ChatQuestion] = (
    ChatQuestion(
        "not-empty",
        "there is an answer",
        _is_not_empty,
        _user("Say hello to a new colleague in one sentence."),
        about="health",
    ),
    ChatQuestion(
        "ends",
        f"it ends by itself within {MAX_TOKENS} tokens",
        _ends,
        _user("What is the capital of France? Answer with one word."),
        about="health",
    ),
    ChatQuestion(
        "repeats-a-word",
        "'watermelon' is in the answer",
        _says("watermelon"),
        _user("Repeat this word and write nothing else: watermelon"),
    ),
    ChatQuestion(
        "copies-a-number",
        "the number 48250 is in the answer",
        _has_number("48250"),
        _user(f"{PASSAGE}\n\nHow many rand did the fund pay to the groundwater project?"),
    ),
    ChatQuestion(
        "quotes",
        f"at least {MIN_QUOTED_WORDS} words in a row are the passage's own",
        _quotes,
        _user(f"{PASSAGE}\n\nQuote the sentence that says when the fund was founded."),
    ),
    ChatQuestion(
        "fills-a-form",
        "JSON of the schema, with Beaufort West and 1987",
        _fills_form,
        _user(f"{PASSAGE}\n\nIn which city and year was the fund founded? Answer as JSON."),
        options={
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "founding", "schema": FORM, "strict": True},
            }
        },
    ),
    ChatQuestion(
        "chooses",
        "of the seven days, Wednesday",
        _chooses,
        _user("Which day comes after Tuesday?"),
        options={"grammar": "root ::= " + " | ".join(f'"{day}"' for day in DAYS)},
    ),
    ChatQuestion(
        "continues",
        "'Thursday' follows, without any template",
        _says("Thursday"),
        prompt="The days of the week are Monday, Tuesday, Wednesday,",
        max_tokens=12,
    ),
    ChatQuestion(
        "remembers",
        "the name of the first message is in the answer to the third",
        _says("Thandi"),
        (
            ("user", "My name is Thandi."),
            ("assistant", "Nice to meet you, Thandi. How can I help?"),
            ("user", "What is my name?"),
        ),
    ),
    ChatQuestion(
        "finds",
        "the number 7319, from the middle of some 490 words",
        _has_number("7319"),
        _user(f"{haystack()}\n\nWhat is the code of the archive door?"),
    ),
    ChatQuestion(
        "sampled",
        "at temperature 0.8 the answer shows no fault either",
        _is_any,
        _user("Name three fruits."),
        about="health",
        options={"temperature": 0.8, "top_p": 0.95, "seed": 7},
    ),
    ChatQuestion(
        "probabilities",
        "the probabilities of the tokens are numbers from 0 to 1",
        _has_finite_logprobs,
        prompt="The sky is",
        about="health",
        max_tokens=4,
        options={"logprobs": NUM_LOGPROBS},
    ),
    ChatQuestion(
        "answers-in-english",
        "the answer is in English",
        _is_language("en"),
        _user("What is a library? Answer in one English sentence."),
        language="en",
    ),
    ChatQuestion(
        "answers-in-chinese",
        "at least half of the letters are Chinese",
        _is_language("zh"),
        _user("图书馆是什么？请用一句中文回答。"),
        language="zh",
    ),
    ChatQuestion(
        "answers-in-afrikaans",
        "the answer is in Afrikaans",
        _is_language("af"),
        _user("Wat is 'n biblioteek? Antwoord in een sin in Afrikaans."),
        language="af",
    ),
)


def questions_for(languages: Sequence[str]) -> Iterator[ChatQuestion]:
    """Those that a model of these languages is asked; "multilingual" claims every language."""
    for question in QUESTIONS:
        if not question.language or {question.language, "multilingual"} & set(languages):
            yield question
