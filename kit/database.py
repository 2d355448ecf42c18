"""The one SQLite database of a KIT_HOME, and the only importer of apsw.

Knows transactions and migrations, nothing of what the tables mean (kit/schema/*.sql says that).
Invariants: WAL with synchronous=FULL, so what was committed survives a kill and a power cut; the
library is at least SQLite 3.51.3, the first that cannot corrupt a WAL shared by two writers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from kit.errors import DiskFull, MachineError
from kit.files import make_private_folder
from kit.schema import scripts

Row = tuple[Any, ...]
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
Connection = apsw.Connection  # for those who write within `Database.write`
BUSY_TIMEOUT_MS = 30_000
WAL_RETRY_S = 0.02
OLDEST_SAFE_SQLITE = (3, 51, 3)


def time_text(moment: float | None = None) -> str:
    """A time as the tables keep it, in UTC, so that text sorts by time; now, or `moment` in seconds
    since the epoch."""
    at = datetime.now(UTC) if moment is None else datetime.fromtimestamp(moment, UTC)
    return at.strftime(TIME_FORMAT)


class Database:
    """Connections to one database file, one per thread; open it as often as you like."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SAFE_SQLITE:
            raise MachineError(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt a database with two writers",
                hint="install the pinned apsw: run scripts/up again",
            )
        make_private_folder(path.parent)
        self._migrate()

    def rows(self, sql: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
        """All rows of a reading statement."""
        with _explain_sqlite(self.path):
            return list(self._connection().execute(sql, bindings))

    def row(self, sql: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> Row | None:
        """The first row, or None."""
        with _explain_sqlite(self.path):
            return next(iter(self._connection().execute(sql, bindings)), None)

    @contextlib.contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """One transaction: all of the block is committed durably, or none of it.

        Takes the write lock at once, so a block that reads and then writes cannot fail half-way.
        Do not nest.
        """
        connection = self._connection()
        with _explain_sqlite(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    connection.execute("ROLLBACK")
                raise

    def snapshot(self, destination: Path) -> None:
        """A whole, compact copy of the database as of now, in a file that must not be there yet.

        Readers and writers go on meanwhile; what is committed after it began is not in it.
        """
        with _explain_sqlite(destination):
            self._connection().execute("VACUUM INTO ?", (str(destination),))

    def truncate_log(self) -> bool:
        """The write-ahead log is empty; False, at once, while somebody reads or writes.

        It may not wait: it would hold up every writer for as long as a reader takes.
        """
        connection = self._connection()
        connection.set_busy_timeout(0)
        try:
            with _explain_sqlite(self.path):
                [(is_busy, *_)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except apsw.BusyError:
            return False
        finally:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        return not is_busy

    def close(self) -> None:
        """Close this thread's connection."""
        if connection := self._local.__dict__.pop("connection", None):
            connection.close()

    def _connection(self) -> apsw.Connection:
        if not hasattr(self._local, "connection"):
            with _explain_sqlite(self.path):
                connection = apsw.Connection(str(self.path))
                connection.set_busy_timeout(BUSY_TIMEOUT_MS)
                _enter_wal(connection)
                for pragma in (
                    "synchronous = FULL",
                    "foreign_keys = ON",
                    "secure_delete = ON",  # a removed document leaves no readable bytes behind
                ):
                    connection.execute(f"PRAGMA {pragma}")
                self._local.connection = connection
        return self._local.connection  # type: ignore[no-any-return]

    def _migrate(self) -> None:
        known = scripts()
        for number, script in enumerate(known, start=1):
            (version,) = self.row("PRAGMA user_version") or (0,)
            if version >= number:
                continue
            # A script may make a table anew, and dropping the old one must take nothing with it.
            # The setting has no effect within a transaction.
            self._connection().execute("PRAGMA foreign_keys = OFF")
            with self.write() as connection:
                (version,) = next(iter(connection.execute("PRAGMA user_version")))
                if version < number:  # another process may have been first
                    connection.execute(script.read_text(encoding="utf-8"))
                    _require_sound_references(connection, self.path)
                    connection.execute(f"PRAGMA user_version = {number}")
            self._connection().execute("PRAGMA foreign_keys = ON")
        (version,) = self.row("PRAGMA user_version") or (0,)
        if version > len(known):
            raise MachineError(
                f"{self.path} was written by a newer kit "
                f"(schema {version}, this kit knows {len(known)})",
                hint="start the newer kit, or use another folder: --home /path",
            )


def _require_sound_references(connection: apsw.Connection, path: Path) -> None:
    """Raises: MachineError, which undoes the migration, if a row refers to one that is gone."""
    broken = next(iter(connection.execute("PRAGMA foreign_key_check")), None)
    if broken is not None:
        raise MachineError(
            f"{path} is damaged: a row of {broken[0]} refers to a row of {broken[2]} that is gone",
            hint="restore the last backup of this folder; nothing was changed",
        )


def _enter_wal(connection: apsw.Connection) -> None:
    """The file is in WAL mode. SQLite does not wait by itself where several switch a new file over
    at the same moment: all but one are told it is locked, whatever their timeout."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return


@contextlib.contextmanager
def _explain_sqlite(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.FullError as problem:
        raise DiskFull(
            f"no space left while writing {path}",
            hint="free some space; nothing that was confirmed is lost",
        ) from problem
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as problem:
        raise MachineError(
            f"cannot write {path}: {problem}",
            hint="give this user the right to write there, or choose another folder: --home /path",
        ) from problem
    except (apsw.CorruptError, apsw.NotADBError) as problem:
        raise MachineError(
            f"{path} is damaged: {problem}", hint="restore the last backup of this folder"
        ) from problem
