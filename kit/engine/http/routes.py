"""The engine's HTTP: OpenAI-compatible routes over one loaded model.

Translates between HTTP and `Service`, decides nothing. Keeps two invariants: whoever hangs up is
cancelled within one step, and /health answers from the first moment, with 503 until the model is
loaded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import threading
import time
import uuid
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kit.engine.embedding.service import EmbedService
from kit.engine.http.answers import EventStream, cancel_on_disconnect, whole_answer
from kit.engine.http.embed_protocol import embeddings_reply, read_embeddings
from kit.engine.http.fields import RequestRefused
from kit.engine.http.protocol import (
    GenerateRequest,
    Reply,
    read_chat,
    read_completion,
    read_forget,
    read_tokenize,
)
from kit.engine.http.refusals import HANDLERS
from kit.engine.metrics import Sample, exposition
from kit.engine.service import Service, ServiceOptions
from kit.errors import KitError

MAX_BODY_BYTES = 16 << 20


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
        Route("/v1/cache/pinned", _pinned),
        Route("/v1/embeddings", _embeddings, methods=["POST"]),
        Route("/tokenize", _tokenize, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
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


async def _pinned(request: Request) -> Response:
    """The namespaces that have anything on disk."""
    service = _state(request).require_text()
    return JSONResponse({"namespaces": await asyncio.to_thread(service.pinned)})


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
        return EventStream(generation, reply, include_usage=asked.include_usage)
    return await whole_answer(request.receive, generation, reply)


async def _embeddings(request: Request) -> Response:
    state = _state(request)
    service = state.require_vectors()
    asked = read_embeddings(await _body(request))
    has_left = threading.Event()
    async with cancel_on_disconnect(request.receive, has_left.set):
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


def is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
