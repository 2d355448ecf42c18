"""The gate in front of everything the web process answers: host, person, origin, size, headers.

Pure ASGI, so token streams pass unbuffered. Knows the route table and the decisions of
kit.web.security, and nothing behind them. Invariant: default deny; a request that no row of the
table allows reaches no application code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.responses import Response

from kit.errors import AccessError, KitError, NotFound, UsageError
from kit.files import format_bytes
from kit.people.accounts import User
from kit.web.asgi import App, Message, Receive, Scope, Send, header, num_headers, send_error
from kit.web.gradio_guard import GradioGuard
from kit.web.identity import Caller, Identity
from kit.web.limits import BodyTooLarge, LimitedBody, content_length, drain
from kit.web.metrics import Metrics
from kit.web.routes import GRADIO, OURS, Route, allowed_methods, find_route
from kit.web.security import (
    NO_STORE,
    SAFE_METHODS,
    host_name,
    is_allowed_read,
    is_loopback_host,
    is_same_origin,
    security_headers,
)

log = logging.getLogger("kit.web")
USER_KEY = "kit.user"  # where the person stands in an ASGI scope
API_PATHS = ("/api/", "/gradio_api/")  # what answers here is read by programs


@dataclass(frozen=True)
class Gate:
    """`ours` answers the routes of the shell; `gradio` those of the page, through its guard."""

    ours: App
    gradio: GradioGuard
    identity: Identity
    max_upload_bytes: int
    """The whole body of an upload; single files are limited where they are read."""
    error_page: Callable[[KitError], Response]
    gradio_routes: tuple[Route, ...] = GRADIO
    metrics: Metrics = field(default_factory=Metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.ours(scope, receive, send)
        elif scope["type"] == "websocket":  # nothing of ours speaks it
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = find_route((*OURS, *self.gradio_routes), scope["method"], scope["path"])
        is_https = scope.get("scheme") == "https"
        guarded = _Answer(send, security_headers(is_asset=_is_asset(route), is_https=is_https))
        try:
            await self._pass(scope, receive, guarded, route)
        except KitError as problem:
            await self._refuse(scope, receive, guarded, problem)
        finally:
            kind = route.name if route else "unlisted"
            self.metrics.count(scope["method"], kind, guarded.status)

    async def _pass(
        self, scope: Scope, receive: Receive, send: _Answer, route: Route | None
    ) -> None:
        self._check_host(scope)
        caller = await self.identity.caller(scope)
        if caller.is_refused:
            raise AccessError("the token is not right", status=401)
        if route is None or route.access != "public":
            if caller.user is None:
                raise AccessError(
                    "please sign in", status=401, hint="open the kit's page and sign in again"
                )
            if route is None:
                raise self._no_route(scope)
        self._check_sender(scope, caller)
        is_admin = caller.user is not None and caller.user.is_admin
        if route is not None and route.access == "admin" and not is_admin:
            raise AccessError("only an administrator may do this")
        scope[USER_KEY] = caller.user
        limited = self._limit(scope, receive, route)
        try:
            await self._forward(scope, limited, send, route, caller.user)
        except BodyTooLarge:
            if send.status:
                raise
        if limited.is_exceeded and not send.has_begun:
            raise _too_large(self._max_body_bytes(route))

    async def _forward(
        self, scope: Scope, receive: LimitedBody, send: _Answer, route: Route, user: User | None
    ) -> None:
        """A body over its limit may surface as another error, so nothing of that is sent."""

        async def unless_exceeded(message: Message) -> None:
            if not receive.is_exceeded or send.has_begun:
                await send(message)

        if route in self.gradio_routes:
            if user is not None:
                await self.gradio(scope, receive, unless_exceeded, route=route, user=user)
        else:
            await self.ours(scope, receive, unless_exceeded)

    def _check_host(self, scope: Scope) -> None:
        host = header(scope, b"host")
        if host is None or host_name(host) is None:
            raise UsageError("the request does not say which host it is for")
        if self.identity.is_open and not is_loopback_host(host):
            raise AccessError(
                f"this kit answers on this machine only, not as {host!r}",
                hint="to serve others: kit up --host ADDRESS, after kit user add NAME",
            )

    def _check_sender(self, scope: Scope, caller: Caller) -> None:
        if caller.by_token:
            return
        fetch_site = header(scope, b"sec-fetch-site")
        if scope["method"] in SAFE_METHODS:
            is_ours = is_allowed_read(
                fetch_site=fetch_site,
                fetch_mode=header(scope, b"sec-fetch-mode"),
                fetch_dest=header(scope, b"sec-fetch-dest"),
            )
        else:
            is_ours = num_headers(scope, b"origin") <= 1 and is_same_origin(
                scheme=scope.get("scheme", "http"),
                host=header(scope, b"host") or "",
                origin=header(scope, b"origin"),
                referer=header(scope, b"referer"),
                fetch_site=fetch_site,
            )
        if not is_ours:
            raise AccessError("this request comes from another site", hint="use the kit's own page")

    def _no_route(self, scope: Scope) -> KitError:
        methods = allowed_methods((*OURS, *self.gradio_routes), scope["path"])
        if methods:
            return _MethodError(scope["method"], methods)
        return NotFound("there is nothing here", hint="the page is at /")

    def _max_body_bytes(self, route: Route) -> int:
        return self.max_upload_bytes if route.is_upload else route.max_body_bytes

    def _limit(self, scope: Scope, receive: Receive, route: Route) -> LimitedBody:
        try:
            length = content_length(scope)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        max_bytes = self._max_body_bytes(route)
        if length is not None and length > max_bytes:
            raise _too_large(max_bytes)
        return LimitedBody(receive, max_bytes)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: _Answer, problem: KitError
    ) -> None:
        if send.has_begun:  # too late for words: the connection is cut
            raise problem
        status, headers = status_of(problem), {}
        if status == 413:
            if header(scope, b"expect") is None:  # else the sender waits for our word
                await drain(receive)
            headers["connection"] = "close"
        if isinstance(problem, AccessError) and problem.retry_after_s:
            headers["retry-after"] = str(problem.retry_after_s)
        if isinstance(problem, _MethodError):
            headers["allow"] = ", ".join(problem.methods)
        if status == 401 and _wants_page(scope):
            await _redirect(send, sign_in_url(scope))
            return
        if status == 404 and _wants_page(scope) and not scope["path"].startswith(API_PATHS):
            await self.error_page(problem)(scope, receive, send)
            return
        await send_error(send, status, problem.as_dict(), headers)


class _Answer:
    """A `send` that adds the guarding headers and remembers the status."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0

    @property
    def has_begun(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._guarded(list(message.get("headers", [])))}
        await self._send(message)

    def _guarded(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """No answer names the server's make or lets another origin read it, as Gradio's would."""
        kept = [(k.lower(), v) for k, v in headers if not _is_dropped(k.lower())]
        if self._headers.get("Cache-Control") == NO_STORE:
            kept = [(k, v) for k, v in kept if k not in (b"cache-control", b"etag", b"expires")]
        there = {k for k, _ in kept}
        added = [(k.lower().encode(), v.encode()) for k, v in self._headers.items()]
        return kept + [(k, v) for k, v in added if k not in there]


class _MethodError(UsageError):
    """The path exists, the method does not."""

    def __init__(self, method: str, methods: list[str]) -> None:
        super().__init__(f"{method} is not possible here", hint=f"possible: {', '.join(methods)}")
        self.methods = methods


class TooLarge(UsageError):
    """The body holds more than it may."""


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"this is larger than {format_bytes(max_bytes)}, the most that may be sent at once",
        hint="send less at once, or let the administrator raise web.max_upload_mb",
    )


def status_of(problem: KitError) -> int:
    """The HTTP status that says the same as the error."""
    if isinstance(problem, AccessError):
        return problem.status
    if isinstance(problem, TooLarge):
        return 413
    return 405 if isinstance(problem, _MethodError) else problem.http_status


def sign_in_url(scope: Scope) -> str:
    """The sign-in page that leads back to the page that was asked for."""
    target = quote(scope["path"], safe="/")
    if query := scope.get("query_string", b"").decode("latin-1"):
        target += "?" + query
    return "/sign-in" if target == "/" else f"/sign-in?next={quote(target, safe='')}"


def _wants_page(scope: Scope) -> bool:
    """A person who opens an address, not a script that calls the API."""
    accept = header(scope, b"accept") or ""
    return scope["method"] in SAFE_METHODS and "text/html" in accept


async def _redirect(send: Send, url: str) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 303,
            "headers": [(b"location", url.encode()), (b"content-length", b"0")],
        }
    )
    await send({"type": "http.response.body", "body": b""})


def _is_asset(route: Route | None) -> bool:
    """A file of the program, the same for everybody."""
    return route is not None and route.shape == "asset"


def _is_dropped(name: bytes) -> bool:
    return name in (b"server", b"x-powered-by") or name.startswith(b"access-control-")
