"""The scheduler with a decoder that only counts: every property of batching, without a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.fairness import QueueFull
from kit.engine.scheduler import split_budget
from kit.engine.sequence import Queued, Sequence
from kit.errors import EngineError
from tests.engine.fake_decoder import N_CTX, FakeDecoder, Rig, alone

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
    can_trim = data.draw(st.booleans())
    rig = Rig(
        num_slots,
        decoder=FakeDecoder(can_trim=can_trim),
        max_saved_bytes=data.draw(st.sampled_from([0, 60, 10_000])),
        max_draft=data.draw(st.sampled_from([0, 4])) if can_trim else 0,
    )
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
        assert victim not in [advance.sequence for advance in step.advances]
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
        order += [a.sequence for a in step.advances if a.sequence not in order]
    assert order == sequences


def test_the_queue_is_bounded() -> None:
    """A full queue refuses at once instead of growing."""
    rig = Rig(num_slots=1, max_waiting=3)
    for n in range(3):
        rig.submit([1], person=str(n))
    with pytest.raises(QueueFull):
        rig.submit([1], person="late")


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
    [("a", "a", 19), ("a", "b", 0), ("a", None, 0), (None, "a", 0), (None, None, 0)],
)
def test_a_prefix_is_reused_only_within_its_namespace(
    first: str | None, second: str | None, cached: int
) -> None:
    """The same prompt again is spared all but its last token, for the same namespace alone."""
    rig = Rig(num_slots=1)
    prompt = list(range(1, 21))
    rig.submit(prompt, 3, first)
    rig.run()
    again = rig.submit(prompt, 3, second)
    rig.run()
    assert rig.finishes(again)[0].cached_tokens == cached
    assert again.tokens == alone(prompt, 3)


def test_a_step_that_fails_ends_only_its_sequences() -> None:
    """Whoever was in the failed batch is told; whoever waited is served, from an empty slot."""
    rig = Rig(num_slots=1)
    prompt = list(range(1, 30))
    rig.submit(prompt[:20], 3, "a")
    rig.run()
    failed, waiting = rig.submit(prompt, 3, "a"), rig.submit(prompt, 3, "a")
    step = rig.scheduler.plan(max_prompt_tokens=64)
    rig.decoder.decode(step.rows[:1])  # half of it got done: nothing in the slot can be trusted
    rig.scheduler.fail(step, EngineError("no"))
    assert rig.finishes(failed)[0].reason == "error"
    rig.run()
    assert waiting.tokens == alone(prompt, 3)
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


@settings(max_examples=150, deadline=None)
@given(
    num_people=st.integers(2, 8),
    num_common=st.integers(100, 150),
    num_slots=st.integers(1, 8),
    budget=st.integers(8, 64),
)
def test_a_shared_document_is_computed_once(
    num_people: int, num_common: int, num_slots: int, budget: int
) -> None:
    """Whoever asks about the same passages waits for the one who reads them; nobody reads twice."""
    rig = Rig(num_slots)
    common = [n % 80 + 1 for n in range(num_common)]
    prompts = [[*common, 81 + n, 5, 6, 7] for n in range(num_people)]
    sequences = [rig.submit(prompt, 3, "readers") for prompt in prompts]
    rig.run(budget)
    num_written = 2 * num_people  # the last token of an answer is never computed
    assert rig.decoder.num_computed == num_common + 4 * num_people + num_written
    for sequence, prompt in zip(sequences, prompts, strict=True):
        assert sequence.tokens == alone(prompt, 3)


@settings(max_examples=100, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 120), st.integers(1, 12)),
        min_size=1,
        max_size=40,
    ),
    num_slots=st.integers(1, 3),
)
def test_everyone_is_served_in_the_end(
    arrivals: list[tuple[str, int, int]], num_slots: int
) -> None:
    """However many come after it and however much they share, a sequence is begun before all who
    came later have used what `split_budget` and the queue may give them."""
    rig = Rig(num_slots)
    sequences = []
    for person, length, max_tokens in arrivals:
        prompt = [n % 3 + 1 for n in range(length)]
        sequences.append(rig.submit(prompt, max_tokens, person, person=person))
        rig.step(16)
    rig.run(16)
    assert all(len(rig.finishes(sequence)) == 1 for sequence in sequences)


def test_a_late_answer_is_ended_with_words() -> None:
    """Past its deadline a sequence ends, waiting or running, and its slot is free."""
    rig = Rig(num_slots=1)
    running = rig.submit([1, 2], 300, deadline=10.0)
    waiting = rig.submit([1, 2], 300, deadline=5.0)
    rig.step(now=4.9)
    rig.step(now=5.0)
    assert running.finish is None
    assert waiting.finish is not None
    assert waiting.finish.reason == "error"
    rig.step(now=10.0)
    assert [type(f.error).__name__ for f in rig.finishes(running)] == ["EngineTimeout"]
    assert not rig.scheduler.has_work


def test_those_who_wait_hear_their_place() -> None:
    """The number before each, when it changes and not otherwise; nothing for those who run."""
    rig = Rig(num_slots=1)
    first, second, third = (rig.submit([1, 2], 2) for _ in range(3))
    rig.step()

    def heard(sequence: Sequence) -> list[int]:
        return [event.ahead for event in rig.events[id(sequence)] if isinstance(event, Queued)]

    for _ in range(3):
        rig.scheduler.tell_waiting()
    assert (heard(first), heard(second), heard(third)) == ([], [0], [1])
    rig.step()
    rig.step()
    rig.scheduler.tell_waiting()
    assert (heard(second), heard(third)) == ([0], [1, 0])


@settings(max_examples=150, deadline=None)
@given(
    prompt=st.lists(st.integers(1, 2), min_size=4, max_size=40),
    max_tokens=st.integers(1, 60),
    max_draft=st.integers(1, 8),
)
def test_drafts_change_no_text(prompt: list[int], max_tokens: int, max_draft: int) -> None:
    """Guessed tokens are kept only where the model says the same; the limits hold."""
    rig = Rig(max_draft=max_draft)
    rig.decoder.sample = lambda row: _cyclic(rig.decoder.batch[row])  # type: ignore[method-assign]
    sequence = rig.submit(prompt, max_tokens)
    num_steps = rig.run()
    expected = list(prompt)
    while len(expected) < len(prompt) + max_tokens:
        expected.append(_cyclic(expected))
    assert sequence.tokens == expected
    if max_tokens > 40:
        assert num_steps < max_tokens, "no guess was ever used"


def _cyclic(tokens: list[int]) -> int:
    """A fake model whose answers repeat themselves."""
    return (3, 4, 5, 6)[len(tokens) % 4]
