"""The queue: bounded, fair between people, and first come first served for each of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.fairness import MAX_REMEMBERED, OUTPUT_WEIGHT, FairQueue, QueueFull
from kit.engine.sequence import Sequence


class Line:
    """A queue whose sequences are served one by one, each charged for what it is."""

    def __init__(self, max_waiting: int = 64) -> None:
        self.queue = FairQueue(max_waiting)
        self.num_arrivals = 0

    def push(self, person: str, num_tokens: int = 10) -> Sequence:
        self.num_arrivals += 1
        sequence = Sequence([1] * num_tokens, 1, lambda _event: None, person=person)
        sequence.arrival = self.num_arrivals
        self.queue.push(sequence)
        return sequence

    def serve(self) -> Sequence:
        sequence = next(iter(self.queue))
        self.queue.remove(sequence)
        self.queue.charge(sequence.person, num_read=len(sequence.tokens))
        return sequence


def test_people_take_turns_however_much_one_asks() -> None:
    """Ten requests of one person do not hold up another's single one."""
    line = Line()
    for _ in range(10):
        line.push("ana")
    line.push("ben")
    assert [line.serve().person for _ in range(3)] == ["ana", "ben", "ana"]


def test_what_counts_is_work_not_requests() -> None:
    """Whoever asked long questions waits while others ask as much in short ones."""
    line = Line()
    for _ in range(3):
        line.push("ana", 100)
    for _ in range(12):
        line.push("ben", 20)
    order = "".join(line.serve().person[0] for _ in range(15))
    assert order == "abbbbbabbbbbabb"


def test_time_away_earns_nothing() -> None:
    """A newcomer starts level with those who wait, not ahead by all they were served."""
    line = Line()
    for _ in range(20):
        line.push("ana")
    for _ in range(10):
        line.serve()
    for _ in range(10):
        line.push("ben")
    served = "".join(line.serve().person[0] for _ in range(10))
    assert served.count("b") == 5


def test_written_tokens_count_more() -> None:
    """An answer is charged by its length, at the stated weight."""
    line = Line()
    for person in ("ana", "ben", "ana", "ben"):
        line.push(person)
    first, second = line.serve(), line.serve()
    line.queue.charge(first.person, num_written=10)
    line.queue.charge(second.person, num_read=10 * OUTPUT_WEIGHT - 1)
    assert line.serve().person == second.person


def test_one_person_never_fills_the_queue() -> None:
    """Half of it is the most for one; requests without a name share the whole."""
    line = Line(max_waiting=8)
    for _ in range(4):
        line.push("ana")
    with pytest.raises(QueueFull):
        line.push("ana")
    for _ in range(4):
        line.push("")
    assert line.queue.is_full_for("ben")
    with pytest.raises(QueueFull):
        line.push("ben")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 50)), max_size=32))
def test_nobody_is_lost_and_each_keeps_the_order(arrivals: list[tuple[str, int]]) -> None:
    """Every sequence is served once; each person's in the order of arrival; as it was foretold."""
    line = Line()
    pushed = [line.push(*arrival) for arrival in arrivals]
    foretold = list(line.queue)
    served = [line.serve() for _ in arrivals]
    assert served == foretold
    assert sorted(s.arrival for s in served) == [s.arrival for s in pushed]
    for person in "abcd":
        own = [s.arrival for s in served if s.person == person]
        assert own == sorted(own)
    assert len(line.queue) == 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=40, max_size=80))
def test_nobody_starves(newcomers: list[str]) -> None:
    """Whoever waits is served while others keep coming, after at most a turn of each."""
    line = Line(max_waiting=200)
    for person in "abc":
        for _ in range(5):
            line.push(person)
    waiting = line.push("dan")
    for turn, person in enumerate(newcomers):
        line.push(person)
        if line.serve() is waiting:
            assert turn <= 4
            return
    raise AssertionError("dan was never served")


def test_counters_do_not_grow_without_bound() -> None:
    """Thousands of people come and go; only the most served are remembered."""
    line = Line()
    for n in range(3 * MAX_REMEMBERED):
        line.push(f"person {n}")
        line.serve()
    assert len(line.queue._served) <= MAX_REMEMBERED + 2
