"""How long the rest of the reading takes: sensible for scans and mixed files, from the first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.library.progress import (
    SMALL_BYTES,
    Begun,
    Ended,
    Waiting,
    how_far,
    last_run,
    seconds_left,
)

SECONDS = st.floats(0.01, 500)
SIZES = st.integers(1, 50_000_000)
NOTES = [Ended("md", 3_000, 0.4)] * 40
NOTES_S = 16.0


def test_a_run_of_reading_has_no_long_rest() -> None:
    """The speed is of the run that goes on, not of one an hour ago, nor cut by a long document."""
    spans = [(95.0, 99.0), (90.0, 95.0), (10.0, 20.0)]
    assert last_run(spans, 100.0, None) == (2, 10.0)
    assert last_run(spans, 200.0, None) == (0, 1.0)
    assert last_run(spans, 200.0, 99.0) == (2, 110.0)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (("parsing", 11, 1300), "scanned page 12 of 1,300"),
        (("parsing", 30, 30), "scanned page 30 of 30"),
        (("embedding", 3, 9), "3 of 9 passages"),
        (("parsing", 0, 0), ""),
    ],
)
def test_how_far_a_document_is_in_words(told: tuple[str, int, int], words: str) -> None:
    """The page that is being recognised, or the passages that are embedded."""
    assert how_far(*told) == words


@pytest.mark.parametrize("ended", [[], NOTES])
def test_a_scan_takes_as_long_as_its_pages_say(ended: list[Ended]) -> None:
    """A large scan after small notes, or as the first of all: 10 of its 30 pages, and half of the
    next, took 21 s, so the other 19.5 take 39 s, whatever its bytes."""
    scan = Begun("pdf", 25_000_000, 22.0, 21.0, 10, 30)
    assert seconds_left(ended, [scan], [], NOTES_S + 22) == pytest.approx(39.0)
    alike = Waiting("pdf", 3, 75_000_000)  # each 61 s, as this one will have taken
    left = seconds_left(ended, [scan], [alike], NOTES_S + 22)
    assert left == pytest.approx(39 + 3 * 61)


def test_neither_a_broken_file_nor_a_scan_makes_the_rest_endless() -> None:
    """21 bytes that were refused in 0.2 s say little of a scan of 8 MB, and the scan nothing of the
    notes behind it. Seen: 47 hours, and half a minute for a note."""
    left = seconds_left([Ended("pdf", 21, 0.2)], [], [Waiting("pdf", 1, 8_000_000)], 1.0)
    assert left is not None
    assert left < 200
    scan = Ended("pdf", 8_000_000, 103.0)
    for kind in ("md", "pdf"):
        left = seconds_left([scan], [], [Waiting(kind, 2, 2 * SMALL_BYTES)], 103.0)
        assert left is not None
        assert left < 3


def test_one_kind_does_not_tell_how_long_another_takes_a_byte() -> None:
    """A scan of 25 MB that waits behind notes of 3 kB is no matter of hours before it is begun."""
    left = seconds_left(NOTES, [], [Waiting("pdf", 1, 25_000_000)], NOTES_S)
    assert left == pytest.approx(0.4)
    begun = Begun("pdf", 25_000_000, 8.0, 8.0, 0, 30)  # longer than expected, and tells nothing yet
    assert seconds_left(NOTES, [begun], [], NOTES_S) == pytest.approx(2.0)


def test_a_large_file_among_small_ones_is_neither_endless_nor_free() -> None:
    """A note of 1 MB, 330 times as large as the others, takes longer than each and less than 330
    times as long."""
    left = seconds_left(NOTES, [], [Waiting("md", 1, 1_000_000)], NOTES_S)
    assert left is not None
    assert 10 * 0.4 < left < 330 * 0.4


def test_a_mixed_queue_is_the_sum_of_its_kinds() -> None:
    """Each kind by its own, and all of it shorter where reading and embedding overlap."""
    ended = [*NOTES, Ended("pdf", 1_000_000, 10.0), Ended("pdf", 1_000_000, 10.0)]
    waiting = [Waiting("md", 100, 100 * SMALL_BYTES), Waiting("pdf", 5, 5_000_000)]
    alone_s = NOTES_S + 20
    assert seconds_left(ended, [], waiting, alone_s) == pytest.approx(40 + 50)
    assert seconds_left(ended, [], waiting, alone_s / 2) == pytest.approx((40 + 50) / 2)


def test_nothing_to_judge_by_is_no_estimate() -> None:
    """None until a document is through or tells how far it is; 0 when all is read."""
    assert seconds_left([], [], [Waiting("md", 1, 9)], 1.0) is None
    assert seconds_left([], [Begun("md", 9, 3.0, 3.0, 0, 0)], [], 3.0) is None
    assert seconds_left([], [], [], 1.0) == 0.0
    assert seconds_left(NOTES, [], [], 1.0) == 0.0


@given(
    st.lists(st.builds(Ended, st.sampled_from(["md", "pdf"]), SIZES, SECONDS), min_size=1),
    st.integers(1, 5),
)
def test_the_same_once_more_takes_as_long_again(ended: list[Ended], times: int) -> None:
    """Whatever was read: so many times the same files take so many times as long."""
    run_s = sum(one.seconds for one in ended)
    waiting = [
        Waiting(
            kind, times * len(these), times * sum(max(SMALL_BYTES, o.size_bytes) for o in these)
        )
        for kind in ("md", "pdf")
        if (these := [one for one in ended if one.kind == kind])
    ]
    assert seconds_left(ended, [], waiting, run_s) == pytest.approx(times * run_s)
