"""Chroma's collection of vectors in one folder, and the only importer of chromadb.

Knows Chroma, and of SQLite's rows only what they must agree in. Invariant: whatever Chroma raises,
panics included, is DamagedIndex; what to do about that is not decided here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.library.index.index_folder import DamagedIndex
from kit.library.index.vector_rows import Batch, VectorRows

COLLECTION = "chunks"
# Measured on 20,000 clustered vectors of 384 dimensions against a scan (chromadb 1.5.9, AMD EPYC,
# 2 busy cores, 2026-11-22): recall@10 is 1.00 over everything and over 9/10 of it, 0.997 within a
# twelfth; building takes 9.8 CPU-seconds. At 10,000: 3 ms unfiltered, 43 ms filtered.
# ef_search 100 gave 0.992 within a twelfth; 32 neighbours cost twice the time for no more.
HNSW = {"space": "cosine", "max_neighbors": 16, "ef_construction": 100, "ef_search": 200}
CLOSE_TIMEOUT_S = 30.0  # a query that takes longer hangs, and is left behind
NUM_PROBES = 64
MIN_PROBES_FOUND = 0.9  # of the sampled vectors find themselves, or a twin; a whole index: all
SAME_COSINE = 0.999


class Store:
    """Chroma's collection; every failure of Chroma is DamagedIndex. Chunk ids are its ids.

    Queries of other threads are let finish before it is closed: one that still ran would keep
    files open in a folder that is being deleted.
    """

    def __init__(self, folder: Path, *, is_new: bool) -> None:
        self._guard = threading.Condition()
        self._num_queries = 0
        self._is_closed = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with chroma_failures():
            from chromadb.config import Settings

            settings = Settings(
                _env_file=None,  # a .env where the kit was started is not ours
                anonymized_telemetry=False,
                is_persistent=True,
                persist_directory=str(folder),
                allow_reset=False,
            )
            self._client = _client(settings)
            if is_new:
                self._collection = self._client.create_collection(
                    COLLECTION, embedding_function=None, configuration={"hnsw": dict(HNSW)}
                )
            else:
                self._collection = self._client.get_collection(COLLECTION, embedding_function=None)

    def upsert(self, batch: Batch) -> None:
        with chroma_failures():
            self._collection.upsert(
                ids=[str(chunk_id) for chunk_id in batch.ids],
                embeddings=batch.vectors,
                metadatas=[{"collection_id": number} for number in batch.collection_ids],
            )

    def delete(self, chunk_ids: Sequence[int]) -> None:
        with chroma_failures():
            self._collection.delete(ids=[str(chunk_id) for chunk_id in chunk_ids])

    def query(
        self, vector: np.ndarray, collection_ids: Sequence[int] | None, limit: int
    ) -> list[int]:
        """Chunk ids of these collections (None = all), nearest first."""
        where = None
        if collection_ids is not None:
            where = {"collection_id": {"$in": [int(number) for number in collection_ids]}}
        with self._querying(), chroma_failures():
            found = self._collection.query(
                query_embeddings=vector[None, :],
                n_results=limit,
                where=where,
                include=[],
            )
            return [int(chunk_id) for chunk_id in found["ids"][0]]

    def count(self) -> int:
        with chroma_failures():
            return int(self._collection.count())

    def ids(self) -> set[int]:
        with chroma_failures():
            return {int(chunk_id) for chunk_id in self._collection.get(include=[])["ids"]}

    def vectors(self, chunk_ids: Sequence[int]) -> dict[int, np.ndarray]:
        if not chunk_ids:  # Chroma refuses an empty list
            return {}
        with chroma_failures():
            found = self._collection.get(ids=[str(i) for i in chunk_ids], include=["embeddings"])
            return dict(zip(map(int, found["ids"]), found["embeddings"], strict=True))

    def close(self) -> None:
        with self._guard:
            self._is_closed = True
            self._guard.wait_for(lambda: self._num_queries == 0, timeout=CLOSE_TIMEOUT_S)
        with chroma_failures():
            self._client.close()

    @contextlib.contextmanager
    def _querying(self) -> Iterator[None]:
        with self._guard:
            if self._is_closed:
                raise DamagedIndex("it was closed")
            self._num_queries += 1
        try:
            yield
        finally:
            with self._guard:
                self._num_queries -= 1
                self._guard.notify_all()


def _client(settings: Any) -> Any:
    """Chroma on the folder that the settings name.

    One that fails while it starts stays in Chroma's cache of open folders, half made, and every
    later one of the same folder would be given it; so it is taken out (chromadb 1.5.9).
    """
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient

    path = settings.persist_directory
    try:
        return chromadb.PersistentClient(path=path, settings=settings)
    except BaseException:
        SharedSystemClient._identifier_to_system.pop(path, None)
        SharedSystemClient._identifier_to_refcount.pop(path, None)
        raise


@contextlib.contextmanager
def chroma_failures() -> Iterator[None]:
    """Chroma raises its own errors, sqlite's, pickle's, and panics, which are no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as problem:
        raise DamagedIndex(f"{type(problem).__name__}: {problem}"[:300]) from problem


@contextlib.contextmanager
def closed_on_failure(store: Store) -> Iterator[Store]:
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        yield store
        stack.pop_all()


def check_store(store: Store, rows: VectorRows, seq: int) -> None:
    """Chroma holds the chunks of SQLite as of `seq`, a sample of them with the right vectors, and
    finds those by their vectors. What changed after `seq` is left to follow().

    Raises: DamagedIndex.
    """
    expected, observed = rows.ids(), store.ids()
    changed = {chunk_id for _, chunk_id in rows.changes(seq, -1)}
    if wrong := (expected ^ observed) - changed:
        raise DamagedIndex(f"{len(wrong)} vectors are missing or too many")
    common = sorted((expected & observed) - changed)
    batch = rows.fetch(common[:: max(1, len(common) // NUM_PROBES)])
    stored = store.vectors(batch.ids)
    num_found = 0
    for chunk_id, vector in zip(batch.ids, batch.vectors, strict=True):
        if not np.allclose(stored[chunk_id], vector, atol=1e-4):
            raise DamagedIndex(f"the vector of chunk {chunk_id} is not the one in SQLite")
        nearest = store.vectors(store.query(vector, None, 1))
        num_found += any(float(other @ vector) > SAME_COSINE for other in nearest.values())
    if num_found < MIN_PROBES_FOUND * len(batch.ids):
        raise DamagedIndex(f"only {num_found} of {len(batch.ids)} vectors find themselves")
