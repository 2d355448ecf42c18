"""Which tokens are computed next: continuous batching over a fixed number of slots.

Knows sequences, slots and budgets; no model, no threads, no clock. Keeps three invariants: every
decoding sequence advances in every step, so does the prompt that came first, and what a slot holds
serves only sequences of the same cache namespace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Protocol

from kit.engine.logprobs import Sampled
from kit.engine.sequence import Sequence, Vocabulary
from kit.errors import KitError

MAX_WAITING = 64
MAX_STEP_TOKENS = 512
MIN_STEP_TOKENS = 32


class QueueFull(Exception):
    """More requests wait than the queue holds; the caller should come back later."""


class Cache(Protocol):
    """The keys and values that slots hold."""

    def keep(self, slot: int, num_tokens: int) -> int:
        """Forget all but the first `num_tokens` of a slot; returns how many are really left."""
        ...


@dataclass(frozen=True)
class Row:
    """One token of a batch. `is_output` asks for the distribution that follows it."""

    token: int
    position: int
    slot: int
    is_output: bool


@dataclass(frozen=True)
class Step:
    """One batch: its rows, and how many tokens of which sequence they advance."""

    rows: tuple[Row, ...]
    advances: tuple[tuple[Sequence, int], ...]
    outputs: tuple[tuple[int, Sequence], ...]
    """(row index, sequence) wherever a token is to be sampled, in row order."""

    @property
    def num_prompt_tokens(self) -> int:
        return sum(count for sequence, count in self.advances if not sequence.is_decoding)


@dataclass
class Slot:
    """A place for one sequence. `tokens` are those whose keys and values it holds."""

    index: int
    sequence: Sequence | None = None
    tokens: list[int] = field(default_factory=list)
    cache_namespace: str | None = None
    last_used: int = 0

    def shared_prefix(self, sequence: Sequence) -> int:
        """Tokens this slot may spare the sequence; the last one is always computed anew."""
        if self.cache_namespace is None or self.cache_namespace != sequence.cache_namespace:
            return 0
        limit = min(len(self.tokens), len(sequence.tokens) - 1)
        return next((i for i in range(limit) if self.tokens[i] != sequence.tokens[i]), limit)


class StepBudget:
    """Prompt tokens per step, so that a step lasts about as long as a stream may pause.

    Learns the prompt speed from finished steps. Powers of two, so that it settles.
    """

    def __init__(self, *, busy_s: float = 0.25, idle_s: float = 1.0) -> None:
        self._busy_s, self._idle_s = busy_s, idle_s
        self._tok_per_s: float | None = None

    def tokens(self, *, is_streaming: bool) -> int:
        """The budget while others stream, or while nobody does."""
        if self._tok_per_s is None:
            return MIN_STEP_TOKENS * 4
        wanted = self._tok_per_s * (self._busy_s if is_streaming else self._idle_s)
        return min(MAX_STEP_TOKENS, max(MIN_STEP_TOKENS, 1 << max(0, int(wanted).bit_length() - 1)))

    def observe(self, num_tokens: int, seconds: float) -> None:
        if num_tokens < MIN_STEP_TOKENS or seconds <= 0:
            return
        speed = num_tokens / seconds
        self._tok_per_s = speed if self._tok_per_s is None else 0.7 * self._tok_per_s + 0.3 * speed


class Scheduler:
    """Plans steps and keeps account of them. Driven by one thread."""

    def __init__(
        self,
        cache: Cache,
        vocabulary: Vocabulary,
        *,
        num_slots: int,
        n_ctx: int,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._cache, self._vocabulary = cache, vocabulary
        self._n_ctx, self._max_waiting = n_ctx, max_waiting
        self.slots = [Slot(index) for index in range(num_slots)]
        self.waiting: deque[Sequence] = deque()
        self._num_steps = self._num_arrivals = 0

    @property
    def running(self) -> list[Sequence]:
        return [slot.sequence for slot in self.slots if slot.sequence is not None]

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises: QueueFull."""
        if len(self.waiting) >= self._max_waiting:
            raise QueueFull
        self._num_arrivals += 1
        sequence.arrival = self._num_arrivals
        self.waiting.append(sequence)

    def plan(self, max_prompt_tokens: int) -> Step:
        """The next step; empty if there is nothing to do. Cancelled sequences end before it."""
        self._num_steps += 1
        self._drop_cancelled()
        self._admit()
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        reading = [sequence for sequence in self.running if not sequence.is_decoding]
        reading.sort(key=lambda sequence: sequence.arrival)
        counts = split_budget([s.num_uncomputed for s in reading], max_prompt_tokens)
        advances = [(sequence, 1) for sequence in decoding]
        advances += [pair for pair in zip(reading, counts, strict=True) if pair[1]]
        return self._step(advances)

    def _step(self, advances: list[tuple[Sequence, int]]) -> Step:
        rows: list[Row] = []
        outputs: list[tuple[int, Sequence]] = []
        for sequence, count in advances:
            start, end = sequence.num_computed, sequence.num_computed + count
            for at in range(start, end):
                is_output = at == len(sequence.tokens) - 1
                rows.append(Row(sequence.tokens[at], at, _slot_of(sequence), is_output))
            if end == len(sequence.tokens):
                outputs.append((len(rows) - 1, sequence))
        return Step(tuple(rows), tuple(advances), tuple(outputs))

    def commit(self, step: Step, sampled: Seq[int | Sampled]) -> None:
        """Record a decoded step and the tokens sampled for its outputs."""
        for sequence, count in step.advances:
            start = sequence.num_computed
            self._slot(sequence).tokens += sequence.tokens[start : start + count]
            sequence.num_computed += count
        for (_, sequence), token in zip(step.outputs, sampled, strict=True):
            sequence.accept(token, self._vocabulary, self._n_ctx)
            if sequence.finish is not None:
                self._release(sequence)

    def fail(self, step: Step, error: KitError) -> None:
        """End every sequence of a step that could not be decoded; their slots are emptied."""
        for sequence, _ in step.advances:
            sequence.end("error", error)
            sequence.cache_namespace = None
            self._release(sequence)

    def fail_all(self, error: KitError) -> None:
        for sequence in [*self.waiting, *self.running]:
            sequence.end("error", error)
        self.waiting.clear()

    def _drop_cancelled(self) -> None:
        for sequence in [s for s in self.waiting if s.is_cancelled]:
            self.waiting.remove(sequence)
            sequence.end("cancelled")
        for sequence in [s for s in self.running if s.is_cancelled]:
            sequence.end("cancelled")
            self._release(sequence)

    def _admit(self) -> None:
        """Give free slots to those who waited longest."""
        while self.waiting and (free := [slot for slot in self.slots if slot.sequence is None]):
            sequence = self.waiting.popleft()
            slot = min(
                free, key=lambda s: (-s.shared_prefix(sequence), len(s.tokens) > 0, s.last_used)
            )
            kept = self._cache.keep(slot.index, slot.shared_prefix(sequence))
            slot.tokens = slot.tokens[:kept]
            slot.sequence, slot.cache_namespace = sequence, sequence.cache_namespace
            sequence.slot, sequence.num_computed, sequence.num_cached = slot.index, kept, kept

    def _release(self, sequence: Sequence) -> None:
        slot = self._slot(sequence)
        slot.sequence, slot.last_used = None, self._num_steps
        slot.cache_namespace = sequence.cache_namespace
        if sequence.cache_namespace is None:
            self._cache.keep(slot.index, 0)
            slot.tokens = []

    def _slot(self, sequence: Sequence) -> Slot:
        return self.slots[_slot_of(sequence)]


def _slot_of(sequence: Sequence) -> int:
    if sequence.slot is None:
        raise RuntimeError("a sequence without a slot was scheduled")
    return sequence.slot


def split_budget(needs: Seq[int], budget: int) -> list[int]:
    """Tokens for each reading sequence; `needs` are what they lack, oldest first.

    Half goes to the oldest, so nobody starves; the rest to those nearest their first word, so a
    short question passes a long one and equal ones are answered one after the other, not all late.
    Their sum is min(budget, sum(needs)).
    """
    shares = [0] * len(needs)
    if needs:
        shares[0] = min(needs[0], -(-budget // 2))
    left = budget - sum(shares)
    for at in sorted(range(len(needs)), key=lambda i: needs[i] - shares[i]):
        extra = min(needs[at] - shares[at], left)
        shares[at] += extra
        left -= extra
    return shares
