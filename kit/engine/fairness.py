"""The queue: who comes next when more ask than can be answered at once.

Knows people and what they were served, no slots and no clock. Keeps three invariants: the queue is
bounded, one person never fills it alone, and whoever waits is served after finitely much work for
others. Source: the virtual token counter of Sheng et al., "Fairness in Serving Large Language
Models", OSDI 2024.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kit.engine.sequence import Sequence

MAX_WAITING = 64
MAX_SHARE = 0.5  # of the queue that one person may hold
OUTPUT_WEIGHT = 2  # a token written counts as this many read, as in the paper
MAX_REMEMBERED = 1024  # people who do not wait, and whose counters are kept


class QueueFull(Exception):
    """More requests wait than the queue holds; the caller should come back later."""


class FairQueue:
    """Sequences that wait, each person's in their order; people by what they were served so far."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._max_each = max(1, int(max_waiting * MAX_SHARE))
        self._lines: dict[str, deque[Sequence]] = {}
        self._served: dict[str, float] = {}
        self._last_to_leave = ""

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def is_full_for(self, person: str) -> bool:
        """Whether the queue is full, or this person's share of it. Without a name, "", there is
        no person to be fair to: then only the whole counts."""
        num_own = len(self._lines.get(person, ())) if person else 0
        return len(self) >= self._max_waiting or num_own >= self._max_each

    def push(self, sequence: Sequence) -> None:
        """Queue a sequence behind its person's others. Raises: QueueFull."""
        person = sequence.person
        if self.is_full_for(person):
            raise QueueFull
        if person not in self._lines:
            self._lift(person)
            self._lines[person] = deque()
        self._lines[person].append(sequence)

    def _lift(self, person: str) -> None:
        """Time away earns no credit: a newcomer starts level with those who wait."""
        waiting = [self._served[name] for name in self._lines]
        level = min(waiting) if waiting else self._served.get(self._last_to_leave, 0.0)
        self._served[person] = max(self._served.get(person, 0.0), level)

    def remove(self, sequence: Sequence) -> None:
        line = self._lines[sequence.person]
        line.remove(sequence)
        if not line:
            del self._lines[sequence.person]
            self._last_to_leave = sequence.person
            self._forget()

    def _forget(self) -> None:
        """Keep the counters of those served most: a returning person is lifted to the level."""
        away = [name for name in self._served if name not in self._lines]
        for name in sorted(away, key=self._served.__getitem__)[
            : max(0, len(away) - MAX_REMEMBERED)
        ]:
            if name != self._last_to_leave:
                del self._served[name]

    def charge(self, person: str, num_read: int = 0, num_written: int = 0) -> None:
        """Count what a person was served, in tokens."""
        served = self._served.get(person, 0.0)
        self._served[person] = served + num_read + OUTPUT_WEIGHT * num_written

    def everyone(self) -> list[Sequence]:
        """All that wait, in no order that means anything."""
        return [sequence for line in self._lines.values() for sequence in line]

    def __iter__(self) -> Iterator[Sequence]:
        """All that wait, in the order in which they would be served if nobody else came."""
        served = {name: self._served[name] for name in self._lines}
        lines = {name: deque(line) for name, line in self._lines.items()}
        while lines:
            name = min(lines, key=lambda person: (served[person], lines[person][0].arrival))
            sequence = lines[name].popleft()
            served[name] += len(sequence.tokens)
            if not lines[name]:
                del lines[name]
            yield sequence
