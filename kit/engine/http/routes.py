"""The engine's HTTP: OpenAI-compatible routes over one loaded model.

Translates between HTTP and `Service`, decides nothing. Keeps two invariants: whoever hangs up is
cancelled within one step, and /health answers from the first moment, with 503 until the model is
loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kit.engine.chat.output import join_pieces
from kit.engine.chat.reasoning import Piece
from kit.engine.embedding.service import EmbedService
from kit.engine.fairness import QueueFull
from kit.engine.http.embed_protocol import embeddings_reply, read_embeddings
from kit.engine.http.fields import RequestRefused, error_body
from kit.engine.http.protocol import (
    GenerateRequest,
    Reply,
    delta_of,
    read_chat,
    read_completion,
    read_forget,
    read_tokenize,
)
from kit.engine.metrics import Sample, exposition
from kit.engine.sequence import Finish, Queued
from kit.engine.service import Generation, Service, ServiceOptions
from kit.errors import ContextOverflow, KitError

MAX_BODY_BYTES = 16 << 20
RETRY_AFTER_S = 2
MAX_RETRY_AFTER_S = 60


class State:
    """What the routes share: the service once it is loaded, or why it is not."""

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.started = int(time.time())
        self.service: Service | EmbedService | None = None
        self.failure: KitError | None = None

    def require(self) -> Service | EmbedService:
        if self.service is None:
            raise RequestRefused("the model is loading", code="loading", status=503)
        return self.service

    def require_text(self) -> Service:
        service = self.require()
        if not isinstance(service, Service):
            raise _wrong_model("this model embeds texts, it writes none; see /v1/embeddings")
        return service

    def require_vectors(self) -> EmbedService:
        service = self.require()
        if not isinstance(service, EmbedService):
            raise _wrong_model("this model writes text, it does not embed")
        return service


def _wrong_model(said: str) -> RequestRefused:
    return RequestRefused(said, param="model", code="model_not_supported")


def build_app(state: State, *, is_loopback: bool) -> Starlette:
    routes = [
        Route("/health", _health),
        Route("/metrics", _metrics),
        Route("/v1/models", _models),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/completions", _completion, methods=["POST"]),
        Route("/v1/cache/forget", _forget, methods=["POST"]),
        Route("/v1/embeddings", _embeddings, methods=["POST"]),
        Route("/tokenize", _tokenize, methods=["POST"]),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestRefused: _on_refused,
        QueueFull: _on_queue_full,
        KitError: _on_kit_error,
        HTTPException: _on_http_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.kit, app.state.is_loopback = state, is_loopback
    return app


def _state(request: Request) -> State:
    """The shared state. Threat: a web page that reaches loopback through a DNS name of its own."""
    named = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d+)?", request.headers.get("host", ""))
    if request.app.state.is_loopback and not (named and is_loopback_host(named[1])):
        raise RequestRefused("unknown host", param="Host", code="unknown_host", status=403)
    state: State = request.app.state.kit
    return state


async def _health(request: Request) -> Response:
    service = _state(request).service
    if service is None:
        return JSONResponse({"status": "loading"}, status_code=503)
    return JSONResponse(
        {
            "status": "ok",
            "running": service.runner.num_running,
            "waiting": service.runner.num_waiting,
        }
    )


async def _models(request: Request) -> Response:
    state = _state(request)
    service = state.require()
    entry = {
        "id": state.options.name,
        "object": "model",
        "created": state.started,
        "owned_by": "kit",
        "meta": service.describe(),
    }
    return JSONResponse({"object": "list", "data": [entry]})


async def _metrics(request: Request) -> Response:
    """Prometheus text format. Counters are of this process."""
    service = _state(request).service
    ready = Sample("kit_engine_ready", "1 once the model is loaded", service is not None)
    if service is None:
        return PlainTextResponse("\n".join(ready.lines()) + "\n")
    page = exposition([ready, *service.runner.samples()], service.runner.counters)
    return PlainTextResponse(page, media_type="text/plain; version=0.0.4")


async def _forget(request: Request) -> Response:
    """Nothing that was computed in a namespace is kept any longer, in memory or on disk."""
    service = _state(request).require_text()
    service.runner.forget(read_forget(await _body(request)))
    return JSONResponse({"forgotten": True})


async def _tokenize(request: Request) -> Response:
    service = _state(request).require()
    text = read_tokenize(await _body(request))
    return JSONResponse({"tokens": await asyncio.to_thread(service.tokenize, text)})


async def _chat(request: Request) -> Response:
    return await _generate(request, read_chat, is_chat=True)


async def _completion(request: Request) -> Response:
    return await _generate(request, read_completion, is_chat=False)


async def _generate(
    request: Request, read: Callable[[bytes], GenerateRequest], *, is_chat: bool
) -> Response:
    state = _state(request)
    service = state.require_text()
    asked = read(await _body(request))
    service.runner.require_room(asked.person)  # before any work: a refusal is quick
    asked = await service.bound(asked)
    prompt = await asyncio.to_thread(service.prompt, asked)
    sharing = await asyncio.to_thread(service.sharing, asked, prompt)
    reply = Reply(
        f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}",
        int(time.time()),
        state.options.name,
        is_chat,
        prompt.num_dropped,
    )
    generation = service.start(asked, prompt, sharing)
    if asked.stream:
        return _EventStream(generation, reply, include_usage=asked.include_usage)
    return await _whole(request.receive, generation, reply)


async def _embeddings(request: Request) -> Response:
    state = _state(request)
    service = state.require_vectors()
    asked = read_embeddings(await _body(request))
    has_left = threading.Event()
    async with _cancel_on_disconnect(request.receive, has_left.set):
        found = await asyncio.to_thread(service.embed, asked, has_left.is_set)
    reply = await asyncio.to_thread(
        embeddings_reply,
        found.vectors,
        model=state.options.name,
        num_tokens=found.num_tokens,
        is_base64=asked.is_base64,
    )
    return JSONResponse(reply)


async def _body(request: Request) -> bytes:
    """The body. Threat: another site's form, which browsers send unasked; it is never JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRefused(
            f"content type application/json expected, {kind or 'none'} observed",
            code="unsupported_media_type",
            status=415,
        )
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MAX_BODY_BYTES:
            raise RequestRefused(
                f"a body of at most {MAX_BODY_BYTES} bytes expected", code="too_large", status=413
            )
    return bytes(body)


@contextlib.asynccontextmanager
async def _cancel_on_disconnect(
    receive: Receive, cancel: Callable[[], None]
) -> AsyncIterator[None]:
    """Call `cancel` when the client hangs up, and in any case when the block ends."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        cancel()


async def _whole(receive: Receive, generation: Generation, reply: Reply) -> Response:
    pieces: list[Piece] = []
    async with _cancel_on_disconnect(receive, generation.cancel):
        async for event in generation.events():
            if isinstance(event, Piece):
                pieces.append(event)
            elif isinstance(event, Queued):
                continue
            elif event.error is not None:
                raise event.error
            else:
                return JSONResponse(reply.whole(join_pieces(pieces), event))
    raise RuntimeError("a generation ended without its Finish")


class _EventStream(Response):
    """An answer as server-sent events. Unlike Starlette's own, it sees a hang-up during silence."""

    def __init__(self, generation: Generation, reply: Reply, *, include_usage: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._generation, self._reply = generation, reply
        self._include_usage = include_usage

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with _cancel_on_disconnect(receive, self._generation.cancel):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for line in self._lines():
                body = f"{line}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _lines(self) -> AsyncIterator[str]:
        async for chunk in self._chunks():
            if isinstance(chunk, Queued):  # a comment: clients that do not know it skip it
                yield f": queued {json.dumps(asdict(chunk))}"
            else:
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}"
        yield "data: [DONE]"

    async def _chunks(self) -> AsyncIterator[dict[str, Any] | Queued]:
        reply, has_usage = self._reply, self._include_usage
        yield reply.chunk({"role": "assistant", "content": ""}, has_usage=has_usage)
        async for event in self._generation.events():
            if isinstance(event, Piece):
                yield reply.chunk(delta_of(event), has_usage=has_usage, logprobs=event.logprobs)
            elif isinstance(event, Queued):
                yield event
            else:
                async for chunk in self._last_chunks(event):
                    yield chunk

    async def _last_chunks(self, finish: Finish) -> AsyncIterator[dict[str, Any]]:
        if finish.error is not None:
            yield error_body(finish.error.message, kind="server_error", code=finish.error.code)
            return
        yield self._reply.chunk({}, finish.reason, has_usage=self._include_usage)
        if self._include_usage:
            yield self._reply.usage_chunk(finish)


async def _on_refused(_request: Request, problem: RequestRefused) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    return JSONResponse(problem.body, status_code=problem.status, headers=headers)


async def _on_queue_full(request: Request, _problem: QueueFull) -> Response:
    wait_s = request.app.state.kit.require().runner.wait_s()
    body = error_body(
        "too many requests wait already; try again", kind="rate_limit_error", code="queue_full"
    )
    retry_s = max(RETRY_AFTER_S, min(MAX_RETRY_AFTER_S, round(wait_s / 4)))
    return JSONResponse(body, status_code=429, headers={"Retry-After": str(retry_s)})


async def _on_kit_error(request: Request, problem: KitError) -> Response:
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


async def _on_http_error(_request: Request, problem: HTTPException) -> Response:
    body = error_body(problem.detail, kind="invalid_request_error", code=str(problem.status_code))
    return JSONResponse(body, status_code=problem.status_code, headers=problem.headers)


def is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
