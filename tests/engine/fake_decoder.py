"""A decoder that only counts, and a scheduler over it: batching without a model."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Any

from kit.engine.draft import TRIAL_STEPS, Drafter
from kit.engine.fairness import FairQueue
from kit.engine.prefix import PrefixCache
from kit.engine.scheduler import Advance, Row, Scheduler, Step
from kit.engine.sequence import Finish, Queued, Sequence, Sharing, Text

END = 0
N_CTX = 400


def next_token(tokens: Seq[int]) -> int:
    """The fake model: the next token follows from all tokens before it, and from nothing else."""
    state = 7
    for token in tokens:
        state = (state * 31 + token + 1) % 1009
    return state % 90 + 1


def alone(tokens: Seq[int], max_tokens: int) -> list[int]:
    """What the fake model writes after `tokens` when nobody else is there."""
    out = list(tokens)
    while len(out) < len(tokens) + max_tokens and len(out) < N_CTX:
        out.append(next_token(out))
    return out


class FakeVocabulary:
    def piece(self, token: int) -> bytes:
        return f"<{token}>".encode()

    def is_end(self, token: int) -> bool:
        return token == END


@dataclass(frozen=True)
class FakeState:
    """What `save` copies: tokens, a byte each."""

    tokens: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return len(self.tokens)


@dataclass
class FakeDecoder:
    """Holds each slot's tokens as a real cache would, and refuses a batch that leaves a gap."""

    can_trim: bool = True
    slots: dict[int, list[int]] = field(default_factory=dict)
    batch: list[list[int]] = field(default_factory=list)
    num_computed: int = 0
    loads_fail: bool = False

    def keep(self, slot: int, num_tokens: int) -> int:
        held = self.slots.get(slot, [])
        kept = num_tokens if self.can_trim or num_tokens == len(held) else 0
        self.slots[slot] = held[:kept]
        return kept

    def save(self, slot: int, max_bytes: int) -> FakeState | None:
        held = tuple(self.slots.get(slot, []))
        return FakeState(held) if 0 < len(held) <= max_bytes else None

    def load(self, slot: int, state: Any) -> bool:
        self.slots[slot] = [] if self.loads_fail else list(state.tokens)
        return not self.loads_fail

    def decode(self, rows: Seq[Row]) -> None:
        self.batch = []
        for row in rows:
            held = self.slots.setdefault(row.slot, [])
            assert row.position == len(held), "a position was skipped or computed twice"
            held.append(row.token)
            self.batch.append(list(held))
        self.num_computed += len(rows)

    def sample(self, row: int) -> int:
        return next_token(self.batch[row])


@dataclass
class Rig:
    """A scheduler over the fake, and what every sequence emitted."""

    num_slots: int = 2
    max_waiting: int = 64
    max_saved_bytes: int = 10_000
    max_draft: int = 0
    decoder: FakeDecoder = field(default_factory=FakeDecoder)
    events: dict[int, list[Queued | Text | Finish]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefixes = PrefixCache(
            self.decoder, num_slots=self.num_slots, max_saved_bytes=self.max_saved_bytes
        )
        self.drafter = Drafter(self.max_draft)
        for number in range(1, self.num_slots + 1):  # it has seen that drafting pays
            for num_tokens in (1, 2):
                for _ in range(TRIAL_STEPS):
                    self.drafter.observe_step(number, num_tokens, 1.0)
        self.scheduler = Scheduler(
            self.prefixes,
            FairQueue(self.max_waiting),
            FakeVocabulary(),
            n_ctx=N_CTX,
            drafter=self.drafter,
        )

    def submit(
        self,
        tokens: Seq[int],
        max_tokens: int = 5,
        namespace: str | None = None,
        *,
        sharing: Sharing | None = None,
        **options: Any,
    ) -> Sequence:
        seen: list[Queued | Text | Finish] = []
        sharing = sharing or Sharing(namespace)
        sequence = Sequence(list(tokens), max_tokens, seen.append, sharing=sharing, **options)
        self.events[id(sequence)] = seen
        self.scheduler.submit(sequence)
        return sequence

    def step(self, budget: int = 64, *, now: float = 0.0) -> Step:
        step = self.scheduler.plan(now=now, max_prompt_tokens=budget)
        if step.rows:
            self.decoder.decode(step.rows)
            self.scheduler.commit(step, [self._sample(advance) for advance in step.outputs])
        return step

    def _sample(self, advance: Advance) -> list[int]:
        tokens: list[int] = []
        for row, guess in zip(advance.output_rows, (*advance.draft, None), strict=True):
            tokens.append(self.decoder.sample(row))
            if tokens[-1] != guess:
                break
        return tokens

    def run(self, budget: int = 64, max_steps: int = 10_000) -> int:
        for count in range(max_steps):
            if not self.step(budget).rows:
                return count
        raise AssertionError("the scheduler does not come to an end")

    def finishes(self, sequence: Sequence) -> list[Finish]:
        return [event for event in self.events[id(sequence)] if isinstance(event, Finish)]
