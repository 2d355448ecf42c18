"""Files are read and cut while those before them are embedded: one thread, a few files ahead.

Knows the order of two steps, no database and no model's insides. Invariant: results come in the
order in which the files were given, and nothing outlives `close`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

MAX_AHEAD = 16
MAX_AHEAD_BYTES = 64 << 20


@dataclass
class _Slot(Generic[Given, Made]):
    given: Given
    size_bytes: int
    future: Future[Made]


class ReadAhead(Generic[Given, Made]):
    """Calls `make` for what it is given, one after the other, in a thread of its own.

    The first call starts the thread, which inherits the caller's priority.
    """

    def __init__(self, make: Callable[[Given], Made]) -> None:
        self._make = make
        self._slots: deque[_Slot[Given, Made]] = deque()
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self.is_closing = threading.Event()
        """Set when what is being made will not be wanted."""

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def has_room(self) -> bool:
        """Whether one more may be given; bounded by number and by the size of the files."""
        size_bytes = sum(slot.size_bytes for slot in self._slots)
        return len(self._slots) < MAX_AHEAD and size_bytes < MAX_AHEAD_BYTES

    @property
    def is_next_made(self) -> bool:
        return bool(self._slots) and self._slots[0].future.done()

    def given(self) -> list[Given]:
        """What was given and not taken, the first first."""
        return [slot.given for slot in self._slots]

    def give(self, given: Given, size_bytes: int) -> None:
        self._slots.append(_Slot(given, size_bytes, self._thread.submit(self._make, given)))

    def take(self) -> Made:
        """What was made of the first; waits for it. Raises what `make` raised."""
        made = self._slots[0].future.result()
        self._slots.popleft()
        return made

    def wait(self, timeout_s: float) -> None:
        """Return when the first is made, or after the time."""
        done = threading.Event()
        self._slots[0].future.add_done_callback(lambda _: done.set())
        done.wait(timeout_s)

    def close(self) -> None:
        """Nothing more is made; what is being made ends first, soon if it heeds `is_closing`."""
        self.is_closing.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._slots.clear()
