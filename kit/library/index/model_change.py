"""Which embedding model's vectors are searched, and how another model takes its place.

Knows tables and an embedder, no index. Invariants: a model is searched only when every passage has
its vector; that changes in one transaction, so that a kill leaves the one or the other; the vectors
of the one before go only when no index serves them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kit.database import Database
from kit.library.chunk import with_context
from kit.library.documents import Chunk
from kit.library.index.embed import Embedder

SERVING, INDEXED = "embedding_model", "indexed_model"  # in settings
BATCH = 64  # passages of one step: what is queued meanwhile waits no longer
REMOVED_AT_ONCE = 2000

_MISSING = """
    FROM chunks c JOIN documents d ON d.id = c.document_id
    WHERE c.id > :after AND NOT EXISTS
      (SELECT 1 FROM vectors v WHERE v.chunk_id = c.id AND v.model = :model)
"""
_SET = (
    "INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    " WHERE value <> excluded.value"
)


@dataclass(frozen=True)
class ChangeProgress:
    """One model on its way to take another's place; numbers of passages."""

    old: str
    new: str
    num_done: int
    num_total: int


def serving_model(database: Database) -> str | None:
    """The model whose vectors are searched; None where there are none and none was chosen."""
    row = database.row("SELECT value FROM settings WHERE key = ?", (SERVING,))
    row = row or database.row("SELECT model FROM vectors ORDER BY chunk_id DESC LIMIT 1")
    return str(row[0]) if row else None


def indexed_model(database: Database) -> str | None:
    """The model whose index was opened last: its vectors are in use."""
    row = database.row("SELECT value FROM settings WHERE key = ?", (INDEXED,))
    return str(row[0]) if row else None


def note_indexed(database: Database, model: str) -> None:
    with database.write() as connection:
        connection.execute(_SET, (INDEXED, model))


def dim_of(database: Database, model: str) -> int | None:
    """Dimensions of the model's vectors; None if there are none."""
    row = database.row(
        "SELECT length(vector) / 4 FROM vectors WHERE model = ? ORDER BY chunk_id DESC LIMIT 1",
        (model,),
    )
    return int(row[0]) if row else None


class ModelChange:
    """Brings every passage a vector of `embedder`, then has that model searched.

    Where its vectors are searched already it does the same for passages that another model alone
    has read, and removes what other models left.
    """

    def __init__(
        self, database: Database, embedder: Embedder, *, pause: Callable[[], None] = lambda: None
    ) -> None:
        """`pause` is called before each step; it may wait, or raise to stop."""
        self._database = database
        self._embedder = embedder
        self._pause = pause
        self._after = 0
        self._settled_at = -1

    def step(self) -> bool:
        """Do a small piece of what is left; False if nothing is. A kill loses that piece alone."""
        self._pause()
        now = self._last_change()
        if self._settled_at == now:
            return False
        if self._embed_some():
            return True
        if serving_model(self._database) != self._embedder.model or not self._is_chosen():
            self._switch()
            return True
        if indexed_model(self._database) != self._embedder.model:
            return False  # those before are still searched
        if self._remove_some():
            return True
        self._settled_at = now
        return False

    def progress(self) -> ChangeProgress | None:
        """None where nothing is changing."""
        old = serving_model(self._database)
        if old is None or old == self._embedder.model:
            return None
        row = self._database.row(
            "SELECT count(*), (SELECT count(*) FROM vectors WHERE model = ?) FROM chunks",
            (self._embedder.model,),
        )
        num_total, num_done = row or (0, 0)
        return ChangeProgress(old, self._embedder.model, int(num_done), int(num_total))

    def _embed_some(self) -> bool:
        sql = "SELECT c.id, c.place, c.text, coalesce(d.title, '')" + _MISSING
        bindings = {"after": self._after, "model": self._embedder.model, "limit": BATCH}
        rows = self._database.rows(sql + " ORDER BY c.id LIMIT :limit", bindings)
        if not rows:
            is_through, self._after = self._after == 0, 0
            return not is_through  # once more from the beginning: some may have come meanwhile
        texts = [with_context(_passage(place, text), title) for _, place, text, title in rows]
        vectors = self._embedder.embed_passages(texts)
        self._store([int(row[0]) for row in rows], [row.astype("<f4").tobytes() for row in vectors])
        self._after = int(rows[-1][0])
        return True

    def _store(self, chunk_ids: list[int], vectors: list[bytes]) -> None:
        """Passages that were removed meanwhile stay removed."""
        with self._database.write() as connection:
            is_searched = serving_model(self._database) == self._embedder.model
            for chunk_id, vector in zip(chunk_ids, vectors, strict=True):
                connection.execute(
                    "INSERT OR IGNORE INTO vectors SELECT id, ?, ? FROM chunks WHERE id = ?",
                    (self._embedder.model, vector, chunk_id),
                )
                if is_searched:  # an index follows the log; one of a new model is built from all
                    connection.execute(
                        "INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_id,)
                    )

    def _is_chosen(self) -> bool:
        return self._database.row("SELECT 1 FROM settings WHERE key = ?", (SERVING,)) is not None

    def _switch(self) -> None:
        """The model is searched from now on, if no passage came without its vector meanwhile."""
        with self._database.write() as connection:
            bindings = {"after": 0, "model": self._embedder.model}
            missing = connection.execute("SELECT 1" + _MISSING + " LIMIT 1", bindings)
            if next(iter(missing), None) is None:
                connection.execute(_SET, (SERVING, self._embedder.model))

    def _remove_some(self) -> bool:
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM vectors WHERE rowid IN"
                " (SELECT rowid FROM vectors WHERE model <> ? LIMIT ?)",
                (self._embedder.model, REMOVED_AT_ONCE),
            )
            return connection.changes() > 0

    def _last_change(self) -> int:
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'index_log'")
        return int(row[0]) if row else 0


def _passage(place: str, text: str) -> Chunk:
    return Chunk(0, 0, len(text), text, place, None, 0)
