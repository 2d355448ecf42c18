"""What became of every document and page, how far the reading is, and what people do about it.

Knows the tables, no model and no parser. Invariant: whom a number or a name is told to is decided
by the library's gate alone; a reader hears of no document that is not theirs to see.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from kit.database import Database, time_text
from kit.errors import AccessError
from kit.library.documents import FAILED_STATES, DocumentRecord, Page, pages_of
from kit.library.lineage import delete_passages, release_duplicates
from kit.library.progress import (
    SMALL_BYTES,
    Begun,
    Ended,
    Progress,
    Reading,
    Waiting,
    last_run,
    seconds_left,
)
from kit.library.store import Library

_PAUSED = "library.is_paused"
MAX_LOOKED_AT = 500  # documents that the speed is taken from
RECENT_S = 600.0
_KIND = "lower(replace(d.name, rtrim(d.name, replace(d.name, '.', '')), ''))"  # after the last dot


class Ledger:
    """The state of a library's documents. `reader` is the id of the person who asks."""

    def __init__(self, library: Library) -> None:
        self._library = library

    @property
    def _database(self) -> Database:
        return self._library.database

    # -- seeing ---------------------------------------------------------------------------------

    def pages(self, document_id: str, reader: str) -> tuple[Page, ...]:
        """The document's pages in order; none where its format has no pages, or it is not read.

        Raises: NotFound.
        """
        record = self._library.get(document_id, reader)
        source = record.duplicate_of or record.id
        rows = self._database.rows(
            "SELECT page, state, num_chars, remark FROM pages WHERE document_id = ? ORDER BY page",
            (source,),
        )
        if rows or not record.num_pages or not record.is_read:
            return tuple(Page(*row) for row in rows)
        return pages_of(self._library.text(source, reader))  # read by a kit that kept no pages

    def progress(self, reader: str) -> Progress:
        """How far the reading of this person's documents is, from the last run of reading."""
        visible = json.dumps(self._library.visible_collection_ids(reader))
        now_s = time.time()
        now, begun = self._now_reading(visible, now_s)
        busy_since = now_s - max(one.seconds for one in begun) if begun else None
        ended, run_s = self._last_run(visible, now_s, busy_since)
        waiting, waiting_bytes = self._waiting(visible)
        left = seconds_left(ended, begun, waiting, run_s)
        num_bytes = sum(one.size_bytes for one in ended)
        waiting_bytes += sum(one.size_bytes for one in begun)
        return Progress(
            is_paused=self.is_paused,
            num_done=len(ended),
            num_waiting=len(begun) + sum(one.num for one in waiting),
            waiting_bytes=waiting_bytes,
            documents_per_minute=round(len(ended) / run_s * 60, 1),
            mb_per_minute=round(num_bytes / run_s * 60 / 1e6, 2),
            seconds_left=None if left is None else round(left, 1),
            now=now,
        )

    def _waiting(self, visible: str) -> tuple[list[Waiting], int]:
        """What is queued, by kind, and its bytes."""
        rows = self._database.rows(
            f"SELECT {_KIND} AS kind, count(*), sum(max(size_bytes, ?)), sum(size_bytes)"  # noqa: S608
            " FROM documents d WHERE state = 'queued'"
            " AND collection_id IN (SELECT value FROM json_each(?)) GROUP BY kind",
            (SMALL_BYTES, visible),
        )
        return [Waiting(*row[:3]) for row in rows], sum(row[3] for row in rows)

    def _last_run(
        self, visible: str, now_s: float, busy_since: float | None
    ) -> tuple[list[Ended], float]:
        """What was read in the reading that goes on, or ended just now, and its seconds."""
        rows = self._database.rows(
            f"SELECT began_at, ended_at, {_KIND}, size_bytes FROM documents d"  # noqa: S608
            " WHERE ended_at > ? AND collection_id IN (SELECT value FROM json_each(?))"
            " ORDER BY ended_at DESC LIMIT ?",
            (now_s - RECENT_S, visible, MAX_LOOKED_AT),
        )
        spans = [(began, ended) for began, ended, *_ in rows]
        num_done, run_s = last_run(spans, now_s, busy_since)
        return [
            Ended(kind, size_bytes, max(0.0, ended - (ended if began is None else began)))
            for began, ended, kind, size_bytes in rows[:num_done]
        ], run_s

    def _now_reading(self, visible: str, now_s: float) -> tuple[tuple[Reading, ...], list[Begun]]:
        """What is read now: as it is told, and as the time left is judged by."""
        rows = self._database.rows(
            "SELECT d.id, d.name, coalesce(r.stage, d.state), coalesce(r.done, 0),"  # noqa: S608
            f" coalesce(r.total, 0), max(0.0, ? - coalesce(d.began_at, r.at, ?)), {_KIND},"
            " d.size_bytes, max(0.0, ? - coalesce(r.at, d.began_at, ?))"
            " FROM documents d LEFT JOIN reading r ON r.document_id = d.id"
            " WHERE d.state IN ('parsing', 'embedding')"
            " AND d.collection_id IN (SELECT value FROM json_each(?))"
            " ORDER BY 3, d.began_at",  # what is embedded was begun before
            (now_s, now_s, now_s, now_s, visible),
        )
        now, begun = [], []
        for document_id, name, stage, done, total, seconds, kind, size_bytes, stage_s in rows:
            now.append(Reading(document_id, name, stage, done, total, round(seconds, 1)))
            begun.append(Begun(kind, size_bytes, seconds, stage_s, done, total))
        return tuple(now), begun

    # -- doing ----------------------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        return self._database.row("SELECT 1 FROM settings WHERE key = ?", (_PAUSED,)) is not None

    def pause(self, *, is_admin: bool) -> None:
        """Nothing further is read until `resume`. Raises: AccessError."""
        self._require_admin(is_admin)
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, '1')", (_PAUSED,))

    def resume(self, *, is_admin: bool) -> None:
        """Reading goes on where it was. Raises: AccessError."""
        self._require_admin(is_admin)
        with self._database.write() as connection:
            connection.execute("DELETE FROM settings WHERE key = ?", (_PAUSED,))

    def _require_admin(self, is_admin: bool) -> None:
        if not is_admin:
            raise AccessError(
                "only an administrator pauses and resumes the reading, which is everybody's",
                hint="stop single documents of your own instead",
            )

    def stop(self, document_id: str, reader: str) -> None:
        """A document that waits or is read is not read. One that is through stays as it is.

        Raises: NotFound; AccessError for somebody else's.
        """
        record = self._library.get(document_id, reader)
        if not record.may_change:
            raise AccessError(
                f"{record.name} is stopped by who added it and by who writes {record.collection}"
            )
        with self._database.write() as connection:
            connection.execute(
                "UPDATE documents SET state = 'stopped', error = 'a person stopped its reading',"
                " hint = 'it is read when you try it again', num_chunks = 0, ended_at = NULL,"
                " updated_at = ? WHERE id = ? AND state IN ('queued', 'parsing', 'embedding')",
                (time_text(), record.id),
            )
            if connection.changes():
                connection.execute("DELETE FROM reading WHERE document_id = ?", (record.id,))
                delete_passages(connection, record.id)
                release_duplicates(connection, record.id)

    def retry_failed(self, reader: str) -> list[str]:
        """Every document that has no text, and that this person may change, is queued again.

        Returns: their ids.
        """
        again = [record.id for record in self.of_states(reader, FAILED_STATES) if record.may_change]
        for document_id in again:
            self._library.retry(document_id, reader)
        return again

    def of_states(
        self, reader: str, states: Sequence[str], collection: str | None = None
    ) -> list[DocumentRecord]:
        """What this person may see of the documents in one of the states, newest first."""
        return [r for r in self._library.list(reader, collection) if r.state in states]
