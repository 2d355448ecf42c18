"""A home with vectors in SQLite, for tests of the dense index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from kit.database import Database
from kit.library.index.vectors import VectorIndex

MODEL, DIM = "words-8", 8


def unit_rows(num_rows: int, *, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """float32, shape (num_rows, dim), rows of L2 norm 1."""
    rows = np.random.default_rng(seed).normal(size=(num_rows, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4")


def add_document(
    database: Database, name: str, rows: np.ndarray, *, collection: int = 1, model: str = MODEL
) -> list[int]:
    """One document with a chunk per row, in one transaction; returns the chunk ids."""
    with database.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO collections (id, name) VALUES (?, ?)",
            (collection, f"collection {collection}"),
        )
        connection.execute(
            "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
            " created_at, updated_at) VALUES (?, ?, ?, 'local', ?, 1, 'indexed', '', '')",
            (name, name, collection, name),
        )
        chunk_ids = []
        for ordinal, row in enumerate(rows):
            connection.execute(
                "INSERT INTO chunks (document_id, ordinal, start, end, place, num_tokens, text)"
                " VALUES (?, ?, 0, 1, '', 1, 'x')",
                (name, ordinal),
            )
            chunk_ids.append(connection.last_insert_rowid())
            connection.execute(
                "INSERT INTO vectors VALUES (?, ?, ?)", (chunk_ids[-1], model, row.tobytes())
            )
            connection.execute(
                "INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_ids[-1],)
            )
    return chunk_ids


def remove_document(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(
            "INSERT INTO index_log (op, chunk_id)"
            " SELECT 'delete', id FROM chunks WHERE document_id = ?",
            (name,),
        )
        connection.execute("DELETE FROM documents WHERE id = ?", (name,))


def vectors_in(database: Database, collections: tuple[int, ...]) -> dict[int, np.ndarray]:
    """chunk id -> vector, read without the code under test."""
    marks = ",".join("?" * len(collections))
    found = database.rows(
        "SELECT v.chunk_id, v.vector FROM vectors v JOIN chunks c ON c.id = v.chunk_id"
        f" JOIN documents d ON d.id = c.document_id WHERE d.collection_id IN ({marks})",
        collections,
    )
    return {chunk_id: np.frombuffer(vector, dtype="<f4") for chunk_id, vector in found}


def nearest(
    database: Database, query: np.ndarray, collections: tuple[int, ...], limit: int
) -> list[tuple[int, float]]:
    """The right answer of a search, by the definition."""
    stored = vectors_in(database, collections)
    scored = [(chunk_id, float(row @ query)) for chunk_id, row in stored.items()]
    return sorted(scored, key=lambda pair: -pair[1])[:limit]


def assert_whole(index: VectorIndex, database: Database, collections: tuple[int, ...]) -> None:
    """Chroma itself holds what SQLite holds, and a search is exact to the last place."""
    assert index.state == "ready"
    assert index._store is not None
    assert index._store.ids() == set(vectors_in(database, collections))
    for query in unit_rows(5, seed=99):
        found = index.search(query, list(collections), 10)
        assert_same(found, nearest(database, query, collections, 10))


def assert_same(found: list[tuple[int, float]], right: list[tuple[int, float]]) -> None:
    """The same chunks in the same order with the same cosines."""
    assert [chunk_id for chunk_id, _ in found] == [chunk_id for chunk_id, _ in right]
    assert np.allclose([score for _, score in found], [score for _, score in right], atol=1e-6)


FOLLOWER = """
import os, signal, sys
from pathlib import Path
from kit.database import Database
from kit.library.index import chroma_store, vectors
home, model, dim, kill_at_step, idle = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
num_steps = 0
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def step():
    global num_steps
    num_steps += 1
    if num_steps == kill_at_step:
        kill()
def in_steps(owner, name):
    real = getattr(owner, name)
    def run(*args, **kwargs):
        step()
        result = real(*args, **kwargs)
        step()
        return result
    setattr(owner, name, run)
in_steps(chroma_store.Store, "upsert")
in_steps(chroma_store.Store, "delete")
in_steps(vectors, "write_state")
in_steps(vectors, "sync_files")
vectors.BATCH_ROWS = 50
index = vectors.VectorIndex(home, Database(home / "kit.db"), model=model, dim=dim)
index.follow()
if idle:
    kill()
index.close()
"""


def follow_in_child(home: Path, *, kill_at_step: int = 0, kill_when_idle: bool = False) -> int:
    """Exit status of a process that follows, 50 changes at a time, and kills itself with SIGKILL:
    at a step (before or after a write of Chroma or of the state, from 1), at rest, or not."""
    steps = [str(kill_at_step), str(int(kill_when_idle))]
    command = [sys.executable, "-c", FOLLOWER, str(home), MODEL, str(DIM), *steps]
    return subprocess.run(command, check=False, timeout=120).returncode
