"""The dense index over all vectors of one embedding model.

Knows Chroma's folder, nothing of texts. Invariant: Chroma is disposable. Whatever happens to
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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kit.database import Database
from kit.errors import EmbedError, LibraryError
from kit.files import explain_os_errors, require_space
from kit.library.index.chroma_store import Store, check_store, closed_on_failure
from kit.library.index.index_folder import (
    DamagedIndex,
    FolderState,
    folder_of,
    forget_seq,
    list_files,
    own_folder,
    read_state,
    require_sane_size,
    sync_files,
    write_state,
)
from kit.library.index.vector_rows import Batch, Scored, VectorRows

log = logging.getLogger("kit.library")
BATCH_ROWS = 1000
SCAN_ROWS = 20_000  # so many vectors are scanned exactly while the index is not there
SPARE_CANDIDATES = 16  # asked for beyond `limit`: some may just have been removed
# Of 200,000 vectors Chroma finds the nearest 66 in 3 ms, the nearest 2,400 in 17 ms, but those
# within eleven twelfths in 760 ms: its filter looks at every vector. So from a large library more
# are taken than are wanted, twice as many as the share of these collections makes likely.
SPARE_FACTOR = 2
MAX_TAKEN = 4_000
RETRY_AFTER_S = 60.0  # after one rebuild, before the next
MAX_CUT = 3  # owners in a row that ended with it open; files that look whole may crash a search


class VectorIndex:
    """The one owner of a model's folder in home/index. `search` may be called from any thread while
    another follows."""

    def __init__(self, home: Path, database: Database, *, model: str, dim: int) -> None:
        """Take the folder's lock; Chroma itself is opened, checked or rebuilt by `follow`.

        Raises: AlreadyRunning if another process owns the index.
        """
        self._database = database
        self._rows = VectorRows(database, model=model, dim=dim)
        folder = folder_of(home, model)
        self._folder = folder / "chroma"
        self._state_path = folder / "state.json"
        self._following = threading.Lock()
        self._store: Store | None = None
        self._is_suspect = False  # a search failed: look again before the next change
        self._is_writing = False  # as the state file on the disk says
        self._state = "rebuilding"
        self._no_rebuild_before = 0.0
        self._seq = self._built_seq = self._num_cut = 0
        self._lock = own_folder(folder)

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
        4 ms per 1,000 vectors). From a large library the nearest of all are taken instead, as long
        as these hold `limit` of these collections, which then are the nearest of these too. SQLite
        decides what lies in these collections now, and gives the exact cosines. Without Chroma,
        and where this comes back short, all vectors of these collections are scanned if there are
        no more than SCAN_ROWS.
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
                found = self._search_store(store, vector, collection_ids, limit)
            except DamagedIndex as problem:
                log.warning("a search in the dense index failed: %s", problem)
                if self._store is store:  # not closed or replaced meanwhile
                    self._is_suspect = True
        if len(found) < limit:
            found = self._rows.scan(vector, collection_ids, max_rows=SCAN_ROWS) or found
        return found[:limit]

    def _search_store(
        self, store: Store, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> Scored:
        """The same through Chroma; too few where reading these vectors costs less."""
        wanted = limit + SPARE_CANDIDATES
        if self._rows.are_all_in(collection_ids):
            return self._rows.score(vector, store.query(vector, None, wanted), collection_ids)
        if not self._rows.are_at_most(SCAN_ROWS):
            num_inside, num_total = self._rows.count_in(collection_ids)
            taken = SPARE_FACTOR * wanted * num_total // max(1, num_inside)
            if taken <= MAX_TAKEN:
                nearest = store.query(vector, None, taken)
                found = self._rows.score(vector, nearest, collection_ids)
                if len(found) >= limit:
                    return found
            if num_inside <= SCAN_ROWS:
                return []
        candidates = store.query(vector, collection_ids, wanted)
        return self._rows.score(vector, candidates, collection_ids)

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        with self._following:
            if self._lock < 0:
                return
            try:
                if self._store:
                    self._drop()
                    self._num_cut = 0
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
        if self._must_forget() and time.monotonic() >= self._no_rebuild_before:
            raise DamagedIndex("removed documents were purged, their vectors are in its files")
        num_applied = self._catch_up()
        self._state = "ready"
        return num_applied

    def _must_forget(self) -> bool:
        return forget_seq(self._database) > self._built_seq

    def _open(self) -> None:
        state = read_state(self._state_path)
        if state is None or not self._folder.is_dir():
            raise DamagedIndex("there is none yet" if state is None else "its folder is missing")
        if not state.is_made_for(self._rows.model, self._rows.dim):
            raise DamagedIndex(f"it was made for {state.model}, {state.dim} dimensions")
        if state.is_writing:
            raise DamagedIndex("its last owner was killed while writing or opening it")
        if state.num_cut >= MAX_CUT:
            raise DamagedIndex(f"its last {state.num_cut} owners ended while it was open")
        if state.seq > self._rows.last_seq():
            raise DamagedIndex("the database is older than it")
        if state.files != list_files(self._folder):
            raise DamagedIndex("its files are not as they were left")
        self._seq, self._built_seq = state.seq, state.built_seq
        self._num_cut = state.num_cut + 1
        self._mark_writing()  # should opening it kill this process, it is not opened again
        with closed_on_failure(Store(self._folder, is_new=False)) as store:
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
        # Before the rows: what comes later is in the log too.
        self._seq = self._built_seq = self._rows.last_seq()
        self._num_cut = 1
        self._mark_writing()
        num_applied = 0
        with closed_on_failure(Store(self._folder, is_new=True)) as store:
            for batch in self._rows.batches(BATCH_ROWS):
                self._write(store, batch, gone=[])
                num_applied += len(batch.ids)
            check_store(store, self._rows, self._seq)
        self._store = store
        num_applied += self._catch_up()
        self._state = "ready"
        return num_applied

    def _write(self, store: Store, batch: Batch, *, gone: Sequence[int]) -> None:
        require_space(self._folder, 8 * batch.vectors.nbytes)
        if batch.ids:
            store.upsert(batch)
        if gone:
            store.delete(gone)
        require_sane_size(self._folder, store.count(), self._rows.dim)

    def _mark_writing(self) -> None:
        self._is_writing = True
        write_state(self._state_path, self._state_now())

    def _save(self) -> None:
        """Chroma's files are on the disk and at rest."""
        files = sync_files(self._folder)
        self._is_writing = False
        write_state(self._state_path, replace(self._state_now(), files=files))

    def _state_now(self) -> FolderState:
        return FolderState(
            self._rows.model,
            self._rows.dim,
            self._seq,
            built_seq=self._built_seq,
            num_cut=self._num_cut,
            is_writing=self._is_writing,
        )

    def _open_store(self) -> Store:
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


def _unavailable(reason: str) -> LibraryError:
    return LibraryError(
        f"the dense index cannot be built: {reason}",
        hint="search goes by words meanwhile; see logs/web.log",
    )
