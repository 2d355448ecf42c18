"""The library: documents and their originals, who may see them, and what became of each.

Knows the tables and the content-addressed originals; no parser, no model, no Chroma. Invariants:
what `add` returned survives any kill; the gate (kit.library.gate) decides within each statement
what a reader may see, and what a reader may not see is the same as what does not exist.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from kit.database import Database, time_text
from kit.errors import DocumentRefused, NotFound, UsageError
from kit.files import copy_hashing, fsync_folder, require_space, safe_join
from kit.library.dates import Dated, date_of
from kit.library.documents import (
    FAILED_STATES,
    DocumentRecord,
    Hit,
    ParsedDocument,
    Section,
    WholeDocument,
    require_read,
)
from kit.library.gate import (
    AUDIENCE,
    READABLE,
    SHARED,
    WRITABLE,
    collection_to_write,
    may_change_now,
    readable_ids,
)
from kit.library.index.prefixes import prefix_name
from kit.library.lineage import detach, drop, find_original, fold, settle
from kit.library.word_boxes import Word, unpack_words

MAX_NAME_CHARS = 400
DEFAULT_COLLECTION = "library"

Ids = list[int]  # `list` is a method below
Records = list[DocumentRecord]
Hits = list[Hit]
Collections = list[tuple[str, bool, int]]

_TWIN = "FROM documents o WHERE o.id = {} AND o.collection_id = d.collection_id"
_ORIGINAL = _TWIN.format("d.duplicate_of")
_COLUMNS = f"""
{AUDIENCE}, d.added_by = :reader OR c.id IN ({WRITABLE}),
d.id, d.name, c.name, c.owner_id, d.sha256, d.size_bytes, d.state, d.error, d.hint, d.notes,
d.num_pages, d.num_chunks, d.title, d.created_at, 0, d.duplicate_of, d.superseded_by, d.archive_id,
(SELECT o.name {_TWIN.format("coalesce(d.duplicate_of, d.superseded_by)")}),
coalesce(d.dated, (SELECT o.dated {_ORIGINAL})),
coalesce(d.dated_by, (SELECT o.dated_by {_ORIGINAL})), c.id
"""
_VISIBLE = f"c.id IN ({READABLE})"
_HITS = f"""
SELECT k.id, d.id, d.name, k.page, k.place, k.start, k.end, k.text, k.num_tokens,
 {SHARED}, d.dated, d.dated_by
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
        is_private: bool | None = None,
        collection_id: int | None = None,
        max_bytes: int | None = None,
        folds_duplicates: bool = True,
    ) -> DocumentRecord:
        """Keep a file and queue it for reading; durable when this returns.

        `is_private`: into a collection of the person's own that nobody else reads (True), or of
        everyone's (False); None takes the one of that name which they may write. `collection_id`
        names one by itself.
        The same bytes under the same name in the same collection are one document: then the record
        says `is_duplicate`. Under another name they are in state 'duplicate', unless
        `folds_duplicates` is off. Other bytes under the same name are a new version, which
        supersedes the others as soon as it can answer.
        Raises: UsageError (name, size), NotFound, AccessError (collection), DiskFull, MachineError.
        """
        name = clean_name(name)
        require_space(self.home, 0)
        arrived = self.home / "tmp" / f"add-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            sha256, size_bytes = self._receive(stream, arrived, name, max_bytes)
            self._keep_original(arrived, sha256)
            with self.database.write() as connection:
                target = collection if collection_id is None else collection_id
                document_id, is_new = insert_document(
                    connection,
                    (
                        name,
                        collection_to_write(connection, added_by, target, is_private),
                        added_by,
                        sha256,
                        size_bytes,
                    ),
                    folds_duplicates=folds_duplicates,
                )
            return replace(self.get(document_id, added_by), is_duplicate=not is_new)
        finally:
            arrived.unlink(missing_ok=True)

    def keep(self, stream: IO[bytes]) -> tuple[str, int]:
        """The bytes are among the originals, as no document's yet; returns (sha256, size).

        What no document is made of within the hour is swept away. Raises: DiskFull.
        """
        require_space(self.home, 0)
        arrived = self.home / "tmp" / f"add-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            sha256, size_bytes = copy_hashing(stream, arrived)
            self._keep_original(arrived, sha256)
            return sha256, size_bytes
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

    # -- seeing ---------------------------------------------------------------------------------

    def visible_collection_ids(self, reader: str, collection: str | None = None) -> Ids:
        """The collections this person may read, all or those of a name.

        Raises: NotFound if `collection` names none of them.
        """
        return readable_ids(self.database, reader, collection)

    def collections(self, reader: str) -> Collections:
        """(name, is_private, num_documents) of what this person may read, by name."""
        rows = self.database.rows(
            f"SELECT c.name, {AUDIENCE} = 'owner', count(d.id) FROM collections c"  # noqa: S608
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
            f" WHERE c.id IN (SELECT value FROM json_each(:ids)) AND {_VISIBLE}"
            " ORDER BY d.created_at DESC, d.name",
            {"ids": json.dumps(visible), "reader": reader},
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
        record = self._answering(self.get(document_id, reader), reader)
        row = self.database.row(
            "SELECT t.text, t.sections FROM texts t JOIN documents d ON d.id = t.document_id"  # noqa: S608
            f" JOIN collections c ON c.id = d.collection_id WHERE d.id = :id AND {_VISIBLE}",
            {"id": record.id, "reader": reader},
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

    def words(self, document_id: str, reader: str, page: int) -> tuple[Word, ...]:
        """A page's recognised words, spans from its start; () if not kept. Raises: NotFound."""
        record = self._answering(self.get(document_id, reader), reader)
        row = self.database.row(
            "SELECT w.words, w.start FROM page_words w JOIN documents d ON d.id = w.document_id"  # noqa: S608
            " JOIN collections c ON c.id = d.collection_id"
            f" WHERE d.id = :id AND w.page = :page AND {_VISIBLE}",
            {"id": record.id, "page": page, "reader": reader},
        )
        return unpack_words(row[0], start=row[1]) if row else ()

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

    def beside(self, hits: Sequence[Hit], reader: str) -> Hits:
        """The passages just before and after these in the same section, or on the page before and
        after, that are not among them: those of the best first, what precedes before what follows.

        Ranks go on behind those of `hits`; no scores.
        """
        chunks = [hit.chunk_id for hit in hits]
        pairs = self.database.rows(
            "SELECT m.id, n.id FROM chunks m JOIN chunks n ON n.document_id = m.document_id"
            " AND n.ordinal IN (m.ordinal - 1, m.ordinal + 1) AND (n.place = m.place"
            "  OR (n.place LIKE 'page %' AND m.place LIKE 'page %'))"
            " WHERE m.id IN (SELECT value FROM json_each(?)) ORDER BY n.ordinal",
            (json.dumps(chunks),),
        )
        pairs.sort(key=lambda pair: chunks.index(pair[0]))
        new = dict.fromkeys(beside for _, beside in pairs if beside not in chunks)
        last = max((hit.rank for hit in hits), default=0)
        return [
            replace(hit, rank=last + hit.rank)
            for hit in self.hits([(chunk_id, 0.0) for chunk_id in new], reader)
        ]

    def whole(self, document_id: str, reader: str) -> WholeDocument:
        """A document as all its passages. Raises: NotFound, also while it is not read;
        DocumentRefused if there is no text in it.
        """
        record = self._answering(self.get(document_id, reader), reader)
        require_read(record)
        rows = self.database.rows(
            _HITS + "d.id = :id ORDER BY k.ordinal", {"id": record.id, "reader": reader}
        )
        if not rows:  # removed, or read again, at this moment
            raise NotFound(f"there is no document {document_id}", hint="see them: kit docs list")
        hits = tuple(_hit(rank, row, 0.0) for rank, row in enumerate(rows, start=1))
        return WholeDocument(record, hits, prefix_name(self.database, record.id, rows[0][0]))

    def _answering(self, record: DocumentRecord, reader: str) -> DocumentRecord:
        """The document itself; of a duplicate, the one of its collection that answers for it."""
        return self.get(record.duplicate_of, reader) if record.duplicate_of else record

    def counts(self, reader: str) -> dict[str, int]:
        """Number of documents by state, for this person."""
        rows = self.database.rows(
            "SELECT d.state, count(*) FROM documents d JOIN collections c"  # noqa: S608
            f" ON c.id = d.collection_id WHERE {_VISIBLE} GROUP BY d.state",
            {"reader": reader},
        )
        return dict(rows)

    # -- changing -------------------------------------------------------------------------------

    def remove(self, document_id: str, reader: str) -> None:
        """Take a document out: rows, terms, vectors, and its original if no other document has it.

        What it left elsewhere is noted for the purge (kit.ops.purge) in the same transaction.
        Raises: NotFound; AccessError unless the reader added it or may write its collection.
        """
        record = self.get(document_id, reader)
        digests: list[str] = []
        with self.database.write() as connection:
            if may_change_now(connection, record.id, reader):
                digests = drop(connection, record.id)
        for digest in dict.fromkeys(digests):
            self.drop_original(digest)

    def move(
        self,
        document_id: str,
        reader: str,
        wanted: str | int,
        *,
        is_private: bool | None = None,
        noting: Callable[[Any], None] = lambda _: None,
    ) -> DocumentRecord:
        """The document lies in that collection, and is read by whoever reads that one.

        `wanted` and `is_private` name the collection as for `add`. Where the same bytes lie there
        under another name it is their duplicate; where its name does, the newer one answers.
        `noting` is called within the transaction, to write down what was done.

        Raises: NotFound; AccessError unless the reader may take it out of the one and add it to
        the other; UsageError if the same file is there already, or it cannot stand alone.
        """
        record = self.get(document_id, reader)
        with self.database.write() as connection:
            collection_id = collection_to_write(connection, reader, wanted, is_private)
            if may_change_now(connection, record.id, reader):
                detach(connection, record.id)
                connection.execute(
                    "UPDATE OR IGNORE documents SET collection_id = ?, updated_at = ? WHERE id = ?",
                    (collection_id, time_text(), record.id),
                )
                if connection.changes() == 0:
                    raise UsageError(f"{record.name} is in that collection already")
                connection.execute(  # the dense index keeps each passage's collection
                    "INSERT INTO index_log (op, chunk_id)"
                    " SELECT 'add', id FROM chunks WHERE document_id = ?",
                    (record.id,),
                )
                fold(connection, record.id)
                settle(connection, record.id)
                noting(connection)
        return self.get(document_id, reader)

    def retry(self, document_id: str, reader: str) -> None:
        """Queue a document again that was read or refused; it is found as it was meanwhile.

        Raises: NotFound; AccessError unless the reader added it or may write its collection.
        """
        record = self.get(document_id, reader)
        with self.database.write() as connection:
            if may_change_now(connection, record.id, reader):
                connection.execute(
                    "UPDATE documents SET state = 'queued', error = NULL, hint = NULL,"
                    " attempts = 0, updated_at = ? WHERE id = ?"
                    " AND state IN (SELECT value FROM json_each(?))",
                    (time_text(), record.id, json.dumps(["indexed", "partial", *FAILED_STATES])),
                )

    def drop_original(self, sha256: str) -> None:
        """Remove an original that no document names. The lock keeps an `add` of it from between."""
        with self.database.write() as connection:
            used = connection.execute("SELECT 1 FROM documents WHERE sha256 = ?", (sha256,))
            if next(iter(used), None) is None:
                self.original_path(sha256).unlink(missing_ok=True)


def insert_document(
    connection: Any,
    file: tuple[str, int, str, str, int],
    *,
    folds_duplicates: bool = True,
    archive_id: str | None = None,
) -> tuple[str, bool]:
    """Within a transaction: the file (name, collection, added by, sha256, size) is listed.

    Returns: (its id, whether it is new). An old version that comes back is read as the newest.
    """
    name, collection_id, _, sha256, _ = file
    rows = connection.execute(
        "SELECT id, state FROM documents WHERE collection_id = ? AND sha256 = ? AND name = ?",
        (collection_id, sha256, name),
    )
    document_id, state = next(iter(rows), (uuid.uuid4().hex, ""))
    now = time_text()
    if state and state != "superseded":
        connection.execute(
            "UPDATE documents SET archive_id = coalesce(?, archive_id) WHERE id = ?",
            (archive_id, document_id),
        )
        return document_id, False
    original = find_original(connection, collection_id, sha256, name) if folds_duplicates else None
    became = "duplicate" if original else "queued"
    if state:
        connection.execute(
            "UPDATE documents SET state = ?, duplicate_of = ?, archive_id = ?,"
            " superseded_by = NULL, attempts = 0, created_at = ?, updated_at = ? WHERE id = ?",
            (became, original, archive_id, now, now, document_id),
        )
    else:
        connection.execute(
            "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
            " duplicate_of, archive_id, created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (document_id, *file, became, original, archive_id, now, now),
        )
    settle(connection, document_id)
    return document_id, True


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


def _hit(rank: int, row: Sequence[Any], score: float) -> Hit:
    """A row of _HITS."""
    *fields, is_shared, day, by = row
    hit = Hit(rank, score, *fields)
    return replace(hit, is_shared=bool(is_shared), dated=_dated(hit.document, day, by))


def _record(row: Sequence[Any]) -> DocumentRecord:
    audience, may_change, *fields, day, by, collection_id = row
    fields[9], fields[14] = tuple(json.loads(fields[9])), False
    record = replace(DocumentRecord(*fields), audience=audience, may_change=bool(may_change))
    return replace(record, dated=_dated(record.name, day, by), collection_id=collection_id)


def _dated(name: str, day: str | None, by: Any) -> Dated | None:
    """Of when a document of that name is that says so of itself."""
    return date_of(name, Dated(day, by) if day else None)
