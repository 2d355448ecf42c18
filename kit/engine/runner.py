"""The thread that owns the context: takes requests in, decodes step after step, counts what it did.

Knows when to step, not what a step holds (the scheduler does) nor how it is computed (the decoder
does). Keeps one invariant: every submitted sequence gets exactly one Finish, whatever happens.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Protocol

from kit.engine.logprobs import Sampled
from kit.engine.sampler import Sampling
from kit.engine.scheduler import Cache, QueueFull, Row, Scheduler, Step, StepBudget
from kit.engine.sequence import Sequence, Vocabulary
from kit.errors import EngineError, EngineUnavailable


class Sampler(Protocol):
    def close(self) -> None: ...


class Decoder(Cache, Protocol):
    """The model's arithmetic, as the runner sees it."""

    def decode(self, rows: Seq[Row]) -> None: ...
    def new_sampler(self, sampling: Sampling) -> Any: ...
    def sample(self, sampler: Any, row: int) -> int | Sampled: ...


@dataclass
class Counters:
    """Totals since the start; read by /metrics."""

    requests: int = 0
    refused: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    busy_s: float = 0.0


class Runner:
    """Continuous batching in one thread. `submit` and `cancel` may be called from any other."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        *,
        num_slots: int,
        n_ctx: int,
        max_waiting: int = 64,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder, self._on_broken = decoder, on_broken
        self._scheduler = Scheduler(
            decoder, vocabulary, num_slots=num_slots, n_ctx=n_ctx, max_waiting=max_waiting
        )
        self._budget = StepBudget()
        self._wake = threading.Condition()
        self._has_news = self._is_stopping = False
        self._open: dict[int, Sequence] = {}
        self.counters = Counters()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises: QueueFull; EngineUnavailable once the runner stops."""
        sequence.sampler = self._decoder.new_sampler(sequence.sampling)
        try:
            with self._wake:
                if self._is_stopping:
                    raise EngineUnavailable("the engine is stopping", hint="ask again in a moment")
                self._scheduler.submit(sequence)
                self._open[id(sequence)] = sequence
                self.counters.requests += 1
                self._news()
        except (QueueFull, EngineUnavailable):
            sequence.sampler.close()
            raise

    def cancel(self, sequence: Sequence) -> None:
        """End a sequence before the next step and free its slot; harmless if it is over."""
        with self._wake:
            sequence.is_cancelled = True
            self._news()

    def end_soon(self) -> None:
        """Take no more requests and end those there are, after the step in progress."""
        with self._wake:
            self._is_stopping = True
            self._news()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End all sequences and the thread; a step in progress is finished first."""
        self.end_soon()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def num_running(self) -> int:
        return len(self._scheduler.running)

    @property
    def num_waiting(self) -> int:
        return len(self._scheduler.waiting)

    def _news(self) -> None:
        self._has_news = True
        self._wake.notify()

    def _run(self) -> None:
        try:
            while self._next_step():
                pass
            self._end_all(EngineUnavailable("the engine was stopped"))
        except Exception as problem:  # noqa: BLE001 - nobody may wait for a thread that died
            traceback.print_exc()
            with self._wake:
                self._is_stopping = True
            self._end_all(EngineError(f"the engine broke down: {problem}"))
            self._on_broken()

    def _next_step(self) -> bool:
        """Wait for work and do one step of it; False when it is time to stop."""
        with self._wake:
            self._wake.wait_for(lambda: self._has_news or self._scheduler.has_work)
            self._has_news = False
            if self._is_stopping:
                return False
            is_streaming = any(sequence.is_decoding for sequence in self._scheduler.running)
            step = self._scheduler.plan(self._budget.tokens(is_streaming=is_streaming))
        if step.rows:
            self._compute(step)
        self._close_finished()
        return True

    def _compute(self, step: Step) -> None:
        started, num_prompt_tokens = time.monotonic(), step.num_prompt_tokens
        try:
            self._decoder.decode(step.rows)
            sampled = [self._decoder.sample(s.sampler, row) for row, s in step.outputs]
        except EngineError as problem:
            with self._wake:
                self._scheduler.fail(step, problem)
            return
        with self._wake:
            self._scheduler.commit(step, sampled)
        seconds = time.monotonic() - started
        self._budget.observe(num_prompt_tokens, seconds)
        counters = self.counters
        counters.steps += 1
        counters.busy_s += seconds
        counters.prompt_tokens += num_prompt_tokens
        counters.generated_tokens += len(sampled)

    def _close_finished(self) -> None:
        for key, sequence in list(self._open.items()):
            if sequence.finish is None:
                continue
            del self._open[key]
            sequence.sampler.close()
            kind = {"cancelled": "cancelled", "error": "failed"}
            counter = kind.get(sequence.finish.reason, "finished")
            setattr(self.counters, counter, getattr(self.counters, counter) + 1)
            self.counters.cached_tokens += sequence.finish.cached_tokens

    def _end_all(self, error: EngineError) -> None:
        with self._wake:
            self._scheduler.fail_all(error)
        self._close_finished()
