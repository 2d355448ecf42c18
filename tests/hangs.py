"""What hangs is ended and told so. No verdict on speed: the limit is far from any slow day."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

LIMIT_S = 120  # a hundred times and more what any of it takes


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """The block ends by itself; after LIMIT_S it is interrupted, and the test has failed."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"this does not end in {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
