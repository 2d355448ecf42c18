"""The scheduler with a decoder that only counts: every property of batching, without a model."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.scheduler import (
    MAX_STEP_TOKENS,
    MIN_STEP_TOKENS,
    QueueFull,
    Row,
    Scheduler,
    Step,
    StepBudget,
    split_budget,
)
from kit.engine.sequence import Finish, Sequence, Text
from kit.errors import EngineError

END = 0
N_CTX = 200


def next_token(tokens: Seq[int]) -> int:
    """The fake model: the next token follows from all tokens before it, and from nothing else."""
    state = 7
    for token in tokens:
        state = (state * 31 + token + 1) % 1009
    return state % 90 + 1


class FakeVocabulary:
    def piece(self, token: int) -> bytes:
        return f"<{token}>".encode()

    def is_end(self, token: int) -> bool:
        return token == END


@dataclass
class FakeDecoder:
    """Holds each slot's tokens as a real cache would, and refuses a batch that leaves a gap."""

    slots: dict[int, list[int]] = field(default_factory=dict)
    can_keep: bool = True

    def keep(self, slot: int, num_tokens: int) -> int:
        kept = num_tokens if self.can_keep else 0
        self.slots[slot] = self.slots.get(slot, [])[:kept]
        return kept

    def decode(self, rows: Seq[Row]) -> None:
        for row in rows:
            held = self.slots.setdefault(row.slot, [])
            assert row.position == len(held), "a position was skipped or computed twice"
            held.append(row.token)

    def sample(self, row: Row) -> int:
        return next_token(self.slots[row.slot])


@dataclass
class Rig:
    """A scheduler over the fake, and what every sequence emitted."""

    num_slots: int = 2
    max_waiting: int = 64
    decoder: FakeDecoder = field(default_factory=FakeDecoder)
    events: dict[int, list[Text | Finish]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.decoder,
            FakeVocabulary(),
            num_slots=self.num_slots,
            n_ctx=N_CTX,
            max_waiting=self.max_waiting,
        )

    def submit(
        self, tokens: Seq[int], max_tokens: int = 5, namespace: str | None = None
    ) -> Sequence:
        seen: list[Text | Finish] = []
        sequence = Sequence(list(tokens), max_tokens, seen.append, cache_namespace=namespace)
        self.events[id(sequence)] = seen
        self.scheduler.submit(sequence)
        return sequence

    def step(self, budget: int = 64) -> Step:
        step = self.scheduler.plan(budget)
        if step.rows:
            self.decoder.decode(step.rows)
            sampled = [self.decoder.sample(step.rows[row]) for row, _ in step.outputs]
            self.scheduler.commit(step, sampled)
        return step

    def run(self, budget: int = 64, max_steps: int = 10_000) -> int:
        for count in range(max_steps):
            if not self.step(budget).rows:
                return count
        raise AssertionError("the scheduler does not come to an end")

    def finishes(self, sequence: Sequence) -> list[Finish]:
        return [event for event in self.events[id(sequence)] if isinstance(event, Finish)]


def alone(tokens: Seq[int], max_tokens: int) -> list[int]:
    """What the fake model writes after `tokens` when nobody else is there."""
    out = list(tokens)
    while len(out) < len(tokens) + max_tokens and len(out) < N_CTX:
        out.append(next_token(out))
    return out


requests = st.lists(
    st.tuples(
        st.lists(st.integers(1, 3), min_size=1, max_size=40),  # few tokens: prefixes collide
        st.integers(1, 8),
        st.sampled_from([None, "a", "b"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(requests=requests, num_slots=st.integers(1, 4), budget=st.integers(1, 50), data=st.data())
def test_batching_changes_no_ones_text(
    requests: list[tuple[list[int], int, str | None]],
    num_slots: int,
    budget: int,
    data: st.DataObject,
) -> None:
    """Whatever is mixed, shared or chunked, each sequence gets the tokens it would get alone."""
    rig = Rig(num_slots, decoder=FakeDecoder(can_keep=data.draw(st.booleans())))
    sequences = []
    for tokens, max_tokens, namespace in requests:
        sequences.append(rig.submit(tokens, max_tokens, namespace))
        for _ in range(data.draw(st.integers(0, 3))):
            rig.step(budget)
    rig.run(budget)
    for sequence, (tokens, max_tokens, _) in zip(sequences, requests, strict=True):
        assert sequence.tokens == alone(tokens, max_tokens)
        assert [finish.reason for finish in rig.finishes(sequence)] == ["length"]


@settings(max_examples=200, deadline=None)
@given(requests=requests, num_slots=st.integers(1, 3), at=st.integers(0, 30), data=st.data())
def test_a_cancelled_sequence_costs_no_further_row_and_disturbs_nobody(
    requests: list[tuple[list[int], int, str | None]],
    num_slots: int,
    at: int,
    data: st.DataObject,
) -> None:
    """Cancelled at any step N, it is in no later batch, and the others' text is unchanged."""
    rig = Rig(num_slots)
    sequences = [rig.submit(*request) for request in requests]
    victim = data.draw(st.sampled_from(sequences))
    for _ in range(at):
        rig.step(16)
    was_over = victim.finish is not None
    victim.is_cancelled = True
    while (step := rig.step(16)).rows:
        assert victim not in [sequence for sequence, _ in step.advances]
    assert [finish.reason for finish in rig.finishes(victim)] == [
        "length" if was_over else "cancelled"
    ]
    for sequence, (tokens, max_tokens, _) in zip(sequences, requests, strict=True):
        if sequence is not victim:
            assert sequence.tokens == alone(tokens, max_tokens)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 150), min_size=2, max_size=8), budget=st.integers(8, 64))
def test_running_streams_advance_in_every_step(lengths: list[int], budget: int) -> None:
    """While long prompts are read, each decoding sequence still gets one token per step."""
    rig = Rig(num_slots=8)
    stream = rig.submit([1], max_tokens=150)
    rig.step(budget)
    others = [rig.submit([2] * length, max_tokens=3) for length in lengths]
    while not all(other.finish for other in others):
        before = stream.num_generated
        step = rig.step(budget)
        assert stream.num_generated == before + 1 or stream.finish
        assert step.num_prompt_tokens <= budget


def test_waiting_requests_are_served_in_order() -> None:
    """First come, first served: a slot goes to whoever waited longest."""
    rig = Rig(num_slots=1)
    sequences = [rig.submit([1, 2, n + 1], max_tokens=2) for n in range(5)]
    order: list[Sequence] = []
    while (step := rig.step()).rows:
        order += [s for s, _ in step.advances if s not in order]
    assert order == sequences


def test_the_queue_is_bounded() -> None:
    """A full queue refuses at once instead of growing."""
    rig = Rig(num_slots=1, max_waiting=3)
    for _ in range(3):
        rig.submit([1])
    with pytest.raises(QueueFull):
        rig.submit([1])


def test_a_finished_sequence_leaves_nothing_behind_without_a_namespace() -> None:
    """The cache of a request without a namespace is emptied when it ends or is cancelled."""
    rig = Rig(num_slots=2)
    rig.submit([1, 2, 3], max_tokens=2)
    cancelled = rig.submit([4, 5, 6], max_tokens=90)
    rig.step()
    cancelled.is_cancelled = True
    rig.run()
    assert rig.decoder.slots == {0: [], 1: []}


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [("a", "a", 8), ("a", "b", 0), ("a", None, 0), (None, "a", 0), (None, None, 0)],
)
def test_a_prefix_is_reused_only_within_its_namespace(
    first: str | None, second: str | None, cached: int
) -> None:
    """The same prompt again is spared all but its last token, for the same namespace alone."""
    rig = Rig(num_slots=1)
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    rig.submit(prompt, 3, first)
    rig.run()
    again = rig.submit(prompt, 3, second)
    rig.run()
    assert rig.finishes(again)[0].cached_tokens == cached
    assert again.tokens == alone(prompt, 3)


def test_a_step_that_fails_ends_only_its_sequences() -> None:
    """Whoever was in the failed batch is told; whoever waited is served, from an empty slot."""
    rig = Rig(num_slots=1)
    rig.submit([1, 2], 3, "a")
    rig.run()
    failed, waiting = rig.submit([1, 2, 3], 3, "a"), rig.submit([1, 2, 3], 3, "a")
    step = rig.scheduler.plan(64)
    rig.decoder.decode(step.rows[:1])  # half of it got done: nothing in the slot can be trusted
    rig.scheduler.fail(step, EngineError("no"))
    assert rig.finishes(failed)[0].reason == "error"
    rig.run()
    assert waiting.tokens == alone([1, 2, 3], 3)
    assert rig.finishes(waiting)[0].cached_tokens == 0


def test_the_context_is_never_overrun() -> None:
    """A sequence ends with "length" when its context is full, whatever it asked for."""
    rig = Rig()
    sequence = rig.submit([1] * (N_CTX - 3), max_tokens=1000)
    rig.run(budget=512)
    assert len(sequence.tokens) == N_CTX
    assert rig.finishes(sequence)[0].reason == "length"


@settings(deadline=None)
@given(needs=st.lists(st.integers(1, 500), max_size=10), budget=st.integers(1, 600))
def test_the_budget_is_spent_and_the_oldest_advances(needs: list[int], budget: int) -> None:
    """Nothing is wasted, no share exceeds its need, and the oldest gets half or all it needs."""
    shares = split_budget(needs, budget)
    assert sum(shares) == min(budget, sum(needs))
    assert all(share <= need for share, need in zip(shares, needs, strict=True))
    if needs:
        assert shares[0] >= min(needs[0], budget / 2)


def test_a_short_question_passes_long_ones() -> None:
    """A question of a few words is answered while three long prompts are still being read."""
    rig = Rig(num_slots=4)
    long_ones = [rig.submit([n] * 150, max_tokens=2) for n in (1, 2, 3)]
    rig.step(budget=32)
    short = rig.submit([4] * 10, max_tokens=2)
    rig.step(budget=32)
    assert short.num_generated == 1
    assert not any(sequence.num_generated for sequence in long_ones)


def test_equal_prompts_are_answered_one_after_the_other() -> None:
    """Of two prompts of one length the first is answered after half the work, not after all."""
    rig = Rig(num_slots=2)
    first, second = rig.submit([1] * 128, max_tokens=1), rig.submit([2] * 128, max_tokens=1)
    for _ in range(4):
        rig.step(budget=32)
    assert (first.num_generated, second.num_generated) == (1, 0)


def test_the_budget_follows_the_machine() -> None:
    """A slow machine reads prompts in small pieces while others stream, a fast one in large."""
    slow, fast = StepBudget(), StepBudget()
    for _ in range(20):
        slow.observe(64, seconds=1.0)
        fast.observe(64, seconds=0.01)
    assert slow.tokens(is_streaming=True) == MIN_STEP_TOKENS
    assert slow.tokens(is_streaming=False) == 64
    assert fast.tokens(is_streaming=True) == MAX_STEP_TOKENS
