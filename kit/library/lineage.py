"""Documents that stand for others: duplicates, older versions, members of archives.

Every function works within a transaction of its caller. Knows tables, no reader: it never looks
outside one collection, so nothing here can tell one person of what another has. Invariant: bytes
that a live document of a collection names answer in it, through exactly one document.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from kit.database import time_text
from kit.errors import UsageError
from kit.library.chunk import with_context
from kit.library.documents import Chunk
from kit.library.index.terms import index_terms

# A duplicate of these is not read: they answer for it, or will. Whatever else became of a file, its
# double is read for itself and says why.
STANDS_FOR = ("queued", "parsing", "embedding", "indexed", "partial", "unpacked")
_ANSWERS = "('indexed', 'partial', 'unpacked')"


def delete_passages(connection: Any, document_id: str) -> None:
    """The document's chunks, vectors and terms go, and the dense index is told; its text stays."""
    ids = [
        row[0]
        for row in connection.execute("SELECT id FROM chunks WHERE document_id = ?", (document_id,))
    ]
    for chunk_id in ids:
        connection.execute("DELETE FROM chunk_terms WHERE rowid = ?", (chunk_id,))
        connection.execute("INSERT INTO index_log (op, chunk_id) VALUES ('delete', ?)", (chunk_id,))
    connection.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,))


def delete_chunks(connection: Any, document_id: str) -> None:
    """All that was read of the document goes: passages, text, pages and their words."""
    delete_passages(connection, document_id)
    connection.execute("DELETE FROM texts WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM pages WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM page_words WHERE document_id = ?", (document_id,))


def insert_terms(connection: Any, chunk_id: int, name: str, chunk: Chunk, title: str) -> None:
    """The passage can be found by its words, by those of its place, and by its document's name."""
    terms = index_terms(f"{name} {with_context(chunk, title)}")
    connection.execute("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", (chunk_id, terms))


def rename(connection: Any, document_id: str, name: str) -> None:
    """The document, and what was unpacked from it, has another name; nothing is read again."""
    [(old,)] = connection.execute("SELECT name FROM documents WHERE id = ?", (document_id,))
    connection.execute(
        "UPDATE documents SET name = ?, updated_at = ? WHERE id = ?",
        (name, time_text(), document_id),
    )
    _write_terms_anew(connection, document_id)
    for member_id, member in _members(connection, document_id):
        if member.startswith(f"{old}/"):
            rename(connection, member_id, name + member.removeprefix(old))


def find_original(connection: Any, collection_id: int, sha256: str, name: str) -> str | None:
    """The document of the collection that answers for these bytes; its name has the same ending,
    since that can decide how a file is read.
    """
    rows = connection.execute(
        "SELECT id, name FROM documents WHERE collection_id = ? AND sha256 = ? AND name != ?"
        " AND state IN (SELECT value FROM json_each(?)) AND size_bytes > 0"
        " ORDER BY created_at, id",
        (collection_id, sha256, name, json.dumps(STANDS_FOR)),
    )
    return next((row[0] for row in rows if _suffix(row[1]) == _suffix(name)), None)


def settle(connection: Any, document_id: str) -> None:
    """Where the document answers now, older ones of its name are superseded; and where it does not,
    its duplicates are read for themselves.

    To be called in the transaction that gives a document its state.
    """
    rows = connection.execute(
        "SELECT state, collection_id, name FROM documents WHERE id = ?", (document_id,)
    )
    state, collection_id, name = next(iter(rows))
    if state not in STANDS_FOR:
        release_duplicates(connection, document_id)
    _settle_versions(connection, collection_id, name)
    for (double,) in list(
        connection.execute(
            "SELECT name FROM documents WHERE duplicate_of = ? AND state = 'duplicate'",
            (document_id,),
        )
    ):
        _settle_versions(connection, collection_id, double)


def _settle_versions(connection: Any, collection_id: int, name: str) -> None:
    """The newest of the name that answers supersedes the older ones that are not being read."""
    rows = connection.execute(
        "SELECT d.id, d.created_at FROM documents d LEFT JOIN documents o ON o.id = d.duplicate_of"  # noqa: S608
        f" WHERE d.collection_id = ? AND d.name = ? AND (d.state IN {_ANSWERS}"
        f" OR (d.state = 'duplicate' AND o.state IN {_ANSWERS}))"
        " ORDER BY d.created_at DESC, d.rowid DESC LIMIT 1",
        (collection_id, name),
    )
    newest = next(iter(rows), None)
    if newest is None:
        return
    older = connection.execute(
        "SELECT id FROM documents WHERE collection_id = ? AND name = ? AND id != ?"
        " AND created_at <= ? AND state NOT IN ('superseded', 'parsing', 'embedding')",
        (collection_id, name, *newest),
    )
    for (document_id,) in list(older):
        supersede(connection, document_id, newest[0])


def supersede(connection: Any, document_id: str, by: str) -> None:
    """The document answers no more. It stays listed, and its text and pages can still be opened
    from old conversations. What was unpacked from it goes the same way.
    """
    hand_over(connection, document_id, keeps_text=True)
    delete_passages(connection, document_id)
    connection.execute(
        "UPDATE documents SET state = 'superseded', superseded_by = ?, duplicate_of = NULL,"
        " error = NULL, hint = NULL, num_chunks = 0, updated_at = ? WHERE id = ?",
        (by, time_text(), document_id),
    )
    for member_id, _ in _members(connection, document_id):
        supersede(connection, member_id, by)


def hand_over(connection: Any, document_id: str, *, keeps_text: bool) -> None:
    """The oldest duplicate takes the document's place: its passages, without reading it again."""
    heir = _heir(connection, document_id)
    if heir is None:
        return
    [(state,)] = connection.execute("SELECT state FROM documents WHERE id = ?", (document_id,))
    connection.execute(
        "UPDATE documents SET duplicate_of = ? WHERE duplicate_of = ? AND id != ?",
        (heir, document_id, heir),
    )
    if state not in ("indexed", "partial"):
        _queue(connection, heir)
        return
    copied = "SELECT ?, text, sections FROM texts WHERE document_id = ?"
    connection.execute(f"INSERT OR REPLACE INTO texts {copied}", (heir, document_id))
    copied = "SELECT ?, page, state, num_chars, remark FROM pages WHERE document_id = ?"
    connection.execute(f"INSERT OR REPLACE INTO pages {copied}", (heir, document_id))
    copied = "SELECT ?, page, start, words FROM page_words WHERE document_id = ?"
    connection.execute(f"INSERT OR REPLACE INTO page_words {copied}", (heir, document_id))
    connection.execute(
        "UPDATE chunks SET document_id = ? WHERE document_id = ?", (heir, document_id)
    )
    connection.execute(
        "UPDATE documents SET duplicate_of = NULL, updated_at = ?,"
        " (state, notes, num_pages, num_chunks, title, dated, dated_by) = (SELECT"
        " state, notes, num_pages, num_chunks, title, dated, dated_by FROM documents WHERE id = ?)"
        " WHERE id = ?",
        (time_text(), document_id, heir),
    )
    _write_terms_anew(connection, heir)
    if not keeps_text:
        connection.execute("DELETE FROM texts WHERE document_id = ?", (document_id,))


def release_duplicates(connection: Any, document_id: str) -> None:
    """What waited for the document to answer for it is read for itself."""
    for (double,) in list(
        connection.execute("SELECT id FROM documents WHERE duplicate_of = ?", (document_id,))
    ):
        _queue(connection, double)


def drop(connection: Any, document_id: str) -> list[str]:
    """The document is gone, and what was unpacked from it; a duplicate takes its place.

    Returns: the digests of the originals that nobody may need any more.
    """
    digests = []
    for member_id, _ in _members(connection, document_id, of_all_versions=True):
        digests += drop(connection, member_id)
    [(sha256,)] = connection.execute("SELECT sha256 FROM documents WHERE id = ?", (document_id,))
    note_removal(connection, document_id)
    hand_over(connection, document_id, keeps_text=False)
    delete_chunks(connection, document_id)
    connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))
    return [*digests, sha256]


def fold(connection: Any, document_id: str) -> None:
    """If another document of its collection answers for the document's bytes, it is a duplicate."""
    [(collection_id, sha256, name)] = connection.execute(
        "SELECT collection_id, sha256, name FROM documents WHERE id = ?", (document_id,)
    )
    original = find_original(connection, collection_id, sha256, name)
    if original is None:
        return
    delete_chunks(connection, document_id)
    connection.execute("DELETE FROM reading WHERE document_id = ?", (document_id,))
    connection.execute(
        "UPDATE documents SET state = 'duplicate', duplicate_of = ?, error = NULL, hint = NULL,"
        " notes = '[]', num_chunks = 0, attempts = 0, dated = NULL, dated_by = NULL,"
        " updated_at = ? WHERE id = ?",
        (original, time_text(), document_id),
    )


def detach(connection: Any, document_id: str) -> None:
    """The document stands for no other one of its collection any more, before it leaves that: its
    duplicates are read for themselves, its older versions stay as they are, by themselves.

    Raises: UsageError for one that another stands for, that was unpacked from an archive or holds
    what was, or that follows a file of a folder.
    """
    row = next(
        iter(
            connection.execute(
                "SELECT name, state IN ('duplicate', 'superseded', 'unpacked')"
                " OR archive_id IS NOT NULL, EXISTS (SELECT 1 FROM folder_files f"
                " WHERE f.document_id = documents.id) FROM documents WHERE id = ?",
                (document_id,),
            )
        )
    )
    name, is_bound, is_followed = row
    if is_bound:
        raise UsageError(
            f"{name} is a duplicate, an older version, or part of an archive",
            hint="add the file itself to the other collection",
        )
    if is_followed:
        raise UsageError(f"{name} follows a file of a folder", hint="move the file, or add it")
    release_duplicates(connection, document_id)
    connection.execute(
        "UPDATE documents SET superseded_by = NULL WHERE superseded_by = ?", (document_id,)
    )


def note_removal(connection: Any, document_id: str) -> None:
    """Within the transaction that removes a document, before its text goes: what to purge."""
    connection.execute(
        "INSERT INTO removals (document_id, sha256, name, title, text, removed_at)"
        " SELECT d.id, d.sha256, d.name, d.title, coalesce(t.text, ''), ? FROM documents d"
        " LEFT JOIN texts t ON t.document_id = d.id WHERE d.id = ?",
        (time_text(), document_id),
    )


def _heir(connection: Any, document_id: str) -> str | None:
    rows = connection.execute(
        "SELECT id FROM documents WHERE duplicate_of = ? AND state = 'duplicate'"
        " ORDER BY created_at, id LIMIT 1",
        (document_id,),
    )
    row = next(iter(rows), None)
    return row[0] if row else None


def _queue(connection: Any, document_id: str) -> None:
    connection.execute(
        "UPDATE documents SET state = 'queued', duplicate_of = NULL, attempts = 0, updated_at = ?"
        " WHERE id = ?",
        (time_text(), document_id),
    )


def _members(
    connection: Any, archive_id: str, *, of_all_versions: bool = False
) -> list[tuple[str, str]]:
    """(id, name) of what was unpacked from the archive and is not superseded, as a rule."""
    return list(
        connection.execute(
            "SELECT id, name FROM documents WHERE archive_id = ? AND (? OR state != 'superseded')",
            (archive_id, of_all_versions),
        )
    )


def _write_terms_anew(connection: Any, document_id: str) -> None:
    """The document's passages are found by its name as it is now."""
    [(name, title)] = connection.execute(
        "SELECT name, title FROM documents WHERE id = ?", (document_id,)
    )
    rows = connection.execute(
        "SELECT id, ordinal, start, end, text, place, page, num_tokens FROM chunks"
        " WHERE document_id = ?",
        (document_id,),
    )
    for chunk_id, *fields in list(rows):
        connection.execute("DELETE FROM chunk_terms WHERE rowid = ?", (chunk_id,))
        insert_terms(connection, chunk_id, name, Chunk(*fields), title or "")


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower()).suffix
