"""What the engine keeps of documents on disk follows the library, as long as the page is served.

Knows timing, not what is forgotten. Invariant: whoever removed a document, and whatever was down
then, the engine is told within seconds of both being up.
"""

from __future__ import annotations

import asyncio
import logging
import time

from kit.answer.conversations.forget import Keeps, forget_removed
from kit.database import Database
from kit.errors import KitError

log = logging.getLogger("kit.web")
LOOK_EVERY_S = 1.0  # for a change of the library
ASK_EVERY_S = 60.0  # also without one: the engine may be another, or have pinned a moment too late
RETRY_S = 5.0


async def keep_forgetting(
    engine: Keeps, database: Database, *, look_every_s: float = LOOK_EVERY_S
) -> None:
    """Never returns; an engine that does not answer is asked again."""
    seen, asked_at = -1, 0.0
    while True:
        wait_s = look_every_s
        try:
            change = await asyncio.to_thread(last_change, database)
            if change != seen or time.monotonic() - asked_at >= ASK_EVERY_S:
                if num := await forget_removed(engine, database):
                    log.info("the engine forgot %d removed documents", num)
                seen, asked_at = change, time.monotonic()
        except KitError:
            wait_s = max(look_every_s, RETRY_S)
        except Exception:
            log.exception("the engine could not be told of removed documents")
            wait_s = max(look_every_s, RETRY_S)
        await asyncio.sleep(wait_s)


def last_change(database: Database) -> int:
    """Grows whenever passages come or go, whichever process did it."""
    row = database.row("SELECT seq FROM sqlite_sequence WHERE name = 'index_log'")
    return int(row[0]) if row else 0
