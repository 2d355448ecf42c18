"""The audit log: who did what, when. Never a password, a question or document text.

Knows no meaning of the actions it is given. The table is only ever appended to.
"""

from __future__ import annotations

import datetime

from kit.database import Connection, Database


def record(
    database: Database, user_id: str | None, action: str, subject: str = "", detail: str = ""
) -> None:
    """Append one line, durably. `user_id` is None for someone who is not signed in."""
    with database.write() as connection:
        append(connection, user_id, action, subject, detail)


def append(
    connection: Connection, user_id: str | None, action: str, subject: str = "", detail: str = ""
) -> None:
    """Append one line within a transaction, so that it stands or falls with what it tells of."""
    connection.execute(
        "INSERT INTO audit (at, user_id, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (now_text(), user_id, action, subject, detail),
    )


def now_text() -> str:
    """The time in UTC as the database writes it: '2026-11-21T23:05:00Z'."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
