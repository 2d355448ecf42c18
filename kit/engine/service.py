"""A loaded model that answers: prompts made, sequences run, their text split and awaited.

Knows requests and the runner, no HTTP. Keeps one invariant: a generation that nobody reads any
more is cancelled, and what is not answered within the context is refused with numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from collections.abc import Sequence as Seq
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.engine.chat.output import Output
from kit.engine.chat.reasoning import Piece, ReasoningSplitter, opens_reasoning
from kit.engine.chat.template import ChatTemplate, Message, Prompt, with_bos
from kit.engine.chat.tools import ToolCallSplitter, names_of
from kit.engine.chat.trim import trim_oldest
from kit.engine.cpu.choose_threads import choose_threads
from kit.engine.cpu.machine import available_memory
from kit.engine.cpu.variants import choose_variant
from kit.engine.draft import MAX_DRAFT
from kit.engine.gguf import read_gguf
from kit.engine.gpu import ALL_LAYERS, layers_that_fit, size_of
from kit.engine.grammar.check import Grammars
from kit.engine.http.fields import RequestRefused
from kit.engine.http.protocol import GenerateRequest
from kit.engine.native import Decoder, Model, gpu_devices, load_library, require_memory
from kit.engine.pins import PinStore, model_digest
from kit.engine.prefix import common_prefix
from kit.engine.runner import Runner, RunnerOptions
from kit.engine.sequence import Finish, Queued, Sequence, Sharing, Text
from kit.errors import ContextOverflow

MAX_AUTOMATIC_CACHE_BYTES = 4 << 30


@dataclass(frozen=True)
class ServiceOptions:
    """How to load a model. `ctx` 0 = as trained; `threads` 0 = as measured; `cache_mb`
    memory for finished prefixes, 0 = a quarter of what is free, at most 4 GiB; `gpu_layers` the
    most that go to a GPU, where the build has one."""

    model: Path
    ctx: int = 8192
    parallel: int = 4
    threads: int = 0
    home: Path | None = None
    alias: str = ""
    debug: bool = False
    cache_mb: int = 0
    gpu_layers: int = ALL_LAYERS

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
        self.variant = choose_variant(options.home).variant
        self.threads = choose_threads(
            options.home, options.model, self.variant.path, n_threads=options.threads
        )
        library = load_library(
            self.variant.path,
            debug=options.debug,
            waiting=self.threads.waiting,
            with_gpu=options.gpu_layers > 0,
        )
        size = size_of(gguf, n_ctx, options.parallel)
        self.devices = gpu_devices(library)
        self.num_gpu_layers = layers_that_fit(size, self.devices, options.gpu_layers)
        require_memory(options.model.name, size, self.num_gpu_layers)
        self.model = Model(library, options.model, num_gpu_layers=self.num_gpu_layers)
        self._decoder = Decoder(
            self.model,
            n_ctx=n_ctx,
            num_slots=options.parallel,
            n_threads=self.threads.n_threads,
            max_draft=MAX_DRAFT,
        )
        self._decoder.use_threads(self.threads.n_threads, self.threads.n_threads_batch)
        self.n_ctx = min(n_ctx, self._decoder.n_ctx)
        self._template = ChatTemplate(
            gguf.chat_template,
            bos_token=self.model.special_text("bos"),
            eos_token=self.model.special_text("eos"),
        )
        self._max_piece_bytes = self.model.max_piece_bytes
        self._grammars = Grammars(options.model)
        self._trials = ThreadPoolExecutor(1, "grammar")  # a trial must not hold up other prompts
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
            "threads": self.threads.n_threads,
            "threads_batch": self.threads.n_threads_batch,
            "waiting": self.threads.waiting,
            "layers": gguf.number("block_count") + 1,  # the last is the output
            "gpu_layers": self.num_gpu_layers,
            "gpus": [device.name for device in self.devices],
            "cpu_variant": self.variant.name,
        }

    def tokenize(self, text: str) -> list[int]:
        return self.model.tokenize(text, parse_special=False)

    async def bound(self, request: GenerateRequest) -> GenerateRequest:
        """The request with its constraint as a grammar that can be followed.

        Raises: RequestRefused naming the field if there is none, or if it names no token.
        """
        biases = request.sampling.logit_bias
        if unknown := [token for token, _ in biases if token >= self.model.n_vocab]:
            raise RequestRefused(
                f"logit_bias: token ids below {self.model.n_vocab} expected, {unknown[0]} observed",
                param="logit_bias",
            )
        if request.constraint is None:
            return request
        loop = asyncio.get_running_loop()
        check = self._grammars.check
        grammar = await loop.run_in_executor(self._trials, check, request.constraint)
        return replace(request, sampling=replace(request.sampling, grammar=grammar))

    def prompt(self, request: GenerateRequest) -> Prompt:
        """The request's prompt. Raises: ContextOverflow, UsageError. May take a while: no locks."""
        if request.messages:
            prompt = self._chat_prompt(request)
        else:
            self._require_plausible(request.prompt)
            bos = [self.model.bos] if self.model.bos is not None else []
            prompt = Prompt(bos + self.tokenize(request.prompt), request.prompt)
        if not prompt.tokens:  # nothing follows from nothing, and its slot would wait for ever
            name = "messages" if request.messages else "prompt"
            raise RequestRefused(f"{name}: some text expected, none observed", param=name)
        if len(prompt.tokens) >= self.n_ctx:
            raise self._overflow(f"{len(prompt.tokens)} tokens")
        return prompt

    def _chat_prompt(self, request: GenerateRequest) -> Prompt:
        messages = request.messages
        uses_tools = any(m["role"] == "tool" or "tool_calls" in m for m in messages)
        if (request.tools or uses_tools) and not self._template.has_tools:
            raise RequestRefused(
                "this model's chat template knows no tools",
                param="tools" if request.tools else "messages",
                code="unsupported",
            )
        variables = _variables(request)

        def written(kept: Seq[Message]) -> Prompt:
            self._require_plausible(*(message["content"] for message in kept))
            return self._template.prompt(self.model, kept, **variables)

        if not request.truncate:
            return written(messages)
        room = self.n_ctx - min(request.max_tokens or self.n_ctx // 4, self.n_ctx // 2)

        def fits(kept: Seq[Message]) -> bool:
            try:
                return len(written(kept).tokens) <= room
            except ContextOverflow:
                return False

        kept, num_dropped = trim_oldest(messages, fits)
        return replace(written(kept), num_dropped=num_dropped)

    def _require_plausible(self, *texts: str) -> None:
        """Refuse at once what cannot fit however it is cut into tokens."""
        least = sum(len(text.encode()) for text in texts) // self._max_piece_bytes
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
        if shared is None or prompt.num_dropped:
            return Sharing(request.cache_namespace)
        text = self._template.shared_text(
            request.messages, shared.message, shared.chars, **_variables(request)
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
        generation = Generation(self.runner, _output(request, prompt))
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

    def pinned(self) -> list[str]:
        """The namespaces that have anything on disk."""
        return self._pins.namespaces() if self._pins is not None else []

    def close(self) -> None:
        self.runner.stop()
        if self._pins is not None:
            self._pins.close()
        self._trials.shutdown(wait=False, cancel_futures=True)


def _variables(request: GenerateRequest) -> dict[str, Any]:
    """What the template is given beside the messages."""
    tools = {"tools": list(request.tools)} if request.tools else {}
    return {**request.template_variables, **tools}


def _output(request: GenerateRequest, prompt: Prompt) -> Output:
    """How the answer is split: only chat has parts, and a grammar leaves no room for reasoning."""
    if not request.messages:
        return Output()
    is_inside = opens_reasoning(prompt.text)
    reasoning = None if request.sampling.grammar else ReasoningSplitter(is_inside=is_inside)
    return Output(reasoning, ToolCallSplitter(names_of(request.tools)) if request.tools else None)


class Generation:
    """The stream of one answer: Pieces, then one Finish."""

    sequence: Sequence

    def __init__(self, runner: Runner, output: Output) -> None:
        self._runner, self._output = runner, output
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
            if isinstance(event, Text):
                if piece := self._output.feed(event):
                    yield piece
                continue
            piece, finish = self._output.finish(event)
            if piece:
                yield piece
            yield finish
            return
