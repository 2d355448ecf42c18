"""What was removed is purged while the page is served: soon by itself, at once where one asks.

Knows timing, not what is purged. Invariant: one purge at a time; what it could not do yet is tried
again, also by the next process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kit.database import Database
from kit.errors import KitError
from kit.ops.purge import Purged, has_removals, purge

log = logging.getLogger("kit.web")
LOOK_EVERY_S = 1.0
SETTLE_S = 2.0  # after a removal: the next ones of the same hand are purged with it
RETRY_S = 5.0
WAIT_S = 90.0  # a purge that somebody waits for: longer than an answer, or an index, takes


class Purging:
    """Purges one home, from whichever task."""

    def __init__(self, home: Path, database: Database, wake_index: Callable[[], None]) -> None:
        self._home, self._database, self._wake_index = home, database, wake_index
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Never returns. The first look also finishes what a kill cut short."""
        is_pending, wait_s = True, 0.0
        while True:
            await asyncio.sleep(wait_s)
            wait_s = look_every_s
            try:
                if not is_pending and not await asyncio.to_thread(has_removals, self._database):
                    continue
                if not is_pending:
                    await asyncio.sleep(min(SETTLE_S, 2 * look_every_s))
                done = await self._purge(with_index=False)
                is_pending = not done.is_complete
                wait_s = max(look_every_s, RETRY_S) if is_pending else look_every_s
            except KitError as problem:
                log.warning("purge: %s", problem.message)
                is_pending, wait_s = True, max(look_every_s, RETRY_S)
            except Exception:
                log.exception("the purge of removed documents failed")
                is_pending, wait_s = True, max(look_every_s, RETRY_S)

    async def finish(self, *, timeout_s: float = WAIT_S) -> Purged:
        """Purge everything now, the dense index too, and say what was done and what is left."""
        deadline = time.monotonic() + timeout_s
        done = await self._purge(with_index=True)
        num_documents, num_messages = done.num_documents, done.num_messages
        while not done.is_complete and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S / 2)
            done = await self._purge(with_index=False)
            num_documents += done.num_documents
            num_messages += done.num_messages
        return Purged(num_documents, num_messages, done.pending, done.kept)

    async def _purge(self, *, with_index: bool) -> Purged:
        async with self._one_at_a_time:
            done = await asyncio.to_thread(
                partial(purge, self._home, self._database, with_index=with_index)
            )
        if done.num_documents:
            log.info("purged %d removed documents", done.num_documents)
        self._wake_index()
        return done
