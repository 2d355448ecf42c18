"""What becomes of a document that is read, as the tables keep it.

Knows states and tables, not the steps of reading. Invariants: a state that says a document answers
is written in the same transaction as all that it answers with; nothing is written for a document
that was removed or stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.database import Database, time_text
from kit.library.dates import Dated
from kit.library.documents import Chunk, ParsedDocument, pages_of
from kit.library.lineage import delete_chunks, insert_terms, settle
from kit.library.reading.archives import Archive
from kit.library.store import Library, clean_name, insert_document
from kit.library.sweep import sweep

MAX_ATTEMPTS = 20  # parsing is caged, so a file that ends the worker itself is rare; kills are not
_LACKING = ("no_text", "needs_ocr", "damaged")
MAX_LISTED = 10


@dataclass(frozen=True)
class Job:
    """A document that is to be read."""

    document_id: str
    name: str
    sha256: str
    size_bytes: int = 0
    attempts: int = 0
    """How often its reading was cut off."""


# The queue ---------------------------------------------------------------------------------------


def next_job(database: Database, known: Collection[str]) -> Job | None:
    """The oldest queued document that is not among the known ones; those cut off before last."""
    row = database.row(
        "SELECT id, name, sha256, size_bytes, attempts FROM documents WHERE state = 'queued'"
        " AND id NOT IN (SELECT value FROM json_each(?))"
        " ORDER BY attempts, created_at, id LIMIT 1",
        (json.dumps(list(known)),),
    )
    return Job(*row) if row else None


def begin(database: Database, job: Job) -> bool:
    """The document is being parsed; False if it does not wait any more."""
    with database.write() as connection:
        connection.execute(
            "UPDATE documents SET state = 'parsing', attempts = attempts + 1, began_at = ?,"
            " ended_at = NULL, updated_at = ? WHERE id = ? AND state = 'queued'",
            (time.time(), time_text(), job.document_id),
        )
        if connection.changes() == 0:
            return False
        connection.execute(
            "INSERT OR REPLACE INTO reading VALUES (?, 'parsing', 0, 0, ?)",
            (job.document_id, time.time()),
        )
    return True


def set_embedding(database: Database, jobs: Sequence[Job]) -> None:
    """The documents are being embedded."""
    ids = json.dumps([job.document_id for job in jobs])
    with database.write() as connection:
        connection.execute(
            "UPDATE documents SET state = 'embedding', updated_at = ?"
            " WHERE state = 'parsing' AND id IN (SELECT value FROM json_each(?))",
            (time_text(), ids),
        )
        connection.execute(
            "UPDATE reading SET stage = 'embedding', done = 0, total = 0, at = ?"
            " WHERE document_id IN (SELECT value FROM json_each(?))",
            (time.time(), ids),
        )


def report(database: Database, job: Job, done: int, total: int) -> None:
    """So many of the document's pages are recognised, or of its passages embedded."""
    with database.write() as connection:
        connection.execute(
            "UPDATE reading SET done = ?, total = ? WHERE document_id = ?",
            (done, total, job.document_id),
        )


def wanted(database: Database, jobs: Sequence[Job]) -> set[str]:
    """The ids of those that are still to be read."""
    rows = database.rows(
        "SELECT id FROM documents WHERE id IN (SELECT value FROM json_each(?))"
        " AND state IN ('parsing', 'embedding')",
        (json.dumps([job.document_id for job in jobs]),),
    )
    return {row[0] for row in rows}


def give_back(database: Database, jobs: Sequence[Job]) -> None:
    """What was begun and is not through waits again; this time does not count."""
    if not jobs:
        return
    ids = json.dumps([job.document_id for job in jobs])
    with database.write() as connection:
        connection.execute(
            "UPDATE documents SET state = 'queued', attempts = max(0, attempts - 1),"
            " updated_at = ? WHERE state IN ('parsing', 'embedding')"
            " AND id IN (SELECT value FROM json_each(?))",
            (time_text(), ids),
        )
        connection.execute(
            "DELETE FROM reading WHERE document_id IN (SELECT value FROM json_each(?))", (ids,)
        )


def repair(library: Library) -> None:
    """Take up what a kill interrupted: queued again, or refused after too many times."""
    refused = Refused(
        f"reading it was cut off {MAX_ATTEMPTS} times",
        "open it in the program that made it, export it as PDF, and add that",
    )
    with library.database.write() as connection:
        rows = connection.execute(
            "SELECT id, name, sha256 FROM documents"
            " WHERE state IN ('parsing', 'embedding') AND attempts >= ?",
            (MAX_ATTEMPTS,),
        )
        for row in list(rows):
            refused.write(connection, Job(*row))
        connection.execute(
            "UPDATE documents SET state = 'queued', updated_at = ?"
            " WHERE state IN ('parsing', 'embedding')",
            (time_text(),),
        )
        connection.execute("DELETE FROM reading")
    sweep(library)


def depth(database: Database, job: Job) -> int:
    """In how many archives the document lies."""
    row = database.row(
        "WITH RECURSIVE up(id) AS (SELECT archive_id FROM documents WHERE id = ?"
        " UNION ALL SELECT d.archive_id FROM documents d JOIN up ON d.id = up.id)"
        " SELECT count(id) FROM up",
        (job.document_id,),
    )
    return int(row[0]) if row else 0


# Endings -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refused:
    """A file that cannot become a document, in plain words."""

    error: str
    hint: str | None = None

    def write(self, connection: Any, job: Job) -> None:
        _end(connection, job, "refused", error=self.error, hint=self.hint)


@dataclass(frozen=True)
class Empty:
    """A file that was read and holds no text."""

    state: str
    error: str
    hint: str

    def write(self, connection: Any, job: Job, parsed: ParsedDocument) -> None:
        notes = [note for note in parsed.notes if note != self.error]  # said once
        is_there = _end(
            connection,
            job,
            self.state,
            error=self.error,
            hint=self.hint,
            notes=notes,
            num_pages=parsed.num_pages,
            dated=parsed.dated,
        )
        if is_there:
            _insert_pages(connection, job, parsed)


@dataclass(frozen=True)
class Read:
    """A document whose passages are embedded. `rows`: float32, shape (len(chunks), dim)."""

    parsed: ParsedDocument
    chunks: Sequence[Chunk]
    rows: Any
    model: str

    def write(self, connection: Any, job: Job) -> None:
        parsed = self.parsed
        lacking = [page.page for page in pages_of(parsed) if page.state in _LACKING]
        is_there = _end(
            connection,
            job,
            "partial" if lacking else "indexed",
            notes=parsed.notes or _lacking_notes(lacking, parsed.num_pages or 0),
            num_pages=parsed.num_pages,
            num_chunks=len(self.chunks),
            title=parsed.title,
            dated=parsed.dated,
        )
        if not is_there:
            return
        sections = [[s.kind, s.label, s.start, s.end, s.page] for s in parsed.sections]
        connection.execute(
            "INSERT INTO texts VALUES (?, ?, ?)",
            (job.document_id, parsed.text, json.dumps(sections, ensure_ascii=False)),
        )
        _insert_pages(connection, job, parsed)
        connection.executemany(
            "INSERT INTO page_words VALUES (?, ?, ?, ?)",
            [(job.document_id, one.page, one.start, one.packed) for one in parsed.words],
        )
        for chunk, row in zip(self.chunks, self.rows, strict=True):
            _insert_chunk(connection, job, chunk, self.model, row, parsed.title)


def write_archive(connection: Any, job: Job, archive: Archive) -> None:
    """The archive is unpacked: every member is a document, named by the archive and its path."""
    skipped = [f"{name}: {why}" for name, why in archive.skipped[:MAX_LISTED]]
    rest = len(archive.skipped) - len(skipped)
    skipped += [f"and {rest} more were left out"] if rest else []
    number = len(archive.members)
    counts = f"{number} {'file' if number == 1 else 'files'} unpacked"
    counts += f", {len(archive.skipped)} left out" if archive.skipped else ""
    if not _end(connection, job, "unpacked", notes=(counts, *skipped), is_settled=False):
        return
    [(collection_id, added_by)] = connection.execute(
        "SELECT collection_id, added_by FROM documents WHERE id = ?", (job.document_id,)
    )
    for member in archive.members:
        name = clean_name(f"{job.name}/{member.name}")
        file = (name, collection_id, added_by, member.sha256, member.size_bytes)
        insert_document(connection, file, archive_id=job.document_id)
    settle(connection, job.document_id)


def _end(
    connection: Any,
    job: Job,
    state: str,
    *,
    error: str | None = None,
    hint: str | None = None,
    notes: Sequence[str] = (),
    num_pages: int | None = None,
    num_chunks: int = 0,
    title: str | None = None,
    dated: Dated | None = None,
    is_settled: bool = True,
) -> bool:
    """The document has its state, and nothing of an earlier reading; False if it is not wanted."""
    connection.execute("DELETE FROM reading WHERE document_id = ?", (job.document_id,))
    connection.execute(
        "UPDATE documents SET state = ?, error = ?, hint = ?, notes = ?, num_pages = ?,"
        " num_chunks = ?, title = ?, dated = ?, dated_by = ?, ended_at = ?, updated_at = ?"
        " WHERE id = ? AND state IN ('parsing', 'embedding')",
        (
            *(state, error, hint, json.dumps(list(notes), ensure_ascii=False), num_pages),
            *(num_chunks, title, dated and dated.day, dated and dated.by),
            *(time.time(), time_text(), job.document_id),
        ),
    )
    if connection.changes() == 0:
        return False
    delete_chunks(connection, job.document_id)
    if is_settled:
        settle(connection, job.document_id)
    return True


def _insert_pages(connection: Any, job: Job, parsed: ParsedDocument) -> None:
    connection.executemany(
        "INSERT INTO pages VALUES (?, ?, ?, ?, ?)",
        [
            (job.document_id, page.page, page.state, page.num_chars, page.remark)
            for page in pages_of(parsed)
        ],
    )


def _insert_chunk(
    connection: Any, job: Job, chunk: Chunk, model: str, row: np.ndarray, title: str
) -> None:
    connection.execute(
        "INSERT INTO chunks (document_id, ordinal, start, end, page, place, num_tokens, text)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (
            *(job.document_id, chunk.ordinal, chunk.start, chunk.end),
            *(chunk.page, chunk.place, chunk.num_tokens, chunk.text),
        ),
    )
    chunk_id = connection.last_insert_rowid()
    connection.execute(
        "INSERT INTO vectors VALUES (?, ?, ?)", (chunk_id, model, row.astype("<f4").tobytes())
    )
    insert_terms(connection, chunk_id, job.name, chunk, title)
    connection.execute("INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_id,))


def _lacking_notes(lacking: Sequence[int], num_pages: int) -> tuple[str, ...]:
    if not lacking:
        return ()
    shown = ", ".join(map(str, lacking[:MAX_LISTED])) + (" …" if len(lacking) > MAX_LISTED else "")
    return (f"{len(lacking)} of {num_pages} pages have no text: {shown}",)


def why_no_text(parsed: ParsedDocument) -> Empty:
    """What is said of a file that was read and holds no text."""
    if parsed.num_pages:
        pages = "its page" if parsed.num_pages == 1 else f"any of its {parsed.num_pages} pages"
        judged = {page.state for page in parsed.pages}
        state = "needs_ocr" if "needs_ocr" in judged else "no_text"
        return Empty(
            state,
            f"there is no text on {pages}" + ("; it is a scan" if parsed.hint else ""),
            parsed.hint or "look at it: no letters were found on it",
        )
    return Empty(
        "no_text",
        "the file is empty" if "the file is empty" in parsed.notes else "the file holds no text",
        "open it in the program that made it and see whether anything is in it",
    )
