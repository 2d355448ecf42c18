"""Conversations and their messages, kept in the one database, each belonging to its owner.

Knows storage, not answering. Invariants: another person's conversation is NotFound, the same as one
that does not exist; a message is either stored whole or not at all; of an answer whose sources its
owner may no longer read, nothing of them is given out (kit.answer.conversations.closed).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from kit.answer.conversations.closed import (
    UNAVAILABLE_QUESTION,
    UNAVAILABLE_TITLE,
    closed_text,
    without_closed,
)
from kit.answer.events import Answer, answer_from_json, answer_to_json
from kit.answer.modes.task import Task, task_from_json, task_to_json
from kit.database import Database, Row, time_text
from kit.errors import NotFound, UsageError
from kit.library.gate import READABLE

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
    task: Task | None = None
    """What a question stands for where it is none in words."""
    is_closed: bool = False
    """Whether it rested on a document that its reader may no longer read: then `text` and `answer`
    hold what is left."""


Listing = list[Conversation]  # `list` is a method below
Messages = list[Message]


class Conversations:
    """All conversations of everybody; each method serves one owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, owner_id: str, title: str = NEW_TITLE, *, document_id: str | None = None
    ) -> Conversation:
        now, title = time_text(), _short(title) or NEW_TITLE
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
            f"SELECT {_SHOWN} FROM conversations c WHERE id = :id AND owner_id = :reader",  # noqa: S608 - constant
            {"id": conversation_id, "reader": owner_id},
        )
        if row is None:
            raise NotFound(
                "there is no such conversation", hint="open the list of conversations again"
            )
        return Conversation(*row)

    def list(self, owner_id: str, query: str = "") -> Listing:
        """Latest first; with a query, those whose title or text has it, as far as it is shown."""
        pattern = "%" + query.strip().translate(_LIKE_ESCAPES) + "%"
        rows = self._database.rows(_LIST, {"reader": owner_id, "pattern": pattern})
        return [Conversation(*row) for row in rows]

    def messages(self, conversation_id: str, owner_id: str) -> Messages:
        """In order. Raises: NotFound."""
        self.get(conversation_id, owner_id)
        rows = self._database.rows(
            _MESSAGES + " WHERE conversation_id = :conversation ORDER BY id",
            {"conversation": conversation_id, "reader": owner_id},
        )
        return [_message(row) for row in rows]

    def message(self, message_id: int, owner_id: str) -> Message:
        """Raises: NotFound if there is none or it is another person's."""
        row = self._database.row(
            _MESSAGES + _OF_OWNER,
            {"id": message_id, "reader": owner_id},
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
        task: Task | None = None,
        sources: Collection[str] = (),
    ) -> int:
        """Store the question and an answer in state 'streaming', at once; returns the answer's id.

        `replace_from` removes that message and all after it first. A question of None answers the
        question that is there again; with a task it stands for that. `sources` are the documents
        that a task works on, and that its question may name. Raises: NotFound.
        """
        self.get(conversation_id, owner_id)
        now = time_text()
        with self._database.write() as connection:
            if replace_from is not None:
                connection.execute(
                    "DELETE FROM messages WHERE conversation_id = ? AND id >= ?",
                    (conversation_id, replace_from),
                )
            record = None if task is None else json.dumps(task_to_json(task), ensure_ascii=False)
            rows = [] if question is None else [("user", "complete", question, record)]
            for role, state, text, done in [*rows, ("assistant", "streaming", "", None)]:
                connection.execute(
                    "INSERT INTO messages (conversation_id, role, state, text, created_at, task)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (conversation_id, role, state, text, now, done),
                )
                message_id = connection.last_insert_rowid()
                connection.execute(
                    "INSERT INTO message_sources (message_id, document_id)"
                    " SELECT DISTINCT ?, value FROM json_each(?)",
                    (message_id, json.dumps(list(sources))),
                )
            connection.execute(
                "UPDATE conversations SET updated_at = ?,"
                " title = CASE title WHEN ? THEN ? ELSE title END WHERE id = ?",
                (now, NEW_TITLE, _short(question or "") or NEW_TITLE, conversation_id),
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

    def add_sources(
        self, message_id: int, document_ids: Collection[str], earlier: Sequence[int] = ()
    ) -> None:
        """The answer is written from passages of these documents, and from those `earlier`
        messages with their own sources. For before anything of it is stored or shown."""
        bindings = (message_id, json.dumps(list(document_ids)), json.dumps(list(earlier)))
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO message_sources (message_id, document_id)"
                " SELECT m.id, s.document_id FROM messages m, (SELECT value AS document_id"
                " FROM json_each(?2) UNION SELECT document_id FROM message_sources"
                " WHERE message_id IN (SELECT value FROM json_each(?3))) s WHERE m.id = ?1",
                bindings,
            )

    def repair(self) -> int:
        """Answers left 'streaming' by a kill become 'stopped', with what was shown; how many.

        For the one process that serves answers, at its start: it would stop another's streams.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE messages SET state = 'stopped' WHERE state = 'streaming'")
            return connection.changes()


_COLUMNS = "id, owner_id, title, created_at, updated_at, document_id"
# The sources of a message that its reader may not read, as a JSON list: closed to them, or removed.
_CLOSED = f"""(
    SELECT json_group_array(s.document_id) FROM message_sources s
    WHERE s.message_id = messages.id AND NOT EXISTS (
      SELECT 1 FROM documents d WHERE d.id = s.document_id AND d.collection_id IN ({READABLE})))"""  # noqa: S608 - constant text
_MESSAGES = (
    "SELECT id, conversation_id, role, state, text, answer, feedback, created_at, task,"  # noqa: S608
    f" {_CLOSED} FROM messages"
)
_OF_OWNER = (
    " WHERE id = :id AND conversation_id IN (SELECT id FROM conversations WHERE owner_id = :reader)"
)
# The title was made from the question of a task, which names its documents.
_TITLE = f"""CASE WHEN EXISTS (
    SELECT 1 FROM messages WHERE conversation_id = c.id AND role = 'user'
    AND substr(text, 1, 20) = substr(c.title, 1, 20) AND {_CLOSED} != '[]')
    THEN '{UNAVAILABLE_TITLE}' ELSE c.title END"""  # noqa: S608 - constant text
_SHOWN = f"id, owner_id, {_TITLE} AS title, created_at, updated_at, document_id"
_LIST = f"""
    SELECT {_SHOWN} FROM conversations AS c
    WHERE owner_id = :reader AND ({_TITLE} LIKE :pattern ESCAPE '\\' OR EXISTS (
      SELECT 1 FROM messages WHERE conversation_id = c.id AND text LIKE :pattern ESCAPE '\\'
      AND {_CLOSED} = '[]'))
    ORDER BY updated_at DESC, rowid DESC
"""  # noqa: S608 - constant text
_LIKE_ESCAPES = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def _message(row: Row) -> Message:
    number, conversation_id, role, state, text, answer, feedback, created_at, record, sources = row
    if state not in get_args(State):
        raise ValueError(f"message {number} has state {state!r}")
    parsed = None if answer is None else answer_from_json(json.loads(answer))
    task = None if record is None else task_from_json(json.loads(record))
    closed = frozenset(json.loads(sources))
    if closed:
        parsed = None if parsed is None else without_closed(parsed, closed)
        text = UNAVAILABLE_QUESTION if role == "user" else closed_text(parsed)
    fixed = (number, conversation_id, role, state, text, parsed, feedback, created_at)
    return Message(*fixed, task=task, is_closed=bool(closed))


def _short(title: str) -> str:
    title = " ".join(title.split())
    if len(title) <= MAX_TITLE_CHARS:
        return title
    return title[:MAX_TITLE_CHARS].rsplit(" ", 1)[0] + " …"
