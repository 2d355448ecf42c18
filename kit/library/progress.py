"""How far the reading is: the nouns, the words for it, and how long the rest will take.

Pure: knows no table. Invariant: the time left is judged by documents of the same kind and by what a
document that is read tells of itself, never by comparing the bytes of one kind with another's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BREAK_S = 30.0  # a longer rest between two documents ends a run of reading
SMALL_BYTES = 8192  # a smaller file costs what one of this size does
MAX_EACH_S = 1.0  # what a file costs beside its size: to begin and to end it


@dataclass(frozen=True)
class Reading:
    """A document that is being read now.

    `done` of `total` are passages while it is embedded, and while it is parsed pages that are
    recognised; a `total` of 0 says nothing.
    """

    document_id: str
    name: str
    stage: str
    done: int
    total: int
    seconds: float
    """Since it was begun."""

    @property
    def how_far(self) -> str:
        """'scanned page 12 of 300', '3 of 9 passages', or '' while nothing is told."""
        return how_far(self.stage, self.done, self.total)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1: half when it is parsed."""
        told = self.done / self.total if self.total else 0.0
        return (told if self.stage == "parsing" else 1 + told) / 2


@dataclass(frozen=True)
class Progress:
    """How far the reading is, as one person sees it."""

    is_paused: bool
    num_done: int
    """Read, refused or found empty since the reading began to be busy."""
    num_waiting: int
    """Queued or being read."""
    waiting_bytes: int
    documents_per_minute: float
    mb_per_minute: float
    """Megabytes (10^6 bytes) of files."""
    seconds_left: float | None
    """None while there is nothing to judge by."""
    now: tuple[Reading, ...]

    @property
    def num_total(self) -> int:
        return self.num_done + self.num_waiting

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1, documents counted alike."""
        done = self.num_done + sum(one.share for one in self.now)
        return done / max(1, self.num_total)

    def as_dict(self) -> dict[str, Any]:
        """As the API and `--json` show it."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return shown | {"num_total": self.num_total, "now": [vars(one) for one in self.now]}


def how_far(stage: str, done: int, total: int) -> str:
    """As `Reading.how_far`."""
    if not total:
        return ""
    if stage == "parsing":
        return f"scanned page {min(done + 1, total):,} of {total:,}"
    return f"{done:,} of {total:,} passages"


def last_run(
    spans: Sequence[tuple[float | None, float]], now: float, busy_since: float | None
) -> tuple[int, float]:
    """(documents, seconds) of an unbroken run of reading that reaches up to now.

    `spans`: (began, ended) of documents, the latest end first; `busy_since`: when what is read now
    was begun, if anything is; times in seconds since the epoch. The seconds are at least 1.
    """
    num_done = 0
    earliest = now if busy_since is None else min(now, busy_since)
    for began, ended in spans:
        if ended < earliest - BREAK_S:
            break
        num_done += 1
        earliest = min(earliest, began if began is not None else ended)
    return num_done, max(1.0, now - earliest)


# Time left ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """A document that was read, whatever became of it."""

    kind: str
    """The ending of its name: files of one kind cost alike."""
    size_bytes: int
    seconds: float


@dataclass(frozen=True)
class Begun:
    """A document that is being read; see Reading."""

    kind: str
    size_bytes: int
    seconds: float
    """Since it was begun."""
    stage_seconds: float
    """Since its pages, or passages, are counted."""
    done: int
    total: int

    @property
    def told_left_s(self) -> float | None:
        """Seconds left at the pace of its own pages or passages; None if it tells nothing."""
        if not (self.done and self.total):
            return None
        done = self.done + 0.5  # one is half done, as a rule
        return max(0.0, self.total - done) * self.stage_seconds / done


@dataclass(frozen=True)
class Waiting:
    """The documents of one kind that wait."""

    kind: str
    num: int
    size_bytes: int
    """Of all together, each at least SMALL_BYTES."""


@dataclass(frozen=True)
class _Cost:
    """Documents of one kind: so much each, and so much by size, as a rule; at most so much each."""

    each_s: float
    byte_s: float
    most_s: float = math.inf

    def of(self, num: int, size_bytes: int) -> float:
        return min(num * self.each_s + size_bytes * self.byte_s, num * self.most_s)


def seconds_left(
    ended: Sequence[Ended], begun: Sequence[Begun], waiting: Sequence[Waiting], run_s: float
) -> float | None:
    """Seconds until all is read; None while there is nothing to judge by.

    `run_s` is how long reading what has `ended` took: files are read while others are embedded, so
    it is less than the sum of what each took. What is being read counts as an example of its kind
    as soon as it tells how far it is.
    """
    told = [
        Ended(one.kind, one.size_bytes, one.seconds + left)
        for one in begun
        if (left := one.told_left_s) is not None
    ]
    costs = _costs([*ended, *told])
    if not costs:
        return None if begun or waiting else 0.0
    overlap = min(1.0, run_s / max(run_s, sum(one.seconds for one in ended)))
    queue_s = overlap * sum(_cost(costs, one.kind).of(one.num, one.size_bytes) for one in waiting)
    return queue_s + max((_left_of(one, costs) for one in begun), default=0.0)


def _left_of(one: Begun, costs: Mapping[str, _Cost]) -> float:
    if (told := one.told_left_s) is not None:
        return told
    expected = _cost(costs, one.kind).of(1, _sized(one))
    return max(expected - one.seconds, one.seconds / 4)  # what takes longer than expected goes on


def _cost(costs: Mapping[str, _Cost], kind: str) -> _Cost:
    return costs.get(kind, costs[""])


def _costs(examples: Sequence[Ended]) -> dict[str, _Cost]:
    """By kind; '' stands for kinds without an example: what all examples say, but never more than
    they took on average, so that the bytes of notes say nothing of a scan's."""
    by_kind: dict[str, list[Ended]] = {}
    for one in examples:
        by_kind.setdefault(one.kind, []).append(one)
    costs = {kind: _cost_of(these) for kind, these in by_kind.items()}
    if examples:
        average_s = sum(one.seconds for one in examples) / len(examples)
        costs[""] = replace(_cost_of(examples), most_s=average_s)
    return costs


def _cost_of(examples: Sequence[Ended]) -> _Cost:
    """As many more of the same take as long as these did, and a larger one takes longer."""
    each_s = min(MAX_EACH_S, min(one.seconds for one in examples) / 2)
    rest_s = sum(one.seconds for one in examples) - len(examples) * each_s
    return _Cost(each_s, rest_s / sum(map(_sized, examples)))


def _sized(one: Ended | Begun) -> int:
    return max(SMALL_BYTES, one.size_bytes)
