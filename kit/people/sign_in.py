"""Signing in and out: throttle, password, session and audit line in the order that is safe.

Knows nothing of HTTP. Invariant: no password is hashed for an attempt over the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.database import Database
from kit.errors import AccessError
from kit.people import audit
from kit.people.accounts import Accounts, User
from kit.people.passwords import MAX_LENGTH
from kit.people.sessions import Sessions
from kit.people.throttle import Throttle

MAX_NAME_LENGTH = 64


@dataclass(frozen=True)
class SignIn:
    """What signing in needs."""

    database: Database
    accounts: Accounts
    sessions: Sessions
    throttle: Throttle

    def sign_in(self, name: str, password: str, *, address: str) -> tuple[User, str]:
        """(the person, the token of a new session).

        Raises: AccessError 401 if the name or password is wrong, 429 after too many attempts.
        """
        if len(name) > MAX_NAME_LENGTH or len(password) > MAX_LENGTH or not name:
            raise AccessError("the name or the password is not right", status=401)
        try:
            self.throttle.attempt(name, address)
            user = self.accounts.check_password(name, password)
        except AccessError as problem:
            action = "sign_in.throttled" if problem.status == 429 else "sign_in.failed"
            audit.record(self.database, None, action, name, address)
            raise
        self.throttle.succeed(name)
        audit.record(self.database, user.id, "sign_in", user.name, address)
        return user, self.sessions.create(user)

    def sign_out(self, user: User, token: str) -> None:
        """The session is over."""
        self.sessions.end(token)
        audit.record(self.database, user.id, "sign_out", user.name)
