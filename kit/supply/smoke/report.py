"""Smoke questions with their answers, and what all of them together say about the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kit.errors import Problem
from kit.supply.smoke.health import BROKEN_LOOP, repetition
from kit.supply.smoke.verdict import Outcome, Verdict

MIN_SENSE = 2  # a model of noise can hit one right answer by luck
MIN_LOOPS = 2  # one alone proves nothing, however few were asked
MOST = 0.5  # a small model may lose itself in a few greedy answers; a broken file does in most
About = Literal["health", "sense"]
"""Whether an answer is judged by its form alone, or also by what it says."""


@dataclass(frozen=True)
class SmokeAnswer:
    """One question, its answer and the verdict. `why` is empty if it passed."""

    name: str
    about: About
    asks: str
    criterion: str
    answer: str
    finish_reason: str
    is_greedy: bool
    """True if the same model on the same machine must answer the same again."""
    outcome: Outcome
    why: str


def by_numbers(
    name: str, about: About, asks: str, criterion: str, answer: str, verdict: Verdict
) -> SmokeAnswer:
    """Of a model that gives numbers and no text: nothing ended it, and it says the same again."""
    return SmokeAnswer(
        name=name,
        about=about,
        asks=asks,
        criterion=criterion,
        answer=answer,
        finish_reason="",
        is_greedy=True,
        outcome=verdict.outcome,
        why=verdict.why,
    )


def settled(answers: Sequence[SmokeAnswer]) -> tuple[SmokeAnswer, ...]:
    """The answers as all of them together make them: a few that say one piece for ever are a weak
    model's. SmolLM2-135M in Q4_0, which a first start may run, does so in one or two of thirteen,
    by the processor: its kernels round otherwise.
    """
    texts = [answer for answer in answers if answer.answer.strip()]
    loops = [a for a in texts if a.outcome == "broken" and repetition(a.answer) >= BROKEN_LOOP]
    if len(loops) >= max(MIN_LOOPS, MOST * len(texts)):
        return tuple(answers)
    return tuple(replace(a, outcome="weak") if a in loops else a for a in answers)


@dataclass(frozen=True)
class SmokeReport:
    """The answers in the order they were asked."""

    answers: tuple[SmokeAnswer, ...]

    @property
    def num_passed(self) -> int:
        return sum(answer.outcome == "passed" for answer in self.answers)

    @property
    def is_broken(self) -> bool:
        return bool(self.problems())

    def problems(self) -> list[Problem]:
        """Why the file must not be used: each broken answer, and too little sense in all."""
        found = [Problem(a.name, a.why) for a in self.answers if a.outcome == "broken"]
        sense = [answer for answer in self.answers if answer.about == "sense"]
        num_right = sum(answer.outcome == "passed" for answer in sense)
        if sense and num_right < min(MIN_SENSE, len(sense)):
            said = f"{num_right} of {len(sense)} right, at least {MIN_SENSE} expected"
            found.append(Problem("questions of sense", said))
        return found

    def changed_since(self, before: SmokeReport) -> tuple[str, ...]:
        """Names of the questions of both whose greedy answers differ."""
        known = {answer.name: answer for answer in before.answers if answer.is_greedy}
        return tuple(
            answer.name
            for answer in self.answers
            if (old := known.get(answer.name)) is not None and old.answer != answer.answer
        )
