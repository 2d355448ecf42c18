"""The database of people for the commands that change it: it may be open in a running kit too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kit.config import load_config
from kit.release import require_owner

if TYPE_CHECKING:
    from kit.database import Database


@contextlib.contextmanager
def open_database(home: Path | None) -> Iterator[Database]:
    """The database of this home, closed at the end."""
    from kit.database import Database

    folder = load_config(home=home).home
    require_owner(folder)
    database = Database(folder / "kit.db")
    try:
        yield database
    finally:
        database.close()
