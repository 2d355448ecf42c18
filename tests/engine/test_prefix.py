"""Prefixes: found wherever they are, never across namespaces, and let go oldest first."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.prefix import Saved, common_prefix
from kit.engine.sequence import Sharing
from tests.engine.fake_decoder import FakeDecoder, Rig, alone

DOCUMENT = [n % 80 + 1 for n in range(120)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)), st.integers(0, 400))
def test_common_prefix(a: list[int], b: list[int], limit: int) -> None:
    """The first `limit` at most, and the longest that is equal."""
    limit = min(limit, len(a), len(b))
    num = common_prefix(a, b, limit)
    assert a[:num] == b[:num]
    assert num == limit or a[num] != b[num]


def test_a_conversation_comes_back_from_memory() -> None:
    """More conversations than slots: the next turn reuses all that was said before."""
    rig = Rig(num_slots=1)
    said = {person: [*DOCUMENT, n + 1] for n, person in enumerate("abc")}
    for turn in range(3):
        for person, before in said.items():
            sequence = rig.submit([*before, 90, turn + 1], 4, person)
            rig.run()
            said[person] = sequence.tokens
            if turn:
                assert sequence.num_cached == len(before) - 1  # the last token was never computed
            assert sequence.tokens == alone([*before, 90, turn + 1], 4)
    assert rig.prefixes.counts.restored == 6


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    """Saved prefixes never take more than they may; the one used longest ago is dropped."""
    rig = Rig(num_slots=1, max_saved_bytes=300)
    for person in "abcd":
        rig.submit([*DOCUMENT, ord(person) % 80], 3, person)
        rig.run()
        assert rig.prefixes.saved_bytes <= 300
    again = {p: rig.submit([*DOCUMENT, ord(p) % 80, 5], 3, p) for p in "ac"}
    rig.run()
    assert again["a"].num_cached == 0
    assert again["c"].num_cached > len(DOCUMENT)
    assert rig.prefixes.counts.evicted > 0


def test_a_longer_prefix_replaces_the_one_it_covers() -> None:
    """A conversation is saved once, not once a turn."""
    rig = Rig(num_slots=1)
    tokens = [*DOCUMENT, 5]
    for turn in range(4):
        sequence = rig.submit([*tokens, 90, turn], 3, "a")
        rig.run()
        tokens = sequence.tokens
        rig.submit([7] * 100, 2, "b")
        rig.run()
    assert len([saved for saved in rig.prefixes.saved if saved.sharing.namespace == "a"]) == 1


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [
        (Sharing("a", "all", 100), Sharing("b", "all", 100), 100),
        (Sharing("a", "all", 100), Sharing("b", "all", 60), 60),
        (Sharing("a", "all", 100), Sharing("a", "all", 100), 120),
        (Sharing("a", "all", 100), Sharing("b", "none", 100), 0),
        (Sharing("a", "all", 100), Sharing("b"), 0),
        (Sharing("a"), Sharing(None, "a", 100), 0),
        (Sharing(None, "all", 100), Sharing(None, "all", 100), 100),
    ],
)
@pytest.mark.parametrize("num_slots", [1, 2])
def test_what_two_share_ends_where_privacy_begins(
    first: Sharing, second: Sharing, cached: int, num_slots: int
) -> None:
    """Passages that both may read are reused, what one of them asked is not, nor its answer."""
    rig = Rig(num_slots)
    rig.submit([*DOCUMENT, 1], 3, sharing=first)
    rig.run()
    again = rig.submit([*DOCUMENT, 2], 3, sharing=second)
    rig.run()
    assert again.num_cached == cached
    assert again.tokens == alone([*DOCUMENT, 2], 3)


namespaces = st.sampled_from([None, "a", "b"])
sharings = st.builds(
    Sharing, namespaces, st.sampled_from([None, "x", "y"]), st.integers(0, len(DOCUMENT))
)


@settings(deadline=None, max_examples=200)
@given(
    requests=st.lists(
        st.tuples(sharings, st.integers(1, len(DOCUMENT)), st.integers(1, 3)), max_size=12
    ),
    num_slots=st.integers(1, 3),
    max_saved_bytes=st.sampled_from([0, 150, 10_000]),
    can_trim=st.booleans(),
)
def test_nothing_crosses_between_those_who_share_nothing(
    requests: list[tuple[Sharing, int, int]],
    num_slots: int,
    max_saved_bytes: int,
    can_trim: bool,
) -> None:
    """What a sequence reuses was computed for somebody with whom it shares that much."""
    rig = Rig(num_slots, decoder=FakeDecoder(can_trim=can_trim), max_saved_bytes=max_saved_bytes)
    earlier: list[tuple[Sharing, list[int]]] = []
    for sharing, length, last in requests:
        prompt = [*DOCUMENT[:length], last]
        sequence = rig.submit(prompt, 2, sharing=sharing)
        rig.run()
        allowed = [
            common_prefix(tokens, prompt, min(sharing.limit(other), len(tokens), len(prompt)))
            for other, tokens in earlier
        ]
        assert sequence.num_cached <= max(allowed, default=0)
        assert sequence.tokens == alone(prompt, 2)
        earlier.append((sharing, list(sequence.tokens)))


def test_forgetting_leaves_nothing_of_a_namespace() -> None:
    """Neither in slots nor saved; others keep theirs."""
    rig = Rig(num_slots=1)
    for person in "ab":
        rig.submit([*DOCUMENT, 1], 3, person)
        rig.run()
    rig.prefixes.forget("a")
    rig.prefixes.forget("b")
    assert rig.prefixes.saved == []
    assert rig.decoder.slots == {0: []}
    again = rig.submit([*DOCUMENT, 1], 3, "a")
    rig.run()
    assert again.num_cached == 0


def test_who_runs_or_waits_in_a_forgotten_namespace_leaves_nothing_there() -> None:
    """A document is removed while it is read: nobody reuses it afterwards, nor is it pinned."""
    rig = Rig(num_slots=1)
    sharing = Sharing("ann", "document 7", len(DOCUMENT))
    running = rig.submit([*DOCUMENT, 1], 3, sharing=sharing, is_pinned=True)
    waiting = rig.submit([*DOCUMENT, 2], 3, sharing=sharing, is_pinned=True)
    rig.step(8)
    assert (running.slot, waiting.slot) == (0, None)
    rig.scheduler.forget("document 7")
    rig.run()
    assert running.tokens == alone([*DOCUMENT, 1], 3)
    assert (waiting.tokens, waiting.num_cached) == (alone([*DOCUMENT, 2], 3), 0)
    assert [sequence.sharing.shared_namespace for sequence in (running, waiting)] == [None, None]
    again = rig.submit([*DOCUMENT, 3], 3, sharing=sharing)
    rig.run()
    assert again.num_cached == 0


def test_a_pin_that_is_gone_from_disk_is_looked_for_once() -> None:
    """Its place in the list goes, so that what others compute of it is found instead."""
    rig = Rig(num_slots=2)
    sharing = Sharing(None, "all", len(DOCUMENT))
    rig.prefixes.add_pinned([Saved(list(DOCUMENT), sharing, lambda: None, 0, is_pinned=True)])
    first = rig.submit([*DOCUMENT, 1], 3, sharing=sharing)
    rig.run()
    second = rig.submit([*DOCUMENT, 2], 3, sharing=sharing)
    rig.run()
    assert rig.prefixes.saved == []
    assert (first.num_cached, second.num_cached) == (0, len(DOCUMENT))


def test_a_state_that_cannot_be_loaded_costs_only_time() -> None:
    """llama.cpp refuses a saved state: the prompt is computed, the text is the same."""
    rig = Rig(num_slots=1)
    for person in "ab":
        rig.submit([*DOCUMENT, 1], 3, person)
        rig.run()
    rig.decoder.loads_fail = True
    again = rig.submit([*DOCUMENT, 1, 2], 3, "a")
    rig.run()
    assert (again.num_cached, again.tokens) == (0, alone([*DOCUMENT, 1, 2], 3))


def test_what_was_reused_is_a_number() -> None:
    """Nothing reused is 0 in the answer's usage, not false, also where no place had a prefix."""
    rig = Rig(num_slots=1)
    first = rig.submit([*DOCUMENT, 1], 2, "a")
    rig.run()
    second = rig.submit([7] * 100, 2, "b")
    rig.run()
    assert [json.dumps(one.num_cached) for one in (first, second)] == ["0", "0"]
