"""What is exported: questions and answers, in the order they were given.

Knows the nouns of kit.answer and no file format. Invariant: nothing is in a report that the reader
was not shown, or that is not said to have been left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kit.answer.conversations.conversations import Conversation, Message, State
from kit.answer.events import Answer, Table
from kit.errors import NotFound, UsageError

MAX_FILE_NAME_CHARS = 60
LEFT_OUT = "Left out: the documents do not support this"
STATES = {
    "stopped": "This answer was stopped before it was finished.",
    "streaming": "This answer is still being written.",
    "failed": "This answer could not be finished.",
}


@dataclass(frozen=True)
class Turn:
    """A question and what was answered. `answer` is None if nothing was shown of it."""

    question: str
    answer: Answer | None
    state: State = "complete"

    @property
    def unsupported(self) -> tuple[str, ...]:
        """The model's sentences that the answer does not show."""
        if self.answer is None:
            return ()
        return tuple(s.text for s in self.answer.sentences if s.support == "unsupported")


@dataclass(frozen=True)
class Report:
    """A title, the day it is of ('2026-11-27'), and turns."""

    title: str
    day: str
    turns: tuple[Turn, ...]

    @property
    def tables(self) -> tuple[tuple[Table, Answer], ...]:
        """Every table with the answer that holds its citations."""
        answers = [turn.answer for turn in self.turns if turn.answer is not None]
        return tuple((table, answer) for answer in answers for table in answer.tables)

    @property
    def file_stem(self) -> str:
        """A file name without its ending, of letters that every system takes."""
        words = re.findall(r"\w+", self.title.lower())
        return "-".join(words)[:MAX_FILE_NAME_CHARS].strip("-") or "answer"


def report_of(
    conversation: Conversation, messages: Sequence[Message], message_id: int | None = None
) -> Report:
    """The conversation, or the one answer of it that is named, with its question.

    Raises: NotFound if that is no answer of it; UsageError if there is no answer at all.
    """
    turns: list[Turn] = []
    question = ""
    for message in messages:
        if message.role == "user":
            question = message.text
        elif message_id in (None, message.id):
            turns.append(Turn(question, message.answer, message.state))
    if not turns and message_id is not None:
        raise NotFound("there is no such answer", hint="open the conversation again")
    if not turns:
        raise UsageError("there is no answer to export yet", hint="ask a question first")
    title = conversation.title if message_id is None else turns[0].question
    return Report(title, messages[-1].created_at[:10], tuple(turns))
