"""The dense index over all vectors of one embedding model, and the only importer of chromadb.

Knows Chroma and its folder, nothing of texts. Invariant: Chroma is disposable. Whatever happens to
its folder, the truth in SQLite rebuilds it without the embedding model, and until it is whole
again search scans SQLite, or finds nothing; it never finds what the reader may not see.

Why so careful: a SIGKILL while Chroma 1.5.9 writes can leave HNSW files that crash, hang or fill
the disk when they are opened, and a cut link_lists.bin even loads without a word. So nothing is
repaired or tried out: a state file beside the folder says what we left there. Chroma opens only a
folder whose every file is as we left it, after a write that ended and an opening that did not
crash; any other folder is deleted and built again (20,000 vectors: 9 CPU-seconds).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kit.database import Database
from kit.errors import EmbedError, LibraryError
from kit.files import explain_os_errors, require_space
from kit.library.index_folder import (
    DamagedIndex,
    FolderState,
    list_files,
    own_folder,
    read_state,
    require_sane_size,
    sync_files,
    write_state,
)
from kit.library.vector_rows import Batch, Scored, VectorRows

log = logging.getLogger("kit.library")
COLLECTION = "chunks"
# Measured on 20,000 clustered vectors of 384 dimensions against a scan (chromadb 1.5.9, AMD EPYC,
# 2 busy cores, 2026-11-22): recall@10 is 1.00 over everything and over 9/10 of it, 0.997 within a
# twelfth; building takes 9.8 CPU-seconds. At 10,000: 3 ms unfiltered, 43 ms filtered.
# ef_search 100 gave 0.992 within a twelfth; 32 neighbours cost twice the time for no more.
HNSW = {"space": "cosine", "max_neighbors": 16, "ef_construction": 100, "ef_search": 200}
BATCH_ROWS = 1000
SCAN_ROWS = 20_000  # so many vectors are scanned exactly while the index is not there
SPARE_CANDIDATES = 16  # asked for beyond `limit`: some may just have been removed
RETRY_AFTER_S = 60.0  # after one rebuild, before the next
CLOSE_TIMEOUT_S = 30.0  # a query that takes longer hangs, and is left behind
NUM_PROBES = 64
MIN_PROBES_FOUND = 0.9  # of the sampled vectors find themselves, or a twin; a whole index: all
SAME_COSINE = 0.999


class VectorIndex:
    """The one owner of home/index. `search` may be called from any thread while another follows."""

    def __init__(self, home: Path, database: Database, *, model: str, dim: int) -> None:
        """Take the folder's lock; Chroma itself is opened, checked or rebuilt by `follow`.

        Raises: AlreadyRunning if another process owns the index.
        """
        self._home = home
        self._rows = VectorRows(database, model=model, dim=dim)
        self._folder = home / "index" / "chroma"
        self._state_path = home / "index" / "state.json"
        self._following = threading.Lock()
        self._store: _Store | None = None
        self._is_suspect = False  # a search failed: look again before the next change
        self._is_writing = False  # as the state file on the disk says
        self._state = "rebuilding"
        self._no_rebuild_before = 0.0
        self._seq = 0
        self._lock = own_folder(home / "index")

    @property
    def state(self) -> str:
        """'ready', 'rebuilding' (also while it is opened and checked) or 'unavailable'."""
        return self._state

    @property
    def is_ready(self) -> bool:
        """Whether `search` finds everything now, through Chroma or by scanning."""
        return self._store is not None or self._rows.are_at_most(SCAN_ROWS)

    def follow(self) -> int:
        """Bring the index to the end of the change log; returns how many entries were applied.

        The first call opens the index, and rebuilds it if it is damaged or of another model. In
        a rebuild every vector counts as one entry. Raises: LibraryError if Chroma cannot even be
        rebuilt, which is tried once a minute; DiskFull.
        """
        with self._following:
            try:
                return self._follow()
            except DamagedIndex as problem:
                if time.monotonic() < self._no_rebuild_before:
                    raise self._give_up(problem) from problem
                log.warning("building the dense index: %s", problem)
            self._no_rebuild_before = time.monotonic() + RETRY_AFTER_S
            try:
                return self._rebuild()
            except DamagedIndex as problem:
                raise self._give_up(problem) from problem

    def search(self, vector: np.ndarray, collection_ids: Sequence[int], limit: int) -> Scored:
        """The nearest chunks of these collections: (chunk id, cosine), best first.

        `vector` float32, shape (dim,), L2 norm 1. Candidates come from Chroma, which filters by
        collection itself (not where these are all: that filter excludes nothing and costs some
        4 ms per 1,000 vectors); SQLite then decides again what lies in these collections now, and
        gives the exact cosines. Without Chroma, and where its filtered search comes back short, all
        vectors of these collections are scanned if there are no more than SCAN_ROWS.
        Raises: EmbedError if the vector is not of this index's model.
        """
        if not collection_ids or limit < 1:
            return []
        vector = np.asarray(vector, dtype=np.float32)
        if vector.shape != (self._rows.dim,):
            raise EmbedError(
                f"the question has {vector.size} dimensions, the index {self._rows.dim}",
                hint="the embedding model was changed: restart the kit",
            )
        found: Scored = []
        if store := self._store:
            try:
                inside = None if self._rows.are_all_in(collection_ids) else collection_ids
                candidates = store.query(vector, inside, limit + SPARE_CANDIDATES)
                found = self._rows.score(vector, candidates, collection_ids)
            except DamagedIndex as problem:
                log.warning("a search in the dense index failed: %s", problem)
                if self._store is store:  # not closed or replaced meanwhile
                    self._is_suspect = True
        if len(found) < limit:
            found = self._rows.scan(vector, collection_ids, max_rows=SCAN_ROWS) or found
        return found[:limit]

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        with self._following:
            if self._lock < 0:
                return
            try:
                if self._store:
                    self._drop()
                    self._save()
            finally:
                os.close(self._lock)
                self._lock = -1

    def _follow(self) -> int:
        if self._lock < 0:
            raise _unavailable("it was closed")
        if self._is_suspect:
            raise DamagedIndex("a search failed")
        if self._store is None:
            self._open()
        num_applied = self._catch_up()
        self._state = "ready"
        return num_applied

    def _open(self) -> None:
        state = read_state(self._state_path)
        if state is None or not self._folder.is_dir():
            raise DamagedIndex("there is none yet" if state is None else "its folder is missing")
        if not state.is_made_for(self._rows.model, self._rows.dim):
            raise DamagedIndex(f"it was made for {state.model}, {state.dim} dimensions")
        if state.is_writing:
            raise DamagedIndex("its last owner was killed while writing or opening it")
        if state.seq > self._rows.last_seq():
            raise DamagedIndex("the database is older than it")
        if state.files != list_files(self._folder):
            raise DamagedIndex("its files are not as they were left")
        self._seq = state.seq
        self._mark_writing()  # should opening it kill this process, it is not opened again
        with _closed_on_failure(_Store(self._folder, is_new=False)) as store:
            check_store(store, self._rows, self._seq)
        self._store = store

    def _catch_up(self) -> int:
        """Apply the change log in batches. What a change did is read from SQLite, not from the
        log: the chunk has a vector now, or it has none. So applying again changes nothing."""
        num_applied, store = 0, self._open_store()
        while changes := self._rows.changes(self._seq, BATCH_ROWS):
            if changes[0][0] != self._seq + 1:
                raise DamagedIndex("the change log has a gap")
            if not self._is_writing:
                self._mark_writing()
            chunk_ids = sorted({chunk_id for _, chunk_id in changes})
            present = self._rows.fetch(chunk_ids)
            self._write(store, present, gone=sorted(set(chunk_ids) - set(present.ids)))
            self._seq = changes[-1][0]
            num_applied += len(changes)
        if self._is_writing:
            self._save()
        return num_applied

    def _rebuild(self) -> int:
        self._drop()
        self._state, self._is_suspect = "rebuilding", False
        with explain_os_errors(self._folder):
            self._state_path.unlink(missing_ok=True)
            if self._folder.exists():
                shutil.rmtree(self._folder)
        self._seq = self._rows.last_seq()  # before the rows: what comes later is in the log too
        self._mark_writing()
        num_applied = 0
        with _closed_on_failure(_Store(self._folder, is_new=True)) as store:
            for batch in self._rows.batches(BATCH_ROWS):
                self._write(store, batch, gone=[])
                num_applied += len(batch.ids)
            check_store(store, self._rows, self._seq)
        self._store = store
        num_applied += self._catch_up()
        self._state = "ready"
        return num_applied

    def _write(self, store: _Store, batch: Batch, *, gone: Sequence[int]) -> None:
        require_space(self._folder, 8 * batch.vectors.nbytes)
        if batch.ids:
            store.upsert(batch)
        if gone:
            store.delete(gone)
        require_sane_size(self._folder, store.count(), self._rows.dim)

    def _mark_writing(self) -> None:
        state = FolderState(self._rows.model, self._rows.dim, seq=self._seq, is_writing=True)
        write_state(self._state_path, state)
        self._is_writing = True

    def _save(self) -> None:
        """Chroma's files are on the disk and at rest."""
        state = FolderState(
            self._rows.model, self._rows.dim, self._seq, files=sync_files(self._folder)
        )
        write_state(self._state_path, state)
        self._is_writing = False

    def _open_store(self) -> _Store:
        if self._store is None:
            raise DamagedIndex("it is not open")
        return self._store

    def _give_up(self, problem: DamagedIndex) -> LibraryError:
        self._drop()
        self._state = "unavailable"
        return _unavailable(str(problem))

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store:
            with contextlib.suppress(DamagedIndex):
                store.close()


class _Store:
    """Chroma's collection; every failure of Chroma is DamagedIndex. Chunk ids are its ids.

    Queries of other threads are let finish before it is closed: one that still ran would keep
    files open in a folder that is being deleted.
    """

    def __init__(self, folder: Path, *, is_new: bool) -> None:
        self._guard = threading.Condition()
        self._num_queries = 0
        self._is_closed = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _chroma_failures():
            import chromadb
            from chromadb.config import Settings

            settings = Settings(
                _env_file=None,  # a .env where the kit was started is not ours
                anonymized_telemetry=False,
                is_persistent=True,
                persist_directory=str(folder),
                allow_reset=False,
            )
            self._client = chromadb.PersistentClient(path=str(folder), settings=settings)
            if is_new:
                self._collection = self._client.create_collection(
                    COLLECTION, embedding_function=None, configuration={"hnsw": dict(HNSW)}
                )
            else:
                self._collection = self._client.get_collection(COLLECTION, embedding_function=None)

    def upsert(self, batch: Batch) -> None:
        with _chroma_failures():
            self._collection.upsert(
                ids=[str(chunk_id) for chunk_id in batch.ids],
                embeddings=batch.vectors,
                metadatas=[{"collection_id": number} for number in batch.collection_ids],
            )

    def delete(self, chunk_ids: Sequence[int]) -> None:
        with _chroma_failures():
            self._collection.delete(ids=[str(chunk_id) for chunk_id in chunk_ids])

    def query(
        self, vector: np.ndarray, collection_ids: Sequence[int] | None, limit: int
    ) -> list[int]:
        """Chunk ids of these collections (None = all), nearest first."""
        where = None
        if collection_ids is not None:
            where = {"collection_id": {"$in": [int(number) for number in collection_ids]}}
        with self._querying(), _chroma_failures():
            found = self._collection.query(
                query_embeddings=vector[None, :],
                n_results=limit,
                where=where,
                include=[],
            )
            return [int(chunk_id) for chunk_id in found["ids"][0]]

    def count(self) -> int:
        with _chroma_failures():
            return int(self._collection.count())

    def ids(self) -> set[int]:
        with _chroma_failures():
            return {int(chunk_id) for chunk_id in self._collection.get(include=[])["ids"]}

    def vectors(self, chunk_ids: Sequence[int]) -> dict[int, np.ndarray]:
        if not chunk_ids:  # Chroma refuses an empty list
            return {}
        with _chroma_failures():
            found = self._collection.get(ids=[str(i) for i in chunk_ids], include=["embeddings"])
            return dict(zip(map(int, found["ids"]), found["embeddings"], strict=True))

    def close(self) -> None:
        with self._guard:
            self._is_closed = True
            self._guard.wait_for(lambda: self._num_queries == 0, timeout=CLOSE_TIMEOUT_S)
        with _chroma_failures():
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


@contextlib.contextmanager
def _chroma_failures() -> Iterator[None]:
    """Chroma raises its own errors, sqlite's, pickle's, and panics, which are no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as problem:
        raise DamagedIndex(f"{type(problem).__name__}: {problem}"[:300]) from problem


@contextlib.contextmanager
def _closed_on_failure(store: _Store) -> Iterator[_Store]:
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        yield store
        stack.pop_all()


def _unavailable(reason: str) -> LibraryError:
    return LibraryError(
        f"the dense index cannot be built: {reason}",
        hint="search goes by words meanwhile; see logs/web.log",
    )


def check_store(store: _Store, rows: VectorRows, seq: int) -> None:
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
