"""The engine as a process: OpenAI-compatible HTTP over one loaded model.

Translates between HTTP and `Service`, decides nothing. Keeps two invariants: whoever hangs up is
cancelled within one step, and /health answers from the first moment, with 503 until the model is
loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kit.engine.gguf import read_gguf, split_paths
from kit.engine.protocol import (
    GenerateRequest,
    Reply,
    RequestRefused,
    error_body,
    read_chat,
    read_completion,
    read_tokenize,
)
from kit.engine.reasoning import Piece
from kit.engine.scheduler import QueueFull
from kit.engine.sequence import Finish
from kit.engine.service import Generation, Service, ServiceOptions
from kit.errors import ContextOverflow, EngineError, KitError, MachineError, PortInUse, UsageError

MAX_BODY_BYTES = 16 << 20
RETRY_AFTER_S = 2
DRAIN_S = 5
_KEEP_ALIVE_S = 30


class State:
    """What the routes share: the service once it is loaded, or why it is not."""

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.started = int(time.time())
        self.service: Service | None = None
        self.failure: KitError | None = None

    def require(self) -> Service:
        if self.service is None:
            raise RequestRefused("the model is loading", code="loading", status=503)
        return self.service


def build_app(state: State, *, is_loopback: bool) -> Starlette:
    routes = [
        Route("/health", _health),
        Route("/metrics", _metrics),
        Route("/v1/models", _models),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/completions", _completion, methods=["POST"]),
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
    host = request.url.hostname or ""
    if request.app.state.is_loopback and not _is_loopback(host):
        raise RequestRefused(f"unknown host {host!r}", code="unknown_host", status=403)
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
    if service is None:
        return PlainTextResponse("kit_engine_ready 0\n")
    runner, total = service.runner, service.runner.counters
    rows: list[tuple[str, str, str, float]] = [
        ("ready", "gauge", "1 once the model is loaded", 1),
        ("requests_running", "gauge", "requests that have a slot", runner.num_running),
        ("requests_waiting", "gauge", "requests in the queue", runner.num_waiting),
        ("requests_total", "counter", "requests accepted", total.requests),
        ("requests_finished_total", "counter", "answers completed", total.finished),
        ("requests_cancelled_total", "counter", "answers nobody waited for", total.cancelled),
        ("requests_failed_total", "counter", "answers that failed", total.failed),
        ("requests_refused_total", "counter", "refused: the queue was full", total.refused),
        ("prompt_tokens_total", "counter", "prompt tokens computed", total.prompt_tokens),
        ("cached_tokens_total", "counter", "prompt tokens reused", total.cached_tokens),
        ("generated_tokens_total", "counter", "tokens sampled", total.generated_tokens),
        ("steps_total", "counter", "batches decoded", total.steps),
        ("busy_seconds_total", "counter", "seconds spent decoding", total.busy_s),
    ]
    lines = []
    for name, kind, help_text, value in rows:
        name = f"kit_engine_{name}"
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", f"{name} {value:g}"]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


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
    service = state.require()
    asked = read(await _body(request))
    prompt = await asyncio.to_thread(service.prompt, asked)
    prefix = "chatcmpl" if is_chat else "cmpl"
    reply = Reply(f"{prefix}-{uuid.uuid4().hex}", int(time.time()), state.options.name, is_chat)
    try:
        generation = service.start(asked, prompt)
    except QueueFull:
        service.runner.counters.refused += 1
        raise
    if asked.stream:
        return _EventStream(generation, reply, include_usage=asked.include_usage)
    return await _whole(request.receive, generation, reply)


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
async def _cancel_on_disconnect(receive: Receive, generation: Generation) -> AsyncIterator[None]:
    """Cancel the generation when the client hangs up, and in any case when the block ends."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        generation.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        generation.cancel()


async def _whole(receive: Receive, generation: Generation, reply: Reply) -> Response:
    text: list[str] = []
    reasoning: list[str] = []
    async with _cancel_on_disconnect(receive, generation):
        async for event in generation.events():
            if isinstance(event, Piece):
                text.append(event.text)
                reasoning.append(event.reasoning)
            elif event.error is not None:
                raise event.error
            else:
                return JSONResponse(reply.whole("".join(text), "".join(reasoning), event))
    raise RuntimeError("a generation ended without its Finish")


class _EventStream(Response):
    """An answer as server-sent events. Unlike Starlette's own, it sees a hang-up during silence."""

    def __init__(self, generation: Generation, reply: Reply, *, include_usage: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._generation, self._reply = generation, reply
        self._include_usage = include_usage

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with _cancel_on_disconnect(receive, self._generation):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for line in self._lines():
                body = f"data: {line}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _lines(self) -> AsyncIterator[str]:
        async for chunk in self._chunks():
            yield json.dumps(chunk, ensure_ascii=False)
        yield "[DONE]"

    async def _chunks(self) -> AsyncIterator[dict[str, Any]]:
        reply, has_usage = self._reply, self._include_usage
        yield reply.chunk({"role": "assistant", "content": ""}, has_usage=has_usage)
        async for event in self._generation.events():
            if isinstance(event, Piece):
                named = {"content": event.text, "reasoning_content": event.reasoning}
                delta = {name: text for name, text in named.items() if text}
                yield reply.chunk(delta, has_usage=has_usage)
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


async def _on_queue_full(_request: Request, _problem: QueueFull) -> Response:
    body = error_body(
        "too many requests wait already; try again", kind="rate_limit_error", code="queue_full"
    )
    return JSONResponse(body, status_code=429, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _on_kit_error(_request: Request, problem: KitError) -> Response:
    is_overflow = isinstance(problem, ContextOverflow)
    body = error_body(
        problem.message,
        kind="invalid_request_error" if problem.http_status < 500 else "server_error",
        param="messages" if is_overflow else None,
        code="context_length_exceeded" if is_overflow else problem.code,
    )
    return JSONResponse(body, status_code=problem.http_status)


async def _on_http_error(_request: Request, problem: HTTPException) -> Response:
    body = error_body(problem.detail, kind="invalid_request_error", code=str(problem.status_code))
    return JSONResponse(body, status_code=problem.status_code, headers=problem.headers)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises: PortInUse, MachineError or UsageError in plain words."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError) as problem:
        raise UsageError(f"cannot listen on {host}:{port}: {problem}") from problem
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as problem:
        bound.close()
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use", hint="choose another: --port N, or --port 0"
            ) from problem
        raise MachineError(f"cannot listen on {host}:{port}: {problem.strerror}") from problem
    return bound


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal itself."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        yield

    def _leave(self) -> None:
        self.force_exit = self.should_exit  # a second signal does not wait
        self.should_exit = True


async def _serve(state: State, bound: socket.socket, *, is_loopback: bool) -> None:
    config = uvicorn.Config(
        build_app(state, is_loopback=is_loopback),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)

    def leave() -> None:
        server.should_exit = True

    threading.Thread(target=_load, args=(state, bound, leave), daemon=True, name="load").start()
    await server.serve(sockets=[bound])
    if state.service is not None:
        await asyncio.to_thread(state.service.close)


def _load(state: State, bound: socket.socket, leave: Callable[[], None]) -> None:
    """Load the model while the server already answers /health; on failure the process leaves."""

    def broken() -> None:
        state.failure = MachineError("the engine broke down; see the lines above")
        leave()

    started = time.monotonic()
    try:
        service = Service(state.options, on_broken=broken)
    except KitError as problem:
        state.failure = problem
        leave()
        return
    except Exception as problem:  # noqa: BLE001 - nobody would see why a thread died
        traceback.print_exc()
        state.failure = EngineError(f"the model could not be loaded: {problem}")
        leave()
        return
    state.service = service
    address, facts = bound.getsockname(), service.describe()
    print(
        f"engine ready on http://{address[0]}:{address[1]}/v1 after "
        f"{time.monotonic() - started:.1f} s: {state.options.name} {facts['type']}, "
        f"{state.options.parallel} × {service.n_ctx} tokens, {service.n_threads} threads, "
        f"CPU variant {service.variant.name}",
        file=sys.stderr,
        flush=True,
    )


def run(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit code; a KitError becomes its lines on stderr."""
    try:
        options, host, port = _options(argv)
        for part in split_paths(options.model):  # a damaged file is told at once
            read_gguf(part)
        with listen(host, port) as bound:
            state = State(options)
            asyncio.run(_serve(state, bound, is_loopback=_is_loopback(host)))
            if state.failure is not None:
                raise state.failure
    except KitError as problem:
        print("\n".join(problem.lines()), file=sys.stderr, flush=True)
        return problem.exit_code
    return 0


def _options(argv: Sequence[str] | None) -> tuple[ServiceOptions, str, int]:
    parser = argparse.ArgumentParser(prog="kit engine", description="Serve one model over HTTP.")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 = any free one")
    parser.add_argument("--ctx", type=int, default=8192, help="tokens per conversation")
    parser.add_argument("--parallel", type=int, default=4, help="conversations at the same time")
    parser.add_argument("--threads", type=int, default=0, help="0 = one per physical core")
    parser.add_argument("--home", type=Path, help="folder that remembers the CPU variant")
    parser.add_argument("--alias", default="", help="name of the model in the API")
    parser.add_argument("--debug", action="store_true", help="show llama.cpp's own log")
    given = parser.parse_args(argv)
    spans = {"ctx": (0, 1 << 24), "parallel": (1, 64), "threads": (0, 1024), "port": (0, 65535)}
    for name, (low, high) in spans.items():
        if not low <= getattr(given, name) <= high:
            raise UsageError(f"--{name}: {low} to {high} expected, {getattr(given, name)} observed")
    names = ("model", "ctx", "parallel", "threads", "home", "alias", "debug")
    options = ServiceOptions(**{name: getattr(given, name) for name in names})
    return options, given.host, given.port


def main() -> None:
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads inside native code must not meet a half-closed interpreter


if __name__ == "__main__":
    main()
