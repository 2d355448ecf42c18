"""A loaded model that answers: prompts made, sequences run, their text split and awaited.

Knows requests and the runner, no HTTP. Keeps one invariant: a generation that nobody reads any
more is cancelled, and what is not answered within the context is refused with numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.engine.draft import MAX_DRAFT
from kit.engine.gguf import read_gguf
from kit.engine.machine import available_memory, usable_cores
from kit.engine.native import Decoder, Model, load_library, require_memory
from kit.engine.pins import PinStore, model_digest
from kit.engine.prefix import common_prefix
from kit.engine.protocol import GenerateRequest
from kit.engine.reasoning import Piece, ReasoningSplitter, opens_reasoning
from kit.engine.runner import Runner, RunnerOptions
from kit.engine.sequence import Finish, Queued, Sequence, Sharing, Text
from kit.engine.template import ChatTemplate, Prompt, with_bos
from kit.engine.variants import choose_variant
from kit.errors import ContextOverflow

MAX_AUTOMATIC_CACHE_BYTES = 4 << 30


@dataclass(frozen=True)
class ServiceOptions:
    """How to load a model. `ctx` 0 = as trained; `threads` 0 = one per physical core; `cache_mb`
    memory for finished prefixes, 0 = a quarter of what is free, at most 4 GiB."""

    model: Path
    ctx: int = 8192
    parallel: int = 4
    threads: int = 0
    home: Path | None = None
    alias: str = ""
    debug: bool = False
    cache_mb: int = 0

    @property
    def name(self) -> str:
        return self.alias or self.model.stem


def saved_bytes(cache_mb: int) -> int:
    """Memory for prefixes beside the slots; asked once the model is loaded."""
    if cache_mb:
        return cache_mb << 20
    return min(available_memory() // 4, MAX_AUTOMATIC_CACHE_BYTES)


class Service:
    """One model, loaded. Building it takes seconds to minutes; everything after is quick."""

    def __init__(
        self, options: ServiceOptions, *, on_broken: Callable[[], None] = lambda: None
    ) -> None:
        """Raises: ModelError, MachineError or EngineError with the reason it cannot be loaded."""
        self.options = options
        gguf = read_gguf(options.model)
        n_ctx = min(options.ctx or 1 << 30, gguf.number("context_length", 4096))
        require_memory(gguf, n_ctx, options.parallel)
        self.variant = choose_variant(options.home).variant
        library = load_library(self.variant.path, debug=options.debug)
        self.n_threads = options.threads or usable_cores()
        self.model = Model(library, options.model)
        self._decoder = Decoder(
            self.model,
            n_ctx=n_ctx,
            num_slots=options.parallel,
            n_threads=self.n_threads,
            max_draft=MAX_DRAFT,
        )
        self.n_ctx = min(n_ctx, self._decoder.n_ctx)
        self._template = ChatTemplate(
            gguf.chat_template,
            bos_token=self.model.special_text("bos"),
            eos_token=self.model.special_text("eos"),
        )
        self._max_piece_bytes = self.model.max_piece_bytes
        self._pins: PinStore | None = None
        self.runner = self._make_runner(on_broken)
        self.runner.start()

    def _make_runner(self, on_broken: Callable[[], None]) -> Runner:
        options = self.options
        if options.home is not None:
            self._pins = PinStore(options.home / "prefixes", model_digest(options.model))
        return Runner(
            self._decoder,
            self.model,
            RunnerOptions(
                num_slots=options.parallel,
                n_ctx=self.n_ctx,
                max_saved_bytes=saved_bytes(options.cache_mb),
            ),
            pins=self._pins,
            on_broken=on_broken,
        )

    def describe(self) -> dict[str, Any]:
        """The model's facts, as /v1/models shows them under "meta"."""
        gguf = self.model.gguf
        return {
            "n_ctx": self.n_ctx,
            "n_ctx_train": self.model.n_ctx_train,
            "n_vocab": self.model.n_vocab,
            "n_params": self.model.num_params,
            "size": self.model.size_bytes,
            "type": gguf.type_name,
            "architecture": gguf.architecture,
            "parallel": self.options.parallel,
            "threads": self.n_threads,
            "cpu_variant": self.variant.name,
        }

    def tokenize(self, text: str) -> list[int]:
        return self.model.tokenize(text, parse_special=False)

    def prompt(self, request: GenerateRequest) -> Prompt:
        """The request's prompt. Raises: ContextOverflow, UsageError. May take a while: no locks."""
        self._require_plausible(request)
        if request.messages:
            prompt = self._template.prompt(
                self.model, request.messages, **request.template_variables
            )
        else:
            bos = [self.model.bos] if self.model.bos is not None else []
            prompt = Prompt(bos + self.tokenize(request.prompt), request.prompt)
        if len(prompt.tokens) >= self.n_ctx:
            raise self._overflow(f"{len(prompt.tokens)} tokens")
        return prompt

    def _require_plausible(self, request: GenerateRequest) -> None:
        """Refuse at once what cannot fit however it is cut into tokens."""
        contents = [message["content"] for message in request.messages]
        num_bytes = sum(len(text.encode()) for text in [*contents, request.prompt])
        least = num_bytes // self._max_piece_bytes
        if least >= self.n_ctx:
            raise self._overflow(f"at least {least} tokens")

    def _overflow(self, size: str) -> ContextOverflow:
        return ContextOverflow(
            f"the prompt has {size}, the context holds {self.n_ctx} with room for an answer",
            hint="send less text, or start the engine with more: --ctx",
        )

    def sharing(self, request: GenerateRequest, prompt: Prompt) -> Sharing:
        """Who may reuse the prompt's keys and values. Shared are the tokens of the shared text that
        the whole prompt begins with, so that nothing private is in them."""
        shared = request.shared_prefix
        if shared is None:
            return Sharing(request.cache_namespace)
        text = self._template.shared_text(
            request.messages, shared.message, shared.chars, **request.template_variables
        )
        alone = with_bos(self.model, self.model.tokenize(text, parse_special=True))
        limit = min(len(alone), len(prompt.tokens))
        num_shared = common_prefix(alone, prompt.tokens, limit)
        return Sharing(request.cache_namespace, shared.namespace, num_shared)

    def start(self, request: GenerateRequest, prompt: Prompt, sharing: Sharing) -> Generation:
        """Queue a generation; call it in the event loop that will read it. Raises: QueueFull."""
        room = self.n_ctx - len(prompt.tokens)
        deadline = None
        if request.timeout_s is not None:
            deadline = time.monotonic() + request.timeout_s
        is_inside = opens_reasoning(prompt.text)
        splitter = ReasoningSplitter(is_inside=is_inside) if request.messages else None
        generation = Generation(self.runner, splitter)
        generation.sequence = Sequence(
            tokens=list(prompt.tokens),
            max_tokens=min(request.max_tokens or room, room),
            emit=generation.emit,
            sampling=request.sampling,
            stop=request.stop,
            sharing=sharing,
            person=request.person,
            deadline=deadline,
            is_pinned=request.shared_prefix is not None and request.shared_prefix.is_pinned,
        )
        self.runner.submit(generation.sequence)
        return generation

    def close(self) -> None:
        self.runner.stop()
        if self._pins is not None:
            self._pins.close()


class Generation:
    """The stream of one answer: Pieces, then one Finish. Without a splitter all text is answer."""

    sequence: Sequence

    def __init__(self, runner: Runner, splitter: ReasoningSplitter | None) -> None:
        self._runner, self._splitter = runner, splitter
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Queued | Text | Finish] = asyncio.Queue()

    def emit(self, event: Queued | Text | Finish) -> None:
        """Called by the runner's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server is gone
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def cancel(self) -> None:
        self._runner.cancel(self.sequence)

    async def events(self) -> AsyncIterator[Queued | Piece | Finish]:
        while True:
            event = await self._events.get()
            if isinstance(event, Queued):
                yield event
                continue
            piece = self._piece(event)
            if piece.text or piece.reasoning:
                yield piece
            if isinstance(event, Finish):
                yield event
                return

    def _piece(self, event: Text | Finish) -> Piece:
        text = event.text if isinstance(event, Text) else ""
        if self._splitter is None:
            return Piece(text)
        return self._splitter.feed(text) if text else self._splitter.flush()
