"""The vectors of one model as SQLite holds them: the truth that the dense index is derived from.

Knows tables and numpy, nothing of Chroma. Invariant: what `score` and `scan` return lies in a
collection that was asked for at that moment, and its cosine comes from the stored vector.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kit.database import Database, Row

Scored = list[tuple[int, float]]
"""(chunk id, cosine), best first; equal cosines by chunk id."""

_VISIBLE = """
    SELECT c.id, v.vector
    FROM documents d JOIN chunks c ON c.document_id = d.id JOIN vectors v ON v.chunk_id = c.id
    WHERE d.collection_id IN (SELECT value FROM json_each(:collections))
      AND v.model = :model AND length(v.vector) = :num_bytes
"""
_INDEXED = """
    SELECT v.chunk_id, d.collection_id, v.vector
    FROM vectors v JOIN chunks c ON c.id = v.chunk_id JOIN documents d ON d.id = c.document_id
    WHERE v.model = ? AND length(v.vector) = ? AND """
_GIVEN = " AND c.id IN (SELECT value FROM json_each(:chunks))"


@dataclass(frozen=True)
class Batch:
    """Rows for the index: `ids` (n), `collection_ids` (n), `vectors` float32 (n, dim)."""

    ids: list[int]
    collection_ids: list[int]
    vectors: np.ndarray


def count_vectors(database: Database, limit: int) -> int:
    """How many vectors there are of all models, counted up to `limit`."""
    row = database.row("SELECT count(*) FROM (SELECT 1 FROM vectors LIMIT ?)", (limit,))
    return int(row[0]) if row else 0


class VectorRows:
    """Reads what one embedding model made. Vectors of another model or size are not there."""

    def __init__(self, database: Database, *, model: str, dim: int) -> None:
        self.model, self.dim = model, dim
        self._database = database

    def last_seq(self) -> int:
        """The end of the change log, also where its entries were cleared; 0 if it never had any."""
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'index_log'")
        return int(row[0]) if row else 0

    def changes(self, after: int, limit: int) -> list[tuple[int, int]]:
        """(seq, chunk id) of the next entries of the change log."""
        sql = "SELECT seq, chunk_id FROM index_log WHERE seq > ? ORDER BY seq LIMIT ?"
        return [
            (int(seq), int(chunk_id)) for seq, chunk_id in self._database.rows(sql, (after, limit))
        ]

    def are_at_most(self, limit: int) -> bool:
        """Whether the model has no more than `limit` vectors; reads no more than it must."""
        rows = self._database.row(
            "SELECT count(*) FROM (SELECT 1 FROM vectors WHERE model = ? LIMIT ?)",
            (self.model, limit + 1),
        )
        return rows is not None and int(rows[0]) <= limit

    def are_all_in(self, collections: Sequence[int]) -> bool:
        """Whether no document lies outside `collections`."""
        sql = (
            "SELECT 1 FROM collections c WHERE c.id NOT IN (SELECT value FROM json_each(?))"
            " AND EXISTS (SELECT 1 FROM documents d WHERE d.collection_id = c.id)"
        )
        return self._database.row(sql, (json.dumps([int(i) for i in collections]),)) is None

    def count_in(self, collections: Sequence[int]) -> tuple[int, int]:
        """(chunks of the documents in `collections`, chunks of all documents)."""
        sql = (
            "SELECT coalesce(sum(num_chunks) FILTER"
            " (WHERE collection_id IN (SELECT value FROM json_each(?))), 0),"
            " coalesce(sum(num_chunks), 0) FROM documents"
        )
        [row] = self._database.rows(sql, (json.dumps([int(i) for i in collections]),))
        return int(row[0]), int(row[1])

    def ids(self) -> set[int]:
        sql = "SELECT chunk_id FROM vectors WHERE model = ? AND length(vector) = ?"
        return {int(row[0]) for row in self._database.rows(sql, (self.model, self.dim * 4))}

    def fetch(self, chunk_ids: Sequence[int]) -> Batch:
        """The vectors of those of the chunks that have one."""
        return self._batch(
            "v.chunk_id IN (SELECT value FROM json_each(?))", (json.dumps(list(chunk_ids)),)
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """All vectors, by chunk id; each batch is one moment of its own."""
        after = 0
        while (batch := self._batch("v.chunk_id > ?", (after,), limit=size)).ids:
            yield batch
            after = batch.ids[-1]

    def score(
        self, vector: np.ndarray, chunk_ids: Sequence[int], collections: Sequence[int]
    ) -> Scored:
        """The given chunks as far as they lie in `collections` now, with their cosines."""
        sql = _VISIBLE + _GIVEN
        return self._ranked(vector, sql, collections, chunks=json.dumps(list(chunk_ids)))

    def scan(
        self, vector: np.ndarray, collections: Sequence[int], *, max_rows: int
    ) -> Scored | None:
        """Every vector in `collections`, exactly; None if they are more than `max_rows`."""
        found = self._ranked(vector, _VISIBLE + " LIMIT :max", collections, max=max_rows + 1)
        return found if len(found) <= max_rows else None

    def _ranked(
        self, vector: np.ndarray, sql: str, collections: Sequence[int], **bindings: str | int
    ) -> Scored:
        shared: dict[str, str | int] = {
            "collections": json.dumps([int(number) for number in collections]),
            "model": self.model,
            "num_bytes": self.dim * 4,
        }
        rows = self._database.rows(sql, shared | bindings)
        cosines = self._matrix(rows, column=1) @ vector  # (n, dim) @ (dim,)
        pairs = ((int(row[0]), float(cosine)) for row, cosine in zip(rows, cosines, strict=True))
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def _batch(self, where: str, bindings: tuple[str | int, ...], *, limit: int = -1) -> Batch:
        sql = _INDEXED + where + " ORDER BY v.chunk_id LIMIT ?"
        rows = self._database.rows(sql, (self.model, self.dim * 4, *bindings, limit))
        return Batch(
            [row[0] for row in rows], [row[1] for row in rows], self._matrix(rows, column=2)
        )

    def _matrix(self, rows: Sequence[Row], *, column: int) -> np.ndarray:
        packed = b"".join(row[column] for row in rows)
        return np.frombuffer(packed, dtype="<f4").reshape(-1, self.dim)
