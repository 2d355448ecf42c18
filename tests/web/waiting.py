"""Waiting for what another task brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(is_true: Callable[[], object]) -> None:
    """Returns once it is true. Fails after about five seconds."""
    for _ in range(500):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")
