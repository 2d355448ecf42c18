"""The few ASGI helpers the shell needs: types, headers, small answers.

Knows no routes and no rules.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that is there exactly once; None if absent or sent more than once."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def num_headers(scope: Scope, name: bytes) -> int:
    return sum(key == name for key, _ in scope["headers"])


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None
) -> None:
    """A whole answer."""
    fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def send_error(
    send: Send, status: int, error: dict[str, object], headers: dict[str, str] | None = None
) -> None:
    """An error as every API answer carries one: {"error": {message, code, hint, problems}}."""
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    await send_bytes(send, status, body, "application/json", headers)


def replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was already read, then what follows."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def read_body(receive: Receive) -> bytes | None:
    """The whole body; None if the client went away first. Limit it before."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
