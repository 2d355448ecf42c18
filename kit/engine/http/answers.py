"""An answer over HTTP: whole, or streamed as server-sent events.

Knows generations and the OpenAI shapes, no routes. Keeps one invariant: whoever hangs up is
cancelled within one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from kit.engine.chat.output import join_pieces
from kit.engine.chat.reasoning import Piece
from kit.engine.http.fields import error_body
from kit.engine.http.protocol import Reply, delta_of
from kit.engine.sequence import Finish, Queued
from kit.engine.service import Generation


@contextlib.asynccontextmanager
async def cancel_on_disconnect(receive: Receive, cancel: Callable[[], None]) -> AsyncIterator[None]:
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


async def whole_answer(receive: Receive, generation: Generation, reply: Reply) -> Response:
    pieces: list[Piece] = []
    async with cancel_on_disconnect(receive, generation.cancel):
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


class EventStream(Response):
    """An answer as server-sent events. Unlike Starlette's own, it sees a hang-up during silence."""

    def __init__(self, generation: Generation, reply: Reply, *, include_usage: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._generation, self._reply = generation, reply
        self._include_usage = include_usage

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with cancel_on_disconnect(receive, self._generation.cancel):
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
