"""What cannot be served, as OpenAI's error object with its status.

Knows the engine's errors and HTTP, no routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kit.engine.fairness import QueueFull
from kit.engine.http.fields import RequestRefused, error_body
from kit.errors import ContextOverflow, KitError

RETRY_AFTER_S = 2
MAX_RETRY_AFTER_S = 60


async def on_refused(_request: Request, problem: RequestRefused) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    return JSONResponse(problem.body, status_code=problem.status, headers=headers)


async def on_queue_full(request: Request, _problem: QueueFull) -> Response:
    wait_s = request.app.state.kit.require().runner.wait_s()
    body = error_body(
        "too many requests wait already; try again", kind="rate_limit_error", code="queue_full"
    )
    retry_s = max(RETRY_AFTER_S, min(MAX_RETRY_AFTER_S, round(wait_s / 4)))
    return JSONResponse(body, status_code=429, headers={"Retry-After": str(retry_s)})


async def on_kit_error(request: Request, problem: KitError) -> Response:
    is_overflow = isinstance(problem, ContextOverflow)
    body = error_body(
        problem.message,
        kind="invalid_request_error" if problem.http_status < 500 else "server_error",
        param=_overflowing(request) if is_overflow else None,
        code="context_length_exceeded" if is_overflow else problem.code,
    )
    return JSONResponse(body, status_code=problem.http_status)


def _overflowing(request: Request) -> str:
    """The field that was too long."""
    names = {"/v1/embeddings": "input", "/v1/completions": "prompt"}
    return names.get(request.url.path, "messages")


async def on_http_error(_request: Request, problem: HTTPException) -> Response:
    body = error_body(problem.detail, kind="invalid_request_error", code=str(problem.status_code))
    return JSONResponse(body, status_code=problem.status_code, headers=problem.headers)


HANDLERS: Mapping[Any, Callable[[Request, Any], Awaitable[Response]]] = {
    RequestRefused: on_refused,
    QueueFull: on_queue_full,
    KitError: on_kit_error,
    HTTPException: on_http_error,
}
