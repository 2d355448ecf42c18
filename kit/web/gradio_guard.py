"""Requests to the mounted Gradio app, bound to the person who sends them.

Knows where Gradio 6.31 carries session hashes, event ids and files. Invariant: a request that
carries anything of another person's never reaches Gradio.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from kit.errors import AccessError, UsageError
from kit.people.accounts import User
from kit.web.asgi import App, Message, Receive, Scope, Send, read_body, replaying
from kit.web.ownership import Ownership
from kit.web.routes import Route

MAX_REPLY_BYTES = 1 << 20  # of the small JSON answers we read on their way out
_HOP_HEADERS = (b"forwarded", b"x-forwarded-", b"x-gradio-", b"x-direct-url")
_OUTSIDE_META = ("og:", "twitter:")


class GradioGuard:
    """Wraps Gradio's app; the gate has already found the route and the person."""

    def __init__(self, app: App, ownership: Ownership) -> None:
        self._app = app
        self._ownership = ownership

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, *, route: Route, user: User
    ) -> None:
        """Raises: AccessError 403 before anything reached Gradio; UsageError for a broken body."""
        scope = {**scope, "headers": _passed_on(scope["headers"], route)}
        path: str = scope["path"]
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if route.hash_in == "query":
            self._require_hash(_only(query, "session_hash"), user)
        elif route.hash_in == "upload" and "upload_id" in query:
            self._require_hash(_only(query, "upload_id"), user)
        elif route.hash_in == "body":
            body = await read_body(receive)
            if body is None:
                return
            self._check_body(body, user, path)
            receive = replaying(body, receive)
        if "deep_link" in query:
            raise AccessError("this page has no deep links")
        if path.endswith("/queue/join"):
            send = _reading_reply(send, lambda reply: self._learn_event(reply, user))
        elif path.endswith("/upload"):
            send = _reading_reply(send, lambda reply: self._learn_files(reply, user))
        elif route.shape == "page":
            send = _rewriting(send, drop_outside_meta)
        await self._app(scope, receive, send)

    def _require_hash(self, session_hash: object, user: User) -> None:
        if not self._ownership.claim_hash(session_hash, user.id):
            raise AccessError("this page belongs to another session", hint="load the page again")

    def _check_body(self, body: bytes, user: User, path: str) -> None:
        fields = _json_object(body)
        self._require_hash(fields.get("session_hash"), user)
        event_id = fields.get("event_id")
        if path.endswith("/cancel") and not (
            isinstance(event_id, str) and self._ownership.events.is_owner(event_id, user.id)
        ):
            raise AccessError("there is nothing of yours to stop")
        if not self._ownership.may_use_files(fields, user.id):
            raise AccessError("this file is not one that you loaded", hint="choose the file again")

    def _learn_event(self, reply: Any, user: User) -> None:
        if isinstance(reply, dict) and isinstance(reply.get("event_id"), str):
            self._ownership.events.claim(reply["event_id"], user.id)

    def _learn_files(self, reply: Any, user: User) -> None:
        if isinstance(reply, list):
            self._ownership.add_files([p for p in reply if isinstance(p, str)], user.id)


def drop_outside_meta(page: bytes) -> bytes:
    """The page without the preview tags that name hosts outside (og:image, twitter:creator …).

    No browser fetches them, but a page of ours names no outside host.
    """
    text = page.decode("utf-8", errors="surrogateescape")
    out, position = [], 0
    while (start := text.find("<meta", position)) >= 0:
        end = text.find(">", start) + 1
        if end == 0:
            break
        out.append(text[position:start])
        tag = text[start:end]
        if not any(f'"{prefix}' in tag for prefix in _OUTSIDE_META):
            out.append(tag)
        position = end
    return ("".join(out) + text[position:]).encode("utf-8", errors="surrogateescape")


def _passed_on(headers: list[tuple[bytes, bytes]], route: Route) -> list[tuple[bytes, bytes]]:
    """The headers Gradio sees: no proxy's, and no wish for compression where we read the answer.

    Threat: X-Forwarded-Host would rewrite the addresses in the page Gradio builds.
    """
    dropped = _HOP_HEADERS if route.shape == "asset" else (*_HOP_HEADERS, b"accept-encoding")
    return [(name, value) for name, value in headers if not name.startswith(dropped)]


def _only(query: dict[str, list[str]], name: str) -> str | None:
    """A query value given exactly once. Threat: two values, one checked and the other used."""
    values = query.get(name, [])
    return values[0] if len(values) == 1 else None


def _json_object(body: bytes) -> dict[str, Any]:
    """The body as an object. Raises UsageError, also for a key given twice (as for `_only`)."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError("a key is given twice")
        return fields

    try:
        fields = json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"the request is no JSON: {problem}") from None
    if not isinstance(fields, dict):
        raise UsageError("the request is no JSON object")
    return fields


def _reading_reply(send: Send, learn: Callable[[Any], None]) -> Send:
    """A `send` that shows a small JSON answer to `learn` before the client can act on it."""
    parts: list[bytes] = []
    is_good = False

    async def reading(message: Message) -> None:
        nonlocal is_good
        if message["type"] == "http.response.start":
            is_good = message["status"] == 200
        elif message["type"] == "http.response.body" and is_good:
            parts.append(message.get("body", b""))
            is_good = sum(map(len, parts)) <= MAX_REPLY_BYTES
            if is_good and not message.get("more_body", False):
                try:
                    learn(json.loads(b"".join(parts)))
                except ValueError:
                    is_good = False
        await send(message)

    return reading


def _rewriting(send: Send, change: Callable[[bytes], bytes]) -> Send:
    """A `send` that passes a whole HTML answer through `change`."""
    start: Message | None = None
    parts: list[bytes] = []

    async def rewriting(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        if start is None or message["type"] != "http.response.body":
            await send(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = change(b"".join(parts))
        kept = [h for h in start["headers"] if h[0].lower() != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": body})
        start = None

    return rewriting
