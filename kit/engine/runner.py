"""The thread that owns the context: takes requests in, decodes step after step, counts what it did.

Knows when to step, not what a step holds (the scheduler does) nor how it is computed (the decoder
does). Keeps one invariant: every submitted sequence gets exactly one Finish, whatever happens.
"""

from __future__ import annotations

import contextlib
import faulthandler
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Protocol

from kit.engine.draft import MAX_DRAFT, Drafter
from kit.engine.fairness import MAX_WAITING, FairQueue, QueueFull
from kit.engine.logprobs import Sampled
from kit.engine.metrics import Counters, Sample, counter_samples
from kit.engine.pins import PinStore
from kit.engine.prefix import Cache, PrefixCache
from kit.engine.sampler import Sampling
from kit.engine.scheduler import Advance, Row, Scheduler, Step
from kit.engine.sequence import Sequence, Vocabulary
from kit.errors import EngineError, EngineUnavailable

TELL_S = 0.5  # how often those who wait hear of their place
MAX_DECODE_S = 900.0  # far above what the slowest machine takes for the largest step
MAX_SAMPLE_S = 60.0


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """What takes longer ends the process, after its stack went to stderr: native code that loops
    cannot be stopped otherwise, and whoever started the process starts another."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # stderr itself
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class Sampler(Protocol):
    def close(self) -> None: ...


class Decoder(Cache, Protocol):
    """The model's arithmetic, as the runner sees it."""

    def decode(self, rows: Seq[Row]) -> None: ...
    def new_sampler(self, sampling: Sampling) -> Any: ...
    def sample(self, sampler: Any, row: int) -> int | Sampled: ...


@dataclass(frozen=True)
class RunnerOptions:
    """How much runs and waits at the same time, and how much memory finished prefixes may take."""

    num_slots: int
    n_ctx: int
    max_waiting: int = MAX_WAITING
    max_saved_bytes: int = 0
    max_draft: int = MAX_DRAFT


class Runner:
    """Continuous batching in one thread. `submit`, `cancel` and `forget` may be called from any."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        options: RunnerOptions,
        *,
        pins: PinStore | None = None,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder, self._pins, self._on_broken = decoder, pins, on_broken
        prefixes = PrefixCache(
            decoder, num_slots=options.num_slots, max_saved_bytes=options.max_saved_bytes
        )
        prefixes.add_pinned(pins.saved() if pins is not None else ())
        self._scheduler = Scheduler(
            prefixes,
            FairQueue(options.max_waiting),
            vocabulary,
            n_ctx=options.n_ctx,
            drafter=Drafter(options.max_draft if decoder.can_trim else 0),
        )
        self._wake = threading.Condition()
        self._has_news = self._is_stopping = False
        self._told_s = 0.0
        self._open: dict[int, Sequence] = {}
        self._errands: list[Callable[[], None]] = []
        self.counters = Counters()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # -- from any thread ----------------------------------------------------------------------

    def require_room(self, person: str) -> None:
        """Refuse early what would be refused anyway. Raises: QueueFull, EngineUnavailable."""
        with self._wake:
            self._require_running()
            if self._scheduler.waiting.is_full_for(person):
                self.counters.refused += 1
                raise QueueFull

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises: QueueFull; EngineUnavailable once the runner stops."""
        sequence.sampler = self._decoder.new_sampler(sequence.sampling)
        try:
            with self._wake:
                self._require_running()
                self._scheduler.submit(sequence)
                sequence.arrived_s = time.monotonic()
                self._open[id(sequence)] = sequence
                self.counters.requests += 1
                self._news()
        except (QueueFull, EngineUnavailable) as problem:
            self.counters.refused += isinstance(problem, QueueFull)
            sequence.sampler.close()
            raise

    def _require_running(self) -> None:
        if self._is_stopping:
            raise EngineUnavailable("the engine is stopping", hint="ask again in a moment")

    def cancel(self, sequence: Sequence) -> None:
        """End a sequence before the next step and free its slot; harmless if it is over."""
        with self._wake:
            sequence.is_cancelled = True
            self._news()

    def forget(self, namespace: str) -> None:
        """What was computed in a namespace is gone before the next step, on disk too, and what
        runs or waits in it leaves nothing there."""

        def errand() -> None:
            self._scheduler.forget(namespace)
            if self._pins is not None:
                self._pins.forget(namespace)

        with self._wake:
            self._errands.append(errand)
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
        with self._wake:
            return len(self._scheduler.waiting)

    def wait_s(self) -> float:
        """About how long whoever came now would wait."""
        with self._wake:
            return self._scheduler.wait_s()

    def samples(self) -> list[Sample]:
        """The numbers for /metrics."""
        prefixes, drafter = self._scheduler.prefixes, self._scheduler.drafter
        rows: list[tuple[str, str, float]] = [
            ("requests_running", "requests that have a slot", self.num_running),
            ("requests_waiting", "requests in the queue", self.num_waiting),
            ("prefixes_saved_bytes", "memory of prefixes beside the slots", prefixes.saved_bytes),
            ("prefixes_saved_total", "prefixes copied out of slots", prefixes.counts.saved),
            ("prefixes_restored_total", "prefixes copied into slots", prefixes.counts.restored),
            ("prefixes_evicted_total", "saved prefixes dropped", prefixes.counts.evicted),
            ("draft_tokens_total", "tokens guessed from the prompt", drafter.num_drafted),
            ("draft_confirmed_total", "guesses that were right", drafter.num_confirmed),
        ]
        own = [Sample(f"kit_engine_{name}", text, value) for name, text, value in rows]
        return own + counter_samples(self.counters)

    def _news(self) -> None:
        self._has_news = True
        self._wake.notify()

    # -- the runner's own thread ---------------------------------------------------------------

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
            for errand in self._errands:
                errand()
            self._errands.clear()
            step = self._scheduler.plan(now=time.monotonic())
            self._tell()
        if step.rows:
            self._compute(step)
        self._close_finished()
        return True

    def _tell(self) -> None:
        if (now := time.monotonic()) - self._told_s >= TELL_S:
            self._told_s = now
            self._scheduler.tell_waiting()

    def _compute(self, step: Step) -> None:
        started = time.monotonic()
        try:
            with no_longer_than(MAX_DECODE_S):
                self._decoder.decode(step.rows)
            with no_longer_than(MAX_SAMPLE_S):
                sampled = [self._sample(advance) for advance in step.outputs]
        except EngineError as problem:
            with self._wake:
                self._scheduler.fail(step, problem)
            return
        with self._wake:
            self._scheduler.commit(step, sampled)
        self._count(step, sum(map(len, sampled)), started)
        self._pin(step)

    def _pin(self, step: Step) -> None:
        if self._pins is None:
            return
        for advance in step.advances:
            pinned = self._pins.keep(advance.sequence, self._decoder)
            if pinned is not None:
                self._scheduler.prefixes.add_pinned([pinned])

    def _sample(self, advance: Advance) -> list[int | Sampled]:
        """The next token, and more as long as they confirm the draft."""
        tokens: list[int | Sampled] = []
        for row, guess in zip(advance.output_rows, (*advance.draft, None), strict=True):
            sampled = self._decoder.sample(advance.sequence.sampler, row)
            tokens.append(sampled)
            if guess != (sampled.token if isinstance(sampled, Sampled) else sampled):
                break
        return tokens

    def _count(self, step: Step, num_sampled: int, started: float) -> None:
        now = time.monotonic()
        seconds, counters, pace = now - started, self.counters, self._scheduler.pace
        num_decoding = sum(advance.is_decoding for advance in step.advances)
        pace.observe_step(step.num_prompt_tokens, num_decoding, seconds)
        if not step.num_prompt_tokens:
            self._scheduler.drafter.observe_step(num_decoding, num_sampled, seconds)
        counters.steps += 1
        counters.busy_s += seconds
        counters.prompt_tokens += step.num_prompt_tokens
        counters.generated_tokens += num_sampled
        for advance in step.outputs:
            sequence = advance.sequence
            if sequence.last_token_s is None:
                counters.ttft_s.observe(now - sequence.arrived_s)
            else:
                counters.token_s.observe(now - sequence.last_token_s)
            sequence.last_token_s = now

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
            self.counters.prefix_hits += sequence.finish.cached_tokens > 0

    def _end_all(self, error: EngineError) -> None:
        with self._wake:
            self._scheduler.fail_all(error)
        self._close_finished()
