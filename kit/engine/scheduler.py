"""Which tokens are computed next: continuous batching over a fixed number of slots.

Knows sequences, whose turn it is and budgets; no model and no threads. Keeps three invariants:
every decoding sequence advances in every step, the prompt that came first in every step that reads
(nine tenths of the time at least), and no prefix is computed while another sequence computes it.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from kit.engine.draft import Drafter
from kit.engine.fairness import FairQueue
from kit.engine.logprobs import Sampled
from kit.engine.pace import Pace
from kit.engine.prefix import PrefixCache
from kit.engine.sequence import Sequence, Sharing, Vocabulary
from kit.errors import EngineTimeout, KitError


@dataclass(frozen=True)
class Row:
    """One token of a batch. `is_output` asks for the distribution that follows it."""

    token: int
    position: int
    slot: int
    is_output: bool


@dataclass(frozen=True)
class Advance:
    """What a step does for one sequence: its tokens from `num_computed` on, then a guess.

    Rows `first_row` … hold `num_tokens` tokens of the sequence and the tokens of `draft`. If
    `is_output`, a token is sampled after the last of them, and after each of the draft that the
    token before it confirms.
    """

    sequence: Sequence
    first_row: int
    num_tokens: int
    is_output: bool
    draft: tuple[int, ...] = ()
    is_decoding: bool = False

    @property
    def output_rows(self) -> range:
        """Batch rows whose distribution is wanted, in order."""
        first = self.first_row + self.num_tokens - 1
        return range(first, first + len(self.draft) + 1) if self.is_output else range(0)


@dataclass(frozen=True)
class Step:
    """One batch: its rows, and what they do for whom."""

    rows: tuple[Row, ...]
    advances: tuple[Advance, ...]
    num_prompt_tokens: int

    @property
    def outputs(self) -> list[Advance]:
        return [advance for advance in self.advances if advance.is_output]


class Scheduler:
    """Plans steps and keeps account of them. Driven by one thread."""

    def __init__(
        self,
        prefixes: PrefixCache,
        queue: FairQueue,
        vocabulary: Vocabulary,
        *,
        n_ctx: int,
        pace: Pace | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        self.prefixes, self.waiting = prefixes, queue
        self.pace, self.drafter = pace or Pace(), drafter or Drafter(max_tokens=0)
        self._vocabulary, self._n_ctx = vocabulary, n_ctx
        self._num_arrivals = 0

    @property
    def running(self) -> list[Sequence]:
        return self.prefixes.running

    @property
    def has_work(self) -> bool:
        return bool(len(self.waiting) or self.running)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises: QueueFull."""
        self._num_arrivals += 1
        sequence.arrival = self._num_arrivals
        self.waiting.push(sequence)

    def forget(self, namespace: str) -> None:
        """Nothing of a namespace is kept, nor will be of what runs or waits in it now."""
        self.prefixes.forget(namespace)
        for sequence in self.waiting.everyone():
            if sequence.sharing.names(namespace):
                sequence.sharing = Sharing()

    # -- planning -----------------------------------------------------------------------------

    def plan(self, *, now: float = 0.0, max_prompt_tokens: int | None = None) -> Step:
        """The next step; empty if there is nothing to do. What nobody waits for ends before it."""
        self._drop_unwanted(now)
        self._admit()
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        reading = [sequence for sequence in self.running if not sequence.is_decoding]
        reading.sort(key=lambda sequence: sequence.arrival)
        budget = max_prompt_tokens or self._prompt_budget(is_streaming=bool(decoding))
        counts = split_budget([s.next_stop - s.num_computed for s in reading], budget)
        drafts = self.drafter.propose(decoding, num_reading=len(reading))
        return _step(
            [(sequence, 1, drafts.get(sequence, ())) for sequence in decoding]
            + [(s, count, ()) for s, count in zip(reading, counts, strict=True) if count],
            num_prompt_tokens=sum(counts),
        )

    def _prompt_budget(self, *, is_streaming: bool) -> int:
        if is_streaming and self.pace.is_writing_due:
            return 0
        return self.pace.prompt_budget(is_streaming=is_streaming)

    def _drop_unwanted(self, now: float) -> None:
        for sequence in [*self.waiting.everyone(), *self.running]:
            is_late = sequence.deadline is not None and now >= sequence.deadline
            if not (sequence.is_cancelled or is_late):
                continue
            if sequence.slot is None:
                self.waiting.remove(sequence)
            if sequence.is_cancelled:
                sequence.end("cancelled")
            else:
                sequence.end("error", EngineTimeout("the answer was not ready in the time given"))
            self._release(sequence)

    def _admit(self) -> None:
        """Give free slots to those whose turn it is, save those whose prefix is on its way."""
        if not (len(self.waiting) and self.prefixes.has_room):
            return
        for sequence in list(self.waiting):
            if self.prefixes.has_room and not self.prefixes.is_awaited(sequence):
                self.waiting.remove(sequence)
                self.prefixes.place(sequence)
                self.waiting.charge(sequence.person, num_read=sequence.num_uncomputed)

    # -- account ------------------------------------------------------------------------------

    def commit(self, step: Step, sampled: Seq[Seq[int | Sampled]]) -> None:
        """Record a decoded step and the tokens sampled for each of its outputs.

        An output with a draft has one token more than it confirmed of the draft.
        """
        for advance in step.advances:
            _compute(self.prefixes, advance.sequence, advance.num_tokens)
        for advance, tokens in zip(step.outputs, sampled, strict=True):
            self._accept(advance, tokens)

    def _accept(self, advance: Advance, tokens: Seq[int | Sampled]) -> None:
        sequence, before = advance.sequence, advance.sequence.num_generated
        for token in tokens:
            if sequence.finish is None:
                sequence.accept(token, self._vocabulary, self._n_ctx)
        self.waiting.charge(sequence.person, num_written=sequence.num_generated - before)
        if advance.draft:  # what was confirmed is computed already; the rest is forgotten
            _compute(self.prefixes, sequence, max(0, sequence.num_uncomputed - 1))
            self.prefixes.trim(sequence)
            self.drafter.observe(len(advance.draft), len(tokens) - 1)
        if sequence.finish is not None:
            self.pace.observe_answer(sequence.num_generated)
            self._release(sequence)

    def fail(self, step: Step, error: KitError) -> None:
        """End every sequence of a step that could not be decoded; their slots are emptied."""
        for advance in step.advances:
            advance.sequence.end("error", error)
            self.prefixes.empty(self.prefixes.slots[advance.sequence.row_slot])
            self._release(advance.sequence)

    def fail_all(self, error: KitError) -> None:
        for sequence in self.waiting.everyone():
            sequence.end("error", error)
            self.waiting.remove(sequence)
        for sequence in self.running:
            sequence.end("error", error)

    def _release(self, sequence: Sequence) -> None:
        if sequence.slot is not None:
            self.prefixes.release(sequence)

    # -- telling ------------------------------------------------------------------------------

    def tell_waiting(self) -> None:
        """Everyone who waits hears how many come before, whenever that has changed."""
        num_slots = len(self.prefixes.slots)
        num_tokens = sum(sequence.num_to_read for sequence in self.running)
        for ahead, sequence in enumerate(self.waiting):
            if sequence.num_ahead != ahead:
                num_answers = len(self.running) + ahead
                wait_s = self.pace.seconds(num_tokens, num_answers, num_slots)
                sequence.tell_ahead(ahead, wait_s)
            num_tokens += len(sequence.tokens)

    def wait_s(self) -> float:
        """About how long whoever came now would wait."""
        every = [*self.running, *self.waiting.everyone()]
        num_tokens = sum(sequence.num_to_read for sequence in every)
        return self.pace.seconds(num_tokens, len(every), len(self.prefixes.slots))


def _compute(prefixes: PrefixCache, sequence: Sequence, num_tokens: int) -> None:
    """The next tokens of the sequence are in its slot."""
    start = sequence.num_computed
    prefixes.slots[sequence.row_slot].tokens += sequence.tokens[start : start + num_tokens]
    sequence.num_computed += num_tokens


def _step(advances: list[tuple[Sequence, int, tuple[int, ...]]], *, num_prompt_tokens: int) -> Step:
    rows: list[Row] = []
    made: list[Advance] = []
    for sequence, count, draft in advances:
        start, end = sequence.num_computed, sequence.num_computed + count
        is_output = end == len(sequence.tokens)
        is_decoding = sequence.is_decoding
        made.append(Advance(sequence, len(rows), count, is_output, draft, is_decoding))
        slot, last = sequence.row_slot, end - 1
        for at, token in enumerate([*sequence.tokens[start:end], *draft], start=start):
            rows.append(Row(token, at, slot, is_output and at >= last))
    return Step(tuple(rows), tuple(made), num_prompt_tokens)


def split_budget(needs: Seq[int], budget: int) -> list[int]:
    """Tokens for each reading sequence; `needs` are what they lack, oldest first.

    Half goes to the oldest, so nobody starves; the rest to those who need less than half as much,
    least first, so a short question passes a long one. What they leave is for the others in turn:
    equal prompts are answered one after the other, not all late.
    The sum is min(budget, sum(needs)).
    """
    shares = [0] * len(needs)
    if needs:
        shares[0] = min(needs[0], -(-budget // 2))
    left = budget - sum(shares)
    for at in sorted(range(len(needs)), key=lambda i: _turn(needs, i)):
        extra = min(needs[at] - shares[at], left)
        shares[at] += extra
        left -= extra
    return shares


def _turn(needs: Seq[int], at: int) -> tuple[bool, int]:
    """Sorts the short before the rest, those by their need and these by their age."""
    is_short = 2 * needs[at] < needs[0]
    return (False, needs[at]) if is_short else (True, at)
