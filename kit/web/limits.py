"""Limits on request bodies, by what they say and by what they send.

Knows no routes: whoever wraps a request says how much it may hold. Invariant: a body over its limit
never reaches the application whole, and its sender is told in words.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kit.web.asgi import Message, Receive, Scope, header

DRAIN_S = 5.0


class BodyTooLarge(Exception):
    """The body holds more than it may. Raised inside `receive`; the gate answers it."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"more than {max_bytes} bytes")
        self.max_bytes = max_bytes


class LimitedBody:
    """A `receive` that raises BodyTooLarge after `max_bytes`; `is_exceeded` remembers it."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self.is_exceeded = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._num_bytes += len(message.get("body", b""))
            if self._num_bytes > self._max_bytes:
                self.is_exceeded = True
                raise BodyTooLarge(self._max_bytes)
        return message


def content_length(scope: Scope) -> int | None:
    """What the request says its body holds; None if it does not say. Raises ValueError."""
    value = header(scope, b"content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ValueError("Content-Length is no number")
    return int(value)


async def drain(receive: Receive, *, max_s: float = DRAIN_S) -> None:
    """Read what a client still sends, for a while, and drop it.

    A browser reads no answer while it is still sending: closing on it shows "connection reset"
    instead of our words.
    """
    deadline = asyncio.get_running_loop().time() + max_s
    more = True
    while more and (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            message: dict[str, Any] = dict(await asyncio.wait_for(receive(), left))
        except TimeoutError:
            return
        more = message["type"] == "http.request" and message.get("more_body", False)
