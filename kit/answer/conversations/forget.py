"""An engine keeps nothing of documents that were removed.

Knows names, no files. Invariant: what is to be forgotten is decided by comparing what the engine
has with the documents there are now, never by remembering what was removed: so nothing is missed
while either of them is down, and a pin made in the same moment goes with the next look.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from kit.database import Database
from kit.library.index.prefixes import ended_prefixes


class Keeps(Protocol):
    """What forgetting needs of an engine; `EngineClient` is it."""

    async def pinned(self) -> list[str]: ...

    async def forget(self, namespace: str) -> None: ...


async def forget_removed(engine: Keeps, database: Database) -> int:
    """The engine has nothing pinned of a document that was removed or read again; how many it had.

    Raises: EngineError if it cannot be asked now.
    """
    ended = await asyncio.to_thread(ended_prefixes, database, await engine.pinned())
    for name in ended:
        await engine.forget(name)
    return len(ended)
