"""The library: documents and their originals, who may see them, and what became of each.

Knows the tables and the content-addressed originals; no parser, no model, no Chroma. Invariants:
what `add` returned survives any kill; one condition (_VISIBLE) decides what a reader may see, and
what a reader may not see is the same as what does not exist.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from kit.database import Database
from kit.errors import AccessError, DocumentRefused, NotFound, UsageError
from kit.files import copy_hashing, fsync_folder, require_space, safe_join
from kit.library.documents import (
    DocumentRecord,
    Hit,
    ParsedDocument,
    Section,
    WholeDocument,
    require_read,
)
from kit.library.prefixes import prefix_name

MAX_NAME_CHARS = 400
DEFAULT_COLLECTION = "library"

Ids = list[int]  # `list` is a method below
Records = list[DocumentRecord]
Hits = list[Hit]
Collections = list[tuple[str, bool, int]]

_COLUMNS = """
d.id, d.name, c.name, c.owner_id, d.sha256, d.size_bytes, d.state, d.error, d.hint, d.notes,
d.num_pages, d.num_chunks, d.title, d.created_at
"""
_VISIBLE = "c.owner_id IS NULL OR c.owner_id = :reader"
_HITS = f"""
SELECT k.id, d.id, d.name, k.page, k.place, k.start, k.end, k.text, k.num_tokens,
 c.owner_id IS NULL
FROM chunks k JOIN documents d ON d.id = k.document_id JOIN collections c ON c.id = d.collection_id
WHERE ({_VISIBLE}) AND """  # noqa: S608 - constant text


class Library:
    """The documents of one KIT_HOME. `reader` is always the id of the person who asks."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home = home
        self.database = database
        self.originals = home / "originals"

    # -- adding ---------------------------------------------------------------------------------

    def add(
        self,
        stream: IO[bytes],
        name: str,
        *,
        added_by: str,
        collection: str = DEFAULT_COLLECTION,
        is_private: bool = False,
        max_bytes: int | None = None,
    ) -> DocumentRecord:
        """Keep a file and queue it for reading; durable when this returns.

        The same bytes under the same name in the same collection are one document: then the record
        says `is_duplicate`. Raises: UsageError (name, size), DiskFull, MachineError.
        """
        name = clean_name(name)
        require_space(self.home, 0)
        arrived = self.home / "tmp" / f"add-{uuid.uuid4().hex}"
        try:
            sha256, size_bytes = self._receive(stream, arrived, name, max_bytes)
            self._keep_original(arrived, sha256)
            return self._insert(name, sha256, size_bytes, added_by, collection, is_private)
        finally:
            arrived.unlink(missing_ok=True)

    def _receive(
        self, stream: IO[bytes], arrived: Path, name: str, max_bytes: int | None
    ) -> tuple[str, int]:
        try:
            return copy_hashing(stream, arrived, max_bytes=max_bytes)
        except UsageError as problem:
            size = f"{(max_bytes or 0) >> 20} MB"
            raise DocumentRefused(
                f"{name} is larger than {size}, the largest file that is read",
                hint="split it, or raise web.max_upload_mb in kit.toml",
            ) from problem

    def _keep_original(self, arrived: Path, sha256: str) -> None:
        destination = self.original_path(sha256)
        if destination.exists():
            os.utime(destination)  # the sweep of orphans leaves fresh files alone
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        os.replace(arrived, destination)
        fsync_folder(destination.parent)
        fsync_folder(self.originals)

    def _insert(
        self, name: str, sha256: str, size_bytes: int, added_by: str, collection: str, private: bool
    ) -> DocumentRecord:
        document_id, now = uuid.uuid4().hex, _now()
        with self.database.write() as connection:
            collection_id = _collection_id(connection, collection, added_by if private else None)
            connection.execute(
                "INSERT OR IGNORE INTO documents (id, name, collection_id, added_by, sha256,"
                " size_bytes, state, created_at, updated_at) VALUES (?,?,?,?,?,?,'queued',?,?)",
                (document_id, name, collection_id, added_by, sha256, size_bytes, now, now),
            )
            is_duplicate = connection.changes() == 0
            [(document_id,)] = connection.execute(
                "SELECT id FROM documents WHERE collection_id = ? AND sha256 = ? AND name = ?",
                (collection_id, sha256, name),
            )
        return replace(self.get(document_id, added_by), is_duplicate=is_duplicate)

    # -- seeing ---------------------------------------------------------------------------------

    def visible_collection_ids(self, reader: str, collection: str | None = None) -> Ids:
        """The gate: the collections this person may read, shared ones and their own.

        Raises: NotFound if `collection` names none of them.
        """
        rows = self.database.rows(
            f"SELECT c.id FROM collections c WHERE ({_VISIBLE})"  # noqa: S608 - constant text
            " AND (:collection IS NULL OR c.name = :collection) ORDER BY c.id",
            {"reader": reader, "collection": collection},
        )
        if collection is not None and not rows:
            raise NotFound(f"there is no collection {collection!r}", hint="see them: kit docs list")
        return [row[0] for row in rows]

    def collections(self, reader: str) -> Collections:
        """(name, is_private, num_documents) of what this person may read, by name."""
        rows = self.database.rows(
            "SELECT c.name, c.owner_id IS NOT NULL, count(d.id) FROM collections c"  # noqa: S608
            f" LEFT JOIN documents d ON d.collection_id = c.id WHERE {_VISIBLE}"
            " GROUP BY c.id HAVING count(d.id) > 0 ORDER BY c.name, c.id",
            {"reader": reader},
        )
        return [(name, bool(is_private), count) for name, is_private, count in rows]

    def list(self, reader: str, collection: str | None = None) -> Records:
        """What this person may read, newest first."""
        visible = self.visible_collection_ids(reader, collection)
        rows = self.database.rows(
            f"SELECT {_COLUMNS} FROM documents d JOIN collections c ON c.id = d.collection_id"  # noqa: S608
            " WHERE c.id IN (SELECT value FROM json_each(?)) ORDER BY d.created_at DESC, d.name",
            (json.dumps(visible),),
        )
        return [_record(row) for row in rows]

    def get(self, document_id: str, reader: str) -> DocumentRecord:
        """Raises: NotFound, whether it is not there or not for this person."""
        row = self.database.row(
            f"SELECT {_COLUMNS} FROM documents d JOIN collections c ON c.id = d.collection_id"  # noqa: S608
            f" WHERE d.id = :id AND ({_VISIBLE})",
            {"id": document_id, "reader": reader},
        )
        if row is None:
            raise NotFound(f"there is no document {document_id}", hint="see them: kit docs list")
        return _record(row)

    def text(self, document_id: str, reader: str) -> ParsedDocument:
        """The document's text with its sections. Raises: NotFound, also while it is not read."""
        record = self.get(document_id, reader)
        row = self.database.row(
            "SELECT text, sections FROM texts WHERE document_id = ?", (document_id,)
        )
        if row is None:
            raise NotFound(f"{record.name} has no text yet", hint="its state: kit docs show ID")
        return ParsedDocument(
            text=row[0],
            sections=tuple(Section(*section) for section in json.loads(row[1])),
            title=record.title or "",
            num_pages=record.num_pages,
            notes=record.notes,
        )

    def original(self, document_id: str, reader: str) -> Path:
        """The file as it was added. Raises: NotFound."""
        return self.original_path(self.get(document_id, reader).sha256)

    def original_path(self, sha256: str) -> Path:
        return safe_join(self.originals, f"{sha256[:2]}/{sha256}")

    def hits(self, scores: Sequence[tuple[int, float]], reader: str) -> Hits:
        """The chunks as hits, in the order given, ranks from 1; what the reader may not see is left
        out, as if it were not there.
        """
        rows = self.database.rows(
            _HITS + "k.id IN (SELECT value FROM json_each(:ids))",  # noqa: S608 - constant text
            {"ids": json.dumps([chunk_id for chunk_id, _ in scores]), "reader": reader},
        )
        found = {row[0]: row for row in rows}
        visible = [(found[chunk_id], score) for chunk_id, score in scores if chunk_id in found]
        return [_hit(rank, row, score) for rank, (row, score) in enumerate(visible, start=1)]

    def whole(self, document_id: str, reader: str) -> WholeDocument:
        """A document as all its passages. Raises: NotFound, also while it is not read;
        DocumentRefused if there is no text in it.
        """
        record = self.get(document_id, reader)
        require_read(record)
        rows = self.database.rows(
            _HITS + "d.id = :id ORDER BY k.ordinal", {"id": record.id, "reader": reader}
        )
        if not rows:  # removed, or read again, at this moment
            raise NotFound(f"there is no document {document_id}", hint="see them: kit docs list")
        hits = tuple(_hit(rank, row, 0.0) for rank, row in enumerate(rows, start=1))
        return WholeDocument(record, hits, prefix_name(self.database, record.id, rows[0][0]))

    def counts(self, reader: str) -> dict[str, int]:
        """Number of documents by state, for this person."""
        rows = self.database.rows(
            "SELECT d.state, count(*) FROM documents d JOIN collections c"  # noqa: S608
            f" ON c.id = d.collection_id WHERE {_VISIBLE} GROUP BY d.state",
            {"reader": reader},
        )
        return dict(rows)

    # -- changing -------------------------------------------------------------------------------

    def remove(self, document_id: str, reader: str, *, is_admin: bool = False) -> None:
        """Take a document out: rows, terms, vectors, and its original if no other document has it.

        Raises: NotFound; AccessError if it is shared and the reader neither added it nor is admin.
        """
        record = self.get(document_id, reader)
        with self.database.write() as connection:
            row = next(
                iter(
                    connection.execute("SELECT added_by FROM documents WHERE id = ?", (record.id,))
                ),
                None,
            )
            if row is None:
                return
            if record.owner_id != reader and row[0] != reader and not is_admin:
                raise AccessError(
                    f"{record.name} is shared; only who added it or an administrator removes it"
                )
            delete_chunks(connection, record.id)
            connection.execute("DELETE FROM documents WHERE id = ?", (record.id,))
        self._drop_original(record.sha256)

    def retry(self, document_id: str, reader: str) -> None:
        """Queue a document again that gave no text or was refused. Raises: NotFound."""
        record = self.get(document_id, reader)
        with self.database.write() as connection:
            connection.execute(
                "UPDATE documents SET state = 'queued', error = NULL, hint = NULL, attempts = 0,"
                " updated_at = ? WHERE id = ? AND state IN ('no_text', 'refused')",
                (_now(), record.id),
            )

    def _drop_original(self, sha256: str) -> None:
        """Remove an original that no document names. The lock keeps an `add` of it from between."""
        with self.database.write() as connection:
            used = connection.execute("SELECT 1 FROM documents WHERE sha256 = ?", (sha256,))
            if next(iter(used), None) is None:
                self.original_path(sha256).unlink(missing_ok=True)

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """Remove what a kill left behind: originals without a document, half-received files.

        Returns: how many. Fresh files are left alone: an `add` may be about to name them.
        """
        named = {row[0] for row in self.database.rows("SELECT DISTINCT sha256 FROM documents")}
        leftovers = [path for path in self.originals.glob("??/*") if path.name not in named]
        leftovers += [*(self.home / "tmp").glob("add-*"), *(self.home / "tmp").glob(".add-*")]
        oldest = datetime.now(UTC).timestamp() - older_than_s
        old = [path for path in leftovers if path.is_file() and path.stat().st_mtime < oldest]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


def delete_chunks(connection: Any, document_id: str) -> None:
    """Within a transaction: the document's text, chunks, vectors and terms go, and the dense index
    is told.
    """
    ids = [
        row[0]
        for row in connection.execute("SELECT id FROM chunks WHERE document_id = ?", (document_id,))
    ]
    for chunk_id in ids:
        connection.execute("DELETE FROM chunk_terms WHERE rowid = ?", (chunk_id,))
        connection.execute("INSERT INTO index_log (op, chunk_id) VALUES ('delete', ?)", (chunk_id,))
    connection.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM texts WHERE document_id = ?", (document_id,))


def clean_name(name: str) -> str:
    """A file's name, or its path inside an added folder, as it is shown.

    Raises: UsageError if nothing is left of it.
    """
    parts = [part.strip() for part in name.replace("\\", "/").split("/")]
    parts = [part for part in parts if part not in ("", ".", "..")]
    shown = "/".join(parts)
    shown = "".join(c for c in shown if c.isprintable()).encode("utf-8", "replace").decode("utf-8")
    if not shown.strip():
        raise UsageError(f"a document needs a name, not {name!r}")
    return shown.strip()[-MAX_NAME_CHARS:]


def _collection_id(connection: Any, name: str, owner_id: str | None) -> int:
    """The collection of that name, made if need be; private ones are their owner's."""
    name = " ".join(name.split())[:100]
    if not name:
        raise UsageError("a collection needs a name")
    connection.execute(
        "INSERT OR IGNORE INTO collections (name, owner_id) VALUES (?, ?)", (name, owner_id)
    )
    [(collection_id,)] = connection.execute(
        "SELECT id FROM collections WHERE name = ? AND owner_id IS ?", (name, owner_id)
    )
    return int(collection_id)


def _hit(rank: int, row: Sequence[Any], score: float) -> Hit:
    """A row of _HITS."""
    return replace(Hit(rank, score, *row[:-1]), is_shared=bool(row[-1]))


def _record(row: Sequence[Any]) -> DocumentRecord:
    fields = list(row)
    fields[9] = tuple(json.loads(fields[9]))
    return DocumentRecord(*fields)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
