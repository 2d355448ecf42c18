"""The engine as a process: `python -m kit.engine.server --model FILE` serves until SIGTERM.

Knows sockets, signals and exit codes; what is served is in `routes`. Keeps one invariant: whatever
stops it, a user's mistake is an error line with its exit code, and SIGTERM ends with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import errno
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from kit.engine.embedding.embedder import is_embedding_model
from kit.engine.embedding.service import EmbedService
from kit.engine.gguf import read_gguf, split_paths
from kit.engine.gpu import ALL_LAYERS
from kit.engine.http.routes import State, build_app, is_loopback_host
from kit.engine.service import Service, ServiceOptions
from kit.errors import EngineError, KitError, MachineError, PortInUse, UsageError

DRAIN_S = 5
_KEEP_ALIVE_S = 30


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
    """uvicorn without its signal handling, which would end the process by the signal itself.

    A first signal lets running answers end for DRAIN_S, then ends them; a second does not wait.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        yield

    def _leave(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._state.service is not None:
            asyncio.get_running_loop().call_later(DRAIN_S, self._state.service.runner.end_soon)


async def _serve(state: State, bound: socket.socket, *, is_loopback: bool) -> None:
    config = uvicorn.Config(
        build_app(state, is_loopback=is_loopback),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S + 5,  # by then all answers have ended
    )
    server = _Server(config, state)

    def leave() -> None:
        server.should_exit = True

    threading.Thread(target=_load, args=(state, bound, leave), daemon=True, name="load").start()
    await server.serve(sockets=[bound])
    if state.service is not None:
        await asyncio.to_thread(state.service.close)


def _load(state: State, bound: socket.socket, leave: Callable[[], None]) -> None:
    """Load the model while the server already answers /health; on failure the process leaves."""

    def broken() -> None:
        state.failure = EngineError("the engine broke down; see the lines above")
        leave()

    started = time.monotonic()
    try:
        is_embedding = is_embedding_model(read_gguf(state.options.model))
        service: Service | EmbedService
        if is_embedding:
            service = EmbedService(state.options)
        else:
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
        f"{facts['parallel']} × {service.n_ctx} tokens, {facts['threads']} threads, "
        f"CPU variant {service.variant.name}{gpu_share(facts)}",
        file=sys.stderr,
        flush=True,
    )


def gpu_share(facts: Mapping[str, Any]) -> str:
    """How much of the model is where, if llama.cpp sees a GPU."""
    if not facts.get("gpus"):
        return ""
    return f", {facts['gpu_layers']} of {facts['layers']} layers on {' and '.join(facts['gpus'])}"


def run(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit code; a KitError becomes its lines on stderr."""
    try:
        options, host, port = _options(argv)
        for part in split_paths(options.model):  # a damaged file is told at once
            read_gguf(part)
        with listen(host, port) as bound:
            state = State(options)
            asyncio.run(_serve(state, bound, is_loopback=is_loopback_host(host)))
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
    parser.add_argument("--threads", type=int, default=0, help="0 = as many as measured best")
    parser.add_argument("--cache-mb", type=int, default=0, help="memory for finished prefixes")
    parser.add_argument("--gpu-layers", type=int, default=ALL_LAYERS, help="on a GPU, at most")
    parser.add_argument("--home", type=Path, help="folder that remembers the CPU variant")
    parser.add_argument("--alias", default="", help="name of the model in the API")
    parser.add_argument("--debug", action="store_true", help="show llama.cpp's own log")
    given = parser.parse_args(argv)
    spans = {"ctx": (0, 1 << 24), "parallel": (1, 64), "threads": (0, 1024), "port": (0, 65535)}
    spans |= {"cache_mb": (0, 1 << 20), "gpu_layers": (0, ALL_LAYERS)}
    for name, (low, high) in spans.items():
        if not low <= getattr(given, name) <= high:
            raise UsageError(f"--{name}: {low} to {high} expected, {getattr(given, name)} observed")
    names = [item.name for item in dataclasses.fields(ServiceOptions)]
    options = ServiceOptions(**{name: getattr(given, name) for name in names})
    return options, given.host, given.port


def main() -> None:
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads inside native code must not meet a half-closed interpreter


if __name__ == "__main__":
    main()
