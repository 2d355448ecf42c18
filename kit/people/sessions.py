"""Sessions of people who signed in. The database holds only the hash of each token.

Knows nothing of cookies. Invariants: a stolen database opens no session; a session is over after
`idle_s` without a request and after `absolute_s` in any case; it survives a restart.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable

from kit.database import Database
from kit.people.accounts import User

TOKEN_BYTES = 32  # 256 bits
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
TOUCH_EVERY_S = 60.0  # how exact `seen_at` is: one write a minute, not one per request
CLOCK_SLACK_S = 300.0  # a session from further in the future means the clock was set back


class Sessions:
    """The open sessions of one KIT_HOME."""

    def __init__(
        self,
        database: Database,
        idle_s: float,
        absolute_s: float,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._idle_s = idle_s
        self.absolute_s = absolute_s
        self._now = now

    def create(self, user: User) -> str:
        """A new session; the token is returned once and never stored. Old sessions are swept."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._now()
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM sessions WHERE seen_at < ? OR created_at < ?",
                (now - self._idle_s, now - self.absolute_s),
            )
            connection.execute(
                "INSERT INTO sessions (token_hash, user_id, created_at, seen_at)"
                " VALUES (?, ?, ?, ?)",
                (_hash(token), user.id, now, now),
            )
        return token

    def find(self, token: str) -> User | None:
        """The person whose session this is, or None: unknown, over, or of a disabled account."""
        if not _TOKEN.fullmatch(token):
            return None
        row = self._database.row(
            "SELECT u.id, u.name, u.role, s.created_at, s.seen_at FROM sessions s"
            " JOIN users u ON u.id = s.user_id WHERE s.token_hash = ? AND u.disabled = 0",
            (_hash(token),),
        )
        if row is None:
            return None
        user_id, name, role, created_at, seen_at = row
        now = self._now()
        if not self._is_open(now, created_at, seen_at):
            self.end(token)
            return None
        if abs(now - seen_at) > TOUCH_EVERY_S:
            self._touch(token, now)
        return User(user_id, name, role)

    def end(self, token: str) -> None:
        """The session is over. A token that opens none is no error."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE token_hash = ?", (_hash(token),))

    def _is_open(self, now: float, created_at: float, seen_at: float) -> bool:
        is_recent = -CLOCK_SLACK_S <= now - seen_at <= self._idle_s
        return is_recent and -CLOCK_SLACK_S <= now - created_at <= self.absolute_s

    def _touch(self, token: str, now: float) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE sessions SET seen_at = ? WHERE token_hash = ?", (now, _hash(token))
            )


def _hash(token: str) -> bytes:
    """SHA-256 suffices: the token is 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
