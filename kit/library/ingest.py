"""Queued documents become searchable: parse, chunk, embed, and one transaction for all of it.

Knows the order of the steps, not the steps. Invariants: a document's text, chunks, vectors, terms
and state appear together or not at all, so a kill at any moment leaves it queued or indexed,
never half; what was removed meanwhile is not brought back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kit.config import LibrarySettings
from kit.errors import DocumentRefused
from kit.library.chunk import chunk_document, with_context
from kit.library.documents import Chunk, ParsedDocument
from kit.library.embed import Embedder
from kit.library.read_file import parse_in_child
from kit.library.store import Library, delete_chunks
from kit.library.terms import index_terms

MAX_ATTEMPTS = 20  # parsing is caged, so a file that ends the worker itself is rare; kills are not
EMBED_BATCH = 16  # small, so that a query waits at most a moment for the model


@dataclass(frozen=True)
class Job:
    """A document that is being read."""

    document_id: str
    name: str
    sha256: str


class Ingestor:
    """Reads queued documents, oldest first, those that were cut off last. One per home."""

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        settings: LibrarySettings,
        *,
        pause: Callable[[], None] = lambda: None,
        parse: Callable[[Job], ParsedDocument] | None = None,
    ) -> None:
        """`pause` is called between small pieces of work; it may wait, or raise to stop.

        `parse` gives texts that are no files; without it a file is read in a child.
        """
        self._library = library
        self._database = library.database
        self._embedder = embedder
        self._settings = settings
        self._pause = pause
        self._parse = parse or self._parse_in_child
        repair(library)

    def run_next(self) -> bool:
        """Read one queued document to its end; False if none is queued.

        Raises: DiskFull, MachineError, EmbedError; the document then stays queued.
        """
        job = self._claim()
        if job is None:
            return False
        try:
            self._read(job)
        except DocumentRefused as refusal:
            self._finish(job, "refused", refusal.message, refusal.hint)
        except BaseException:
            self._set_state(job, "queued", gives_back=True)
            raise
        return True

    def _read(self, job: Job) -> None:
        parsed = self._parse(job)
        if not parsed.text.strip():
            error, hint = why_no_text(parsed)
            notes = tuple(note for note in parsed.notes if note != error)  # said once
            self._finish(job, "no_text", error, hint, parsed=replace(parsed, notes=notes))
            return
        self._set_state(job, "embedding")
        chunks = chunk_document(
            parsed,
            count_tokens=self._embedder.count_tokens,
            target_tokens=self._settings.chunk_tokens,
        )
        self._store(job, parsed, chunks, self._embed(parsed, chunks))

    def _parse_in_child(self, job: Job) -> ParsedDocument:
        return parse_in_child(
            self._library.original_path(job.sha256),
            job.name,
            timeout_s=self._settings.parse_timeout_s,
            memory_mb=self._settings.parse_memory_mb,
            work_folder=self._library.home / "tmp",
        )

    def _embed(self, parsed: ParsedDocument, chunks: Sequence[Chunk]) -> np.ndarray:
        """float32, shape (len(chunks), dim), rows in the order of the chunks."""
        texts = [with_context(chunk, parsed.title) for chunk in chunks]
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))  # like lengths together
        rows = np.zeros((len(texts), self._embedder.dim), dtype=np.float32)
        for at in range(0, len(order), EMBED_BATCH):
            self._pause()
            batch = order[at : at + EMBED_BATCH]
            rows[batch] = self._embedder.embed_passages([texts[i] for i in batch])
        return rows

    # -- states ---------------------------------------------------------------------------------

    def _claim(self) -> Job | None:
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT id, name, sha256 FROM documents WHERE state = 'queued'"
                " ORDER BY attempts, created_at, id LIMIT 1"
            )
            row = next(iter(rows), None)
            if row is None:
                return None
            connection.execute(
                "UPDATE documents SET state = 'parsing', attempts = attempts + 1, updated_at = ?"
                " WHERE id = ?",
                (_now(), row[0]),
            )
        return Job(*row)

    def _set_state(self, job: Job, state: str, *, gives_back: bool = False) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE documents SET state = ?, attempts = attempts - ?, updated_at = ?"
                " WHERE id = ?",
                (state, int(gives_back), _now(), job.document_id),
            )

    def _finish(
        self,
        job: Job,
        state: str,
        error: str | None,
        hint: str | None,
        *,
        parsed: ParsedDocument | None = None,
    ) -> None:
        with self._database.write() as connection:
            delete_chunks(connection, job.document_id)
            connection.execute(
                "UPDATE documents SET state = ?, error = ?, hint = ?, notes = ?, num_pages = ?,"
                " num_chunks = 0, updated_at = ? WHERE id = ?",
                (
                    state,
                    error,
                    hint,
                    json.dumps(parsed.notes if parsed else ()),
                    parsed.num_pages if parsed else None,
                    _now(),
                    job.document_id,
                ),
            )

    def _store(
        self, job: Job, parsed: ParsedDocument, chunks: Sequence[Chunk], rows: np.ndarray
    ) -> None:
        """Everything at once; nothing if the document was removed meanwhile."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE documents SET state = 'indexed', error = NULL, hint = NULL, notes = ?,"
                " num_pages = ?, num_chunks = ?, title = ?, updated_at = ? WHERE id = ?",
                (
                    json.dumps(parsed.notes),
                    parsed.num_pages,
                    len(chunks),
                    parsed.title,
                    _now(),
                    job.document_id,
                ),
            )
            if connection.changes() == 0:
                return
            delete_chunks(connection, job.document_id)
            _insert_text(connection, job.document_id, parsed)
            for chunk, row in zip(chunks, rows, strict=True):
                _insert_chunk(connection, job, parsed, chunk, self._embedder.model, row)


def _insert_text(connection: Any, document_id: str, parsed: ParsedDocument) -> None:
    sections = [[s.kind, s.label, s.start, s.end, s.page] for s in parsed.sections]
    connection.execute(
        "INSERT INTO texts VALUES (?, ?, ?)",
        (document_id, parsed.text, json.dumps(sections, ensure_ascii=False)),
    )


def _insert_chunk(
    connection: Any, job: Job, parsed: ParsedDocument, chunk: Chunk, model: str, row: np.ndarray
) -> None:
    connection.execute(
        "INSERT INTO chunks (document_id, ordinal, start, end, page, place, num_tokens, text)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (
            job.document_id,
            chunk.ordinal,
            chunk.start,
            chunk.end,
            chunk.page,
            chunk.place,
            chunk.num_tokens,
            chunk.text,
        ),
    )
    chunk_id = connection.last_insert_rowid()
    connection.execute(
        "INSERT INTO vectors VALUES (?, ?, ?)", (chunk_id, model, row.astype("<f4").tobytes())
    )
    terms = index_terms(f"{job.name} {with_context(chunk, parsed.title)}")
    connection.execute("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", (chunk_id, terms))
    connection.execute("INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_id,))


def why_no_text(parsed: ParsedDocument) -> tuple[str, str]:
    """(reason, what to do) for a file that was read and holds no text."""
    if parsed.num_pages:
        pages = "its page" if parsed.num_pages == 1 else f"any of its {parsed.num_pages} pages"
        return (
            f"there is no text on {pages}; it is probably a scan",
            "this version does not read scans: run text recognition (OCR) on it and add the result",
        )
    return (
        "the file is empty" if "the file is empty" in parsed.notes else "the file holds no text",
        ("open it in the program that made it and see whether anything is in it"),
    )


def repair(library: Library) -> None:
    """Take up what a kill interrupted: queued again, or refused after too many times."""
    with library.database.write() as connection:
        connection.execute(
            "UPDATE documents SET state = 'refused', error = ?, hint = ?, updated_at = ?"
            " WHERE state IN ('parsing', 'embedding') AND attempts >= ?",
            (
                f"reading it was cut off {MAX_ATTEMPTS} times",
                "open it in the program that made it, export it as PDF, and add that",
                _now(),
                MAX_ATTEMPTS,
            ),
        )
        connection.execute(
            "UPDATE documents SET state = 'queued', updated_at = ?"
            " WHERE state IN ('parsing', 'embedding')",
            (_now(),),
        )
    library.sweep()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
