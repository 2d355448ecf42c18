"""Who sends a request: the local user, the holder of the run token, or a person with a session.

Knows headers, not routes. Invariant: on a kit that listens beyond loopback there is nobody without
a session or the token of this run.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from kit.people.accounts import LOCAL_USER, User
from kit.people.sessions import Sessions
from kit.web.asgi import Scope, header
from kit.web.security import cookie_name


@dataclass(frozen=True)
class Caller:
    """Whoever sends a request. `user` is None for a stranger."""

    user: User | None
    by_token: bool = False
    """By the token of this run: a program of the machine's own user, not a browser."""
    is_refused: bool = False
    """A token was sent and it is not ours."""


@dataclass(frozen=True)
class Identity:
    """How this kit tells who asks."""

    sessions: Sessions
    is_open: bool
    """Listens on loopback alone, so whoever can reach it is the local user."""
    token: str = ""

    async def caller(self, scope: Scope) -> Caller:
        """Decide by token, then by loopback, then by session cookie."""
        authorization = header(scope, b"authorization")
        if authorization is not None:
            kind, _, value = authorization.partition(" ")
            is_ours = kind.lower() == "bearer" and self._is_token(value.strip())
            return Caller(LOCAL_USER, by_token=True) if is_ours else Caller(None, is_refused=True)
        if self.is_open:
            return Caller(LOCAL_USER)
        cookie = session_cookie(scope)
        if cookie is None:
            return Caller(None)
        return Caller(await asyncio.to_thread(self.sessions.find, cookie))

    def _is_token(self, value: str) -> bool:
        """Compared in constant time. An empty token of ours opens nothing."""
        return bool(self.token) and hmac.compare_digest(value.encode(), self.token.encode())


def session_cookie(scope: Scope) -> str | None:
    """The session token a browser sent, or None."""
    raw = header(scope, b"cookie")
    if raw is None or len(raw) > 8192:
        return None
    try:
        cookies = SimpleCookie(raw)
    except CookieError:
        return None
    found = cookies.get(cookie_name(is_https=scope.get("scheme") == "https"))
    return found.value if found else None
