"""Conversations and their messages, kept in the one database, each belonging to its owner.

Knows storage, not answering. Invariants: another person's conversation is NotFound, the same as one
that does not exist; a message is either stored whole or not at all.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from kit.answer.events import Answer, answer_from_json, answer_to_json
from kit.database import Database, Row
from kit.errors import NotFound, UsageError

State = Literal["complete", "streaming", "stopped", "failed"]
NEW_TITLE = "New chat"
MAX_TITLE_CHARS = 80


@dataclass(frozen=True)
class Conversation:
    id: str
    owner_id: str
    title: str
    created_at: str
    updated_at: str
    document_id: str | None = None
    """The one document that is asked, also after it was removed; None = all of them."""


@dataclass(frozen=True)
class Message:
    """A question (role 'user') or an answer (role 'assistant'). Feedback: 1 good, -1 bad."""

    id: int
    conversation_id: str
    role: Literal["user", "assistant"]
    state: State
    text: str
    answer: Answer | None
    feedback: int
    created_at: str


Listing = list[Conversation]  # `list` is a method below
Messages = list[Message]


class Conversations:
    """All conversations of everybody; each method serves one owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, owner_id: str, title: str = NEW_TITLE, *, document_id: str | None = None
    ) -> Conversation:
        now, title = _now(), _short(title) or NEW_TITLE
        made = Conversation(uuid.uuid4().hex, owner_id, title, now, now, document_id)
        with self._database.write() as connection:
            connection.execute(
                f"INSERT INTO conversations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
                (made.id, made.owner_id, made.title, now, now, document_id),
            )
        return made

    def get(self, conversation_id: str, owner_id: str) -> Conversation:
        """Raises: NotFound if there is none or it is another person's."""
        row = self._database.row(
            f"SELECT {_COLUMNS} FROM conversations WHERE id = ? AND owner_id = ?",  # noqa: S608 - constant
            (conversation_id, owner_id),
        )
        if row is None:
            raise NotFound(
                "there is no such conversation", hint="open the list of conversations again"
            )
        return Conversation(*row)

    def list(self, owner_id: str, query: str = "") -> Listing:
        """Latest first; with a query, those whose title or text has it."""
        pattern = "%" + query.strip().translate(_LIKE_ESCAPES) + "%"
        rows = self._database.rows(_LIST, {"owner": owner_id, "pattern": pattern})
        return [Conversation(*row) for row in rows]

    def messages(self, conversation_id: str, owner_id: str) -> Messages:
        """In order. Raises: NotFound."""
        self.get(conversation_id, owner_id)
        rows = self._database.rows(
            _MESSAGES + " WHERE conversation_id = ? ORDER BY id",
            (conversation_id,),
        )
        return [_message(row) for row in rows]

    def message(self, message_id: int, owner_id: str) -> Message:
        """Raises: NotFound if there is none or it is another person's."""
        row = self._database.row(
            _MESSAGES + _OF_OWNER,
            (message_id, owner_id),
        )
        if row is None:
            raise NotFound("there is no such message", hint="open the conversation again")
        return _message(row)

    def rename(self, conversation_id: str, title: str, owner_id: str) -> Conversation:
        """Raises: NotFound; UsageError for an empty title."""
        title = _short(title)
        if not title:
            raise UsageError("a conversation needs a title", hint="write at least one character")
        self.get(conversation_id, owner_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE conversations SET title = ? WHERE id = ? AND owner_id = ?",
                (title, conversation_id, owner_id),
            )
        return self.get(conversation_id, owner_id)

    def set_document(self, conversation_id: str, owner_id: str, document_id: str | None) -> None:
        """What follows asks this document alone; None = all of them. Raises: NotFound.

        Whether the owner may read it is decided whenever a question is asked.
        """
        self.get(conversation_id, owner_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE conversations SET document_id = ? WHERE id = ? AND owner_id = ?",
                (document_id, conversation_id, owner_id),
            )

    def delete(self, conversation_id: str, owner_id: str) -> None:
        """The conversation and its messages are gone. Raises: NotFound."""
        self.get(conversation_id, owner_id)
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM conversations WHERE id = ? AND owner_id = ?",
                (conversation_id, owner_id),
            )

    def set_feedback(self, message_id: int, owner_id: str, value: int) -> None:
        """Raises: NotFound; UsageError unless value is -1, 0 or 1 and the message is an answer."""
        if value not in (-1, 0, 1) or self.message(message_id, owner_id).role != "assistant":
            raise UsageError("feedback is 1 (good), -1 (bad) or 0 (none), on an answer")
        with self._database.write() as connection:
            connection.execute("UPDATE messages SET feedback = ? WHERE id = ?", (value, message_id))

    def truncate(self, message_id: int, owner_id: str) -> None:
        """This message and all after it are gone. Raises: NotFound."""
        message = self.message(message_id, owner_id)
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM messages WHERE conversation_id = ? AND id >= ?",
                (message.conversation_id, message_id),
            )

    def begin(
        self,
        conversation_id: str,
        owner_id: str,
        question: str | None,
        *,
        replace_from: int | None = None,
    ) -> int:
        """Store the question and an answer in state 'streaming', at once; returns the answer's id.

        `replace_from` removes that message and all after it first. A question of None answers the
        question that is there again. Raises: NotFound.
        """
        conversation = self.get(conversation_id, owner_id)
        now = _now()
        with self._database.write() as connection:
            if replace_from is not None:
                connection.execute(
                    "DELETE FROM messages WHERE conversation_id = ? AND id >= ?",
                    (conversation_id, replace_from),
                )
            rows = [] if question is None else [("user", "complete", question)]
            for role, state, text in [*rows, ("assistant", "streaming", "")]:
                connection.execute(
                    "INSERT INTO messages (conversation_id, role, state, text, created_at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (conversation_id, role, state, text, now),
                )
            message_id = connection.last_insert_rowid()
            title = conversation.title
            if question is not None and title == NEW_TITLE:
                title = _short(question) or NEW_TITLE
            connection.execute(
                "UPDATE conversations SET updated_at = ?, title = ? WHERE id = ?",
                (now, title, conversation_id),
            )
        return message_id

    def store(self, message_id: int, state: State, text: str, answer: Answer | None) -> None:
        """What an answer is now. A message that was deleted meanwhile stays deleted."""
        record = None if answer is None else json.dumps(answer_to_json(answer), ensure_ascii=False)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE messages SET state = ?, text = ?, answer = ? WHERE id = ?",
                (state, text, record, message_id),
            )

    def repair(self) -> int:
        """Answers left 'streaming' by a kill become 'stopped', with what was shown; how many.

        For the one process that serves answers, at its start: it would stop another's streams.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE messages SET state = 'stopped' WHERE state = 'streaming'")
            return connection.changes()


_COLUMNS = "id, owner_id, title, created_at, updated_at, document_id"
_MESSAGES = (
    "SELECT id, conversation_id, role, state, text, answer, feedback, created_at FROM messages"
)
_OF_OWNER = " WHERE id = ? AND conversation_id IN (SELECT id FROM conversations WHERE owner_id = ?)"
_LIST = f"""
    SELECT {_COLUMNS} FROM conversations AS c
    WHERE owner_id = :owner AND (title LIKE :pattern ESCAPE '\\' OR EXISTS (
      SELECT 1 FROM messages WHERE conversation_id = c.id AND text LIKE :pattern ESCAPE '\\'))
    ORDER BY updated_at DESC, rowid DESC
"""  # noqa: S608 - constant text
_LIKE_ESCAPES = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def _message(row: Row) -> Message:
    number, conversation_id, role, state, text, answer, feedback, created_at = row
    if state not in get_args(State):
        raise ValueError(f"message {number} has state {state!r}")
    parsed = None if answer is None else answer_from_json(json.loads(answer))
    return Message(number, conversation_id, role, state, text, parsed, feedback, created_at)


def _short(title: str) -> str:
    title = " ".join(title.split())
    if len(title) <= MAX_TITLE_CHARS:
        return title
    return title[:MAX_TITLE_CHARS].rsplit(" ", 1)[0] + " …"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
