"""Conversations repeat nothing of documents that were removed.

Knows messages and words, not why a document went. Invariant: an answer that names a removed
document as its evidence is emptied; what only resembles one stays if a document that is still there
says the same. Who asked, and when, stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.answer.conversations.conversations import NEW_TITLE
from kit.database import Database

EMPTIED = "(This was emptied: it repeated a document that was removed.)"
RUN_WORDS = 8  # so many words in the same order are no accident
TELLING_CHARS = 12  # a word this long with a digit in it: a number of a grant, an account, a key
LONG_CHARS = 24  # any word this long
MIN_NAME_CHARS = 6  # a shorter name of a document is a word like others
PAGE_ROWS = 500  # messages that are looked at together
# Scripts without spaces count by the character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff]|(?:(?![\u3040-\u9fff])\w)+")
_EDGES = ".,;:!?\"'()[]{}<>«»“”‘’*_`"


@dataclass(frozen=True)
class RemovedDocument:
    """A document that is no more, and what it said."""

    id: str
    name: str
    title: str
    text: str

    @property
    def said(self) -> str:
        """Everything of it that could be repeated, in lower case."""
        return f"{self.name}\n{self.title}\n{self.text}".lower()


def empty_repeats(database: Database, removed: Sequence[RemovedDocument]) -> int:
    """No message and no title repeats these documents; how many messages were emptied."""
    traces, num_emptied, after = _Traces(database, removed), 0, 0
    while rows := database.rows(_MESSAGES, (after, PAGE_ROWS)):
        emptied = [
            (EMPTIED, message_id)
            for message_id, text, answer, task in rows
            if traces.are_in_message(f"{text}\n{task}", answer)
        ]
        if emptied:
            with database.write() as connection:
                connection.executemany(_EMPTY, emptied)
        num_emptied += len(emptied)
        after = int(rows[-1][0])
    titled = [
        (NEW_TITLE, conversation_id)
        for conversation_id, title in database.rows("SELECT id, title FROM conversations")
        if traces.are_in(title)
    ]
    if titled:
        with database.write() as connection:
            connection.executemany("UPDATE conversations SET title = ? WHERE id = ?", titled)
    return num_emptied


_MESSAGES = (
    "SELECT id, text, answer, coalesce(task, '') FROM messages WHERE id > ? ORDER BY id LIMIT ?"
)
_EMPTY = "UPDATE messages SET text = ?, answer = NULL, task = NULL WHERE id = ?"


class _Traces:
    """What removed documents said, and whether those that are still there say it, too."""

    def __init__(self, database: Database, removed: Sequence[RemovedDocument]) -> None:
        self._database = database
        self._ids = {document.id for document in removed}
        self._said = "\n".join(document.said for document in removed)
        self._runs = {
            hash(run) for document in removed for run in _runs(_WORD.findall(document.said))
        }
        self._is_elsewhere: dict[str, bool] = {}
        self._names = {
            json.dumps(document.name, ensure_ascii=False)[1:-1]
            for document in removed
            if len(document.name) >= MIN_NAME_CHARS
            and not database.row("SELECT 1 FROM documents WHERE name = ?", (document.name,))
        }

    def are_in_message(self, text: str, stored: str | None) -> bool:
        """`text` is what was said; `stored` the JSON of the answer, with evidence and tables."""
        if any(name in (stored or "") for name in (*self._ids, *self._names)):
            return True
        answer: dict[str, Any] | None = json.loads(stored) if stored else None
        cited = [*answer["citations"], *answer["closest"]] if answer else []
        if not cited:
            return self.are_in(text)
        # Its evidence are other documents, so its words are theirs; its reasoning had more to read.
        reasoning = str(answer["reasoning"]) if answer else ""
        return self._lack(self._telling(text)) or self.are_in(reasoning)

    def are_in(self, text: str) -> bool:
        return self._lack([*self._telling(text), *self._repeats(text)])

    def _telling(self, text: str) -> list[str]:
        """Words that are no one's but the document's."""
        return [word for word in _telling_words(text) if word in self._said]

    def _repeats(self, text: str) -> list[str]:
        """The longest stretches of words that a removed document has in the same order."""
        words = _WORD.findall(text.lower())
        starts = [at for at, run in enumerate(_runs(words)) if hash(run) in self._runs]
        stretches: list[list[int]] = []
        for at in starts:
            if stretches and stretches[-1][1] == at - 1:
                stretches[-1][1] = at
            else:
                stretches.append([at, at])
        return [" ".join(words[first : last + RUN_WORDS]) for first, last in stretches]

    def _lack(self, repeats: Sequence[str]) -> bool:
        """Whether no document that is still there says one of them."""
        for repeat in repeats:
            if repeat not in self._is_elsewhere:
                self._is_elsewhere[repeat] = self._find(repeat)
            if not self._is_elsewhere[repeat]:
                return True
        return False

    def _find(self, repeat: str) -> bool:
        longest = max(repeat.split(), key=len)
        return any(
            repeat in text.lower() or repeat in " ".join(_WORD.findall(text.lower()))
            for (text,) in self._database.rows(_WITH_WORD, {"word": longest})
        )


_WITH_WORD = """
    SELECT text FROM texts WHERE instr(lower(text), :word)
    UNION ALL
    SELECT name || ' ' || coalesce(title, '') FROM documents
    WHERE instr(lower(name || ' ' || coalesce(title, '')), :word)
"""


def _telling_words(text: str) -> Iterator[str]:
    for word in text.lower().split():
        word = word.strip(_EDGES)
        has_digit = any(letter.isdigit() for letter in word)
        if len(word) >= LONG_CHARS or (has_digit and len(word) >= TELLING_CHARS):
            yield word


def _runs(words: Sequence[str]) -> Iterator[str]:
    for at in range(len(words) - RUN_WORDS + 1):
        yield " ".join(words[at : at + RUN_WORDS])
