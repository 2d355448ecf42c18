"""Limits on wrong passwords, per account and per address, counted in the database.

Knows nothing of passwords. Invariant: an attempt is counted before it is checked, in the same
transaction as the limit, so many attempts at once, or a restart, gain a guesser nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from kit.database import Connection, Database
from kit.errors import AccessError

WINDOW_S = 15 * 60.0
MAX_PER_ACCOUNT = 5
MAX_PER_ADDRESS = 20


class Throttle:
    """Counts failed sign-ins of the last 15 minutes."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def attempt(self, account: str, address: str) -> None:
        """Count an attempt as failed until `succeed` says otherwise.

        Raises: AccessError 429 with the time to wait if there were too many; that is not counted,
        so a person who keeps trying is let in when the message said so.
        """
        now = self._now()
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM sign_in_failures WHERE at < ? OR at > ?",
                (now - WINDOW_S, now + WINDOW_S),
            )
            wait_s = max(
                _wait_s(connection, "account", account, MAX_PER_ACCOUNT, now),
                _wait_s(connection, "address", address, MAX_PER_ADDRESS, now),
            )
            if wait_s == 0:
                connection.execute(
                    "INSERT INTO sign_in_failures (account, address, at) VALUES (?, ?, ?)",
                    (account, address, now),
                )
        if wait_s:
            minutes = math.ceil(wait_s / 60)
            raise AccessError(
                f"too many attempts; try again in {minutes} minute{'s' if minutes > 1 else ''}",
                status=429,
                retry_after_s=wait_s,
            )

    def succeed(self, account: str) -> None:
        """Forget the account's failures; those of its address with other names still count."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sign_in_failures WHERE account = ?", (account,))


def _wait_s(connection: Connection, column: str, value: str, max_failures: int, now: float) -> int:
    """Seconds until fewer than `max_failures` lie in the window; 0 if so already."""
    times: list[float] = [
        at
        for (at,) in connection.execute(
            f"SELECT at FROM sign_in_failures WHERE {column} = ? ORDER BY at DESC LIMIT ?",  # noqa: S608 - column is one of our two literals
            (value, max_failures),
        )
    ]
    if len(times) < max_failures:
        return 0
    return max(1, math.ceil(times[-1] + WINDOW_S - now))
