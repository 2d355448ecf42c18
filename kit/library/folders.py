"""The folders that the library follows, and the files of each as they were last seen.

Knows the tables. Invariant: a file's row names the document made of it, or none if a person removed
that document; so a removed document does not come back by itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.database import Database
from kit.errors import NotFound, UsageError
from kit.library.gate import named_to_write
from kit.library.reading.scan import Found

_COLUMNS = (
    "f.id, f.path, f.name, c.name, f.collection_id, f.added_by, f.is_watched, f.keeps_missing,"
    " f.scanned_at, f.summary, f.problem,"
    " (SELECT count(*) FROM folder_files s WHERE s.folder_id = f.id)"
)
_FROM = " FROM folders f JOIN collections c ON c.id = f.collection_id"


@dataclass(frozen=True)
class Folder:
    """A folder that the library follows."""

    id: int
    path: Path
    name: str
    """What the names of its documents begin with."""
    collection: str
    collection_id: int
    added_by: str
    is_watched: bool
    keeps_missing: bool
    scanned_at: float | None
    """Seconds since the epoch; None = it is to be looked into as soon as possible."""
    summary: dict[str, int]
    problem: str | None
    num_files: int

    def as_dict(self) -> dict[str, Any]:
        """As the API and `--json` show it."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del shown["collection_id"], shown["added_by"]
        return shown | {"path": str(self.path)}


@dataclass(frozen=True)
class Known:
    """A file as it was last seen, and the document made of it (None: a person removed it)."""

    file: Found
    sha256: str
    document_id: str | None


class Folders:
    """The remembered folders of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Folder]:
        rows = self._database.rows(f"SELECT {_COLUMNS}{_FROM} ORDER BY f.path, f.id")
        return [_folder(row) for row in rows]

    def visible(self, collection_ids: Sequence[int]) -> list[Folder]:
        """Those whose documents lie in one of the collections."""
        return [folder for folder in self.all() if folder.collection_id in collection_ids]

    def find(self, wanted: str) -> Folder:
        """The folder of that path, name or number. Raises: NotFound; UsageError if several."""
        path = Path(wanted).expanduser().absolute()
        found = [
            folder
            for folder in self.all()
            if folder.path == path or wanted in (folder.name, str(folder.id))
        ]
        if not found:
            raise NotFound(f"no folder {wanted!r} is followed", hint="see them: kit docs folders")
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} followed folders are called {wanted!r}",
                hint="name one by its number: kit docs folders",
            )
        return found[0]

    def remember(
        self,
        path: Path,
        *,
        collection: str,
        added_by: str,
        name: str | None = None,
        is_watched: bool | None = None,
        keeps_missing: bool | None = None,
    ) -> Folder:
        """The folder is followed from now on; one that is already keeps what is not given.

        Raises: UsageError if another folder of the collection has its name.
        """
        path = path.expanduser().absolute()
        with self._database.write() as connection:
            where = named_to_write(connection, added_by, collection)
            name = name or _known_name(connection, path, where) or path.name
            _require_name(connection, path, where, name)
            connection.execute(
                "INSERT INTO folders (path, name, collection_id, added_by) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (path, collection_id) DO NOTHING",
                (str(path), name, where, added_by),
            )
            connection.execute(
                "UPDATE folders SET is_watched = coalesce(?, is_watched),"
                " keeps_missing = coalesce(?, keeps_missing) WHERE path = ? AND collection_id = ?",
                (is_watched, keeps_missing, str(path), where),
            )
            [(folder_id,)] = connection.execute(
                "SELECT id FROM folders WHERE path = ? AND collection_id = ?", (str(path), where)
            )
        return self.find(str(folder_id))

    def forget(self, folder: Folder) -> None:
        """The folder is followed no more; its documents stay."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM folders WHERE id = ?", (folder.id,))

    def ask_for(self, folder: Folder) -> None:
        """The running kit looks into the folder next."""
        with self._database.write() as connection:
            connection.execute("UPDATE folders SET scanned_at = NULL WHERE id = ?", (folder.id,))

    def due(self, minutes: float) -> list[Folder]:
        """What is asked for, and what is watched and was not looked into for so long (0: never)."""
        oldest = time.time() - minutes * 60
        return [
            folder
            for folder in self.all()
            if folder.scanned_at is None
            or (minutes and folder.is_watched and folder.scanned_at <= oldest)
        ]

    def note_scan(self, folder: Folder, summary: dict[str, int], problem: str | None) -> None:
        """What the last look found, or why it was given up."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE folders SET scanned_at = ?, problem = ?,"
                " summary = CASE WHEN ? IS NULL THEN ? ELSE summary END WHERE id = ?",
                (time.time(), problem, problem, json.dumps(summary), folder.id),
            )

    def files(self, folder: Folder) -> dict[str, Known]:
        """The folder's files as last seen, by path."""
        rows = self._database.rows(
            "SELECT path, size_bytes, mtime_ns, inode, sha256, document_id FROM folder_files"
            " WHERE folder_id = ?",
            (folder.id,),
        )
        known = {}
        for path, size_bytes, mtime_ns, inode, sha256, document_id in rows:
            file = Found(os.fsdecode(path), size_bytes, mtime_ns, inode)
            known[file.path] = Known(file, sha256, document_id)
        return known


def write_file(
    connection: Any, folder: Folder, file: Found, sha256: str, document_id: str | None
) -> None:
    """Within a transaction: the file is as seen, and this document was made of it."""
    connection.execute(
        "INSERT OR REPLACE INTO folder_files VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(folder.id, os.fsencode(file.path), file.size_bytes, file.mtime_ns, file.inode),
            *(sha256, document_id),
        ),
    )


def forget_file(connection: Any, folder: Folder, path: str) -> None:
    connection.execute(
        "DELETE FROM folder_files WHERE folder_id = ? AND path = ?", (folder.id, os.fsencode(path))
    )


def _known_name(connection: Any, path: Path, where: int) -> str | None:
    rows = connection.execute(
        "SELECT name FROM folders WHERE path = ? AND collection_id = ?", (str(path), where)
    )
    row = next(iter(rows), None)
    return row[0] if row else None


def _require_name(connection: Any, path: Path, where: int, name: str) -> None:
    if not name or "/" in name or name in (".", ".."):
        raise UsageError(
            f"a followed folder needs a plain name, not {name!r}", hint="give one: --name NAME"
        )
    rows = connection.execute(
        "SELECT path FROM folders WHERE collection_id = ? AND ((name = ? AND path != ?)"
        " OR (path = ? AND name != ?))",
        (where, name, str(path), str(path), name),
    )
    row = next(iter(rows), None)
    if row is not None and row[0] == str(path):
        raise UsageError(
            f"{path} is followed under another name already",
            hint=f"leave out --name, or forget it first: kit docs forget {path}",
        )
    if row is not None:
        raise UsageError(
            f"{row[0]} is followed under the name {name!r} already, and documents are told apart"
            " by names",
            hint="give this one another: --name NAME, or another collection: --collection C",
        )


def _folder(row: Sequence[Any]) -> Folder:
    fields = list(row)
    fields[1], fields[9] = Path(fields[1]), json.loads(fields[9])
    fields[6], fields[7] = bool(fields[6]), bool(fields[7])
    return Folder(*fields)
