"""The dense index over all vectors of one embedding model, and the only importer of chromadb.

Knows Chroma and its folder, nothing of texts. Invariant: Chroma is disposable. Whatever happens to
its folder, the truth in SQLite rebuilds it without the embedding model, and until it is whole
again search scans SQLite, or finds nothing; it never finds what the reader may not see.

Why so careful: a SIGKILL while Chroma 1.5.9 writes can leave HNSW files that crash, hang or fill
the disk when they are opened. So a state file says when Chroma is being written. A folder found in
the middle of a write is thrown away; one that differs from what we last saw is opened by a child
process first; only a folder that is byte for byte ours is opened at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from kit.database import Database
from kit.errors import AlreadyRunning, EmbedError, LibraryError
from kit.files import explain_os_errors, require_space, write_atomic
from kit.library.cage import die_with_parent
from kit.library.vector_rows import Batch, Scored, VectorRows
from kit.silence import quiet_environment

log = logging.getLogger("kit.library")
COLLECTION = "chunks"
# Part of what a folder is made with: raise it, and every folder is rebuilt at its next opening.
GENERATION = 1
HNSW = {"space": "cosine", "max_neighbors": 16, "ef_construction": 100, "ef_search": 100}
BATCH_ROWS = 1000
SCAN_ROWS = 20_000  # so many vectors are scanned exactly while the index is not there
SPARE_CANDIDATES = 16  # asked for beyond `limit`: some may just have been removed
RETRY_AFTER_S = 60.0
CHECK_BASE_S, CHECK_PER_ROW_S = 60.0, 0.002
NUM_PROBES = 64
MIN_PROBES_FOUND = 0.9  # of the sampled vectors find themselves; a whole index finds all


class _Damaged(Exception):
    """Chroma failed, or does not hold what it should."""


@dataclass(frozen=True)
class FolderState:
    """What the folder held when it was last at rest; beside it as state.json.

    `files` maps each file to (size, mtime in ns). `is_writing` = a write began and did not end.
    """

    model: str
    dim: int
    seq: int = 0  # the last entry of the change log that is in the index
    num_rows: int = 0
    is_writing: bool = False
    generation: int = GENERATION
    files: dict[str, list[int]] = field(default_factory=dict)

    def is_made_for(self, model: str, dim: int) -> bool:
        return (self.model, self.dim, self.generation) == (model, dim, GENERATION)


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
        self._lock = _lock(home / "index")

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
            except _Damaged as problem:
                if time.monotonic() < self._no_rebuild_before:
                    raise self._give_up(problem) from problem
                log.warning("building the dense index: %s", problem)
            self._no_rebuild_before = time.monotonic() + RETRY_AFTER_S
            try:
                return self._rebuild()
            except _Damaged as problem:
                raise self._give_up(problem) from problem

    def search(self, vector: np.ndarray, collection_ids: Sequence[int], limit: int) -> Scored:
        """The nearest chunks of these collections: (chunk id, cosine), best first.

        `vector` float32, shape (dim,), L2 norm 1. Candidates come from Chroma, which filters by
        collection itself; SQLite then decides again what lies in these collections now, and gives
        the exact cosines. Without Chroma, and where its filtered search comes back short, all
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
                candidates = store.query(vector, collection_ids, limit + SPARE_CANDIDATES)
                found = self._rows.score(vector, candidates, collection_ids)
            except _Damaged as problem:
                log.warning("a search in the dense index failed: %s", problem)
                self._is_suspect = self._store is store  # not: closed or replaced meanwhile
        if len(found) < limit:
            found = self._rows.scan(vector, collection_ids, max_rows=SCAN_ROWS) or found
        return found[:limit]

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        with self._following:
            if self._lock < 0:
                return
            try:
                with contextlib.suppress(_Damaged):
                    num_rows = self._open_store().count()
                    self._drop()
                    self._save(num_rows)
            finally:
                os.close(self._lock)
                self._lock = -1

    def _follow(self) -> int:
        if self._lock < 0:
            raise _unavailable("it was closed")
        if self._is_suspect:
            raise _Damaged("a search failed")
        if self._store is None:
            self._open()
        num_applied = self._catch_up()
        if self._state != "ready":
            self._check_count()
            self._state = "ready"
        return num_applied

    def _open(self) -> None:
        state = _read_state(self._state_path)
        if state is None or not self._folder.is_dir():
            raise _Damaged("there is none yet" if state is None else "its folder is missing")
        if not state.is_made_for(self._rows.model, self._rows.dim):
            raise _Damaged(f"it was made for {state.model}, {state.dim} dimensions")
        if state.is_writing:
            raise _Damaged("its last owner was killed while writing it")
        if state.seq > self._rows.last_seq():
            raise _Damaged("the database is older than it")
        _require_sane_size(self._folder, state.num_rows, state.dim)
        if state.files != _list_files(self._folder):
            _check_in_child(self._home, state)
        self._store = _Store(self._folder, is_new=False)
        self._seq = state.seq

    def _catch_up(self) -> int:
        """Apply the change log in batches. What a change did is read from SQLite, not from the
        log: the chunk has a vector now, or it has none. So applying again changes nothing."""
        num_applied = 0
        while changes := self._rows.changes(self._seq, BATCH_ROWS):
            if changes[0][0] != self._seq + 1:
                raise _Damaged("the change log has a gap")
            if not self._is_writing:
                self._mark_writing()
            chunk_ids = sorted({chunk_id for _, chunk_id in changes})
            present = self._rows.fetch(chunk_ids)
            self._write(present, gone=sorted(set(chunk_ids) - set(present.ids)))
            self._seq = changes[-1][0]
            num_applied += len(changes)
        if self._is_writing:
            self._save(self._open_store().count())
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
        store = _Store(self._folder, is_new=True)
        num_applied = 0
        with contextlib.ExitStack() as stack:
            stack.callback(store.close)
            for batch in self._rows.batches(BATCH_ROWS):
                self._write(batch, gone=[], store=store)
                num_applied += len(batch.ids)
            stack.pop_all()
        self._store = store
        self._save(store.count())
        num_applied += self._catch_up()
        self._check_count()
        self._state = "ready"
        return num_applied

    def _write(self, batch: Batch, *, gone: Sequence[int], store: _Store | None = None) -> None:
        store = store or self._open_store()
        require_space(self._folder, 8 * batch.vectors.nbytes)
        if batch.ids:
            store.upsert(batch)
        if gone:
            store.delete(gone)
        _require_sane_size(self._folder, store.count(), self._rows.dim)

    def _check_count(self) -> None:
        """Chroma holds as many vectors as SQLite, if nothing was added meanwhile."""
        expected, seq = self._rows.count()
        observed = self._open_store().count()
        if seq == self._seq and expected != observed:
            raise _Damaged(f"it holds {observed} vectors, {expected} expected")

    def _mark_writing(self) -> None:
        state = FolderState(self._rows.model, self._rows.dim, seq=self._seq, is_writing=True)
        _write_state(self._state_path, state)
        self._is_writing = True

    def _save(self, num_rows: int) -> None:
        """Chroma's files are on the disk and at rest."""
        state = FolderState(
            self._rows.model, self._rows.dim, self._seq, num_rows, files=_sync_files(self._folder)
        )
        _write_state(self._state_path, state)
        self._is_writing = False

    def _open_store(self) -> _Store:
        if self._store is None:
            raise _Damaged("it is not open")
        return self._store

    def _give_up(self, problem: _Damaged) -> LibraryError:
        self._drop()
        self._state = "unavailable"
        return _unavailable(str(problem))

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store:
            with contextlib.suppress(_Damaged):
                store.close()


class _Store:
    """Chroma's collection; every failure of Chroma is _Damaged. Chunk ids are its ids."""

    def __init__(self, folder: Path, *, is_new: bool) -> None:
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

    def query(self, vector: np.ndarray, collection_ids: Sequence[int], limit: int) -> list[int]:
        """Chunk ids of these collections, nearest first."""
        with _chroma_failures():
            found = self._collection.query(
                query_embeddings=vector[None, :],
                n_results=limit,
                where={"collection_id": {"$in": [int(number) for number in collection_ids]}},
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
        with _chroma_failures():
            found = self._collection.get(ids=[str(i) for i in chunk_ids], include=["embeddings"])
            return dict(zip(map(int, found["ids"]), found["embeddings"], strict=True))

    def close(self) -> None:
        with _chroma_failures():
            self._client.close()


@contextlib.contextmanager
def _chroma_failures() -> Iterator[None]:
    """Chroma raises its own errors, sqlite's, pickle's, and panics, which are no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as problem:
        raise _Damaged(f"{type(problem).__name__}: {problem}"[:300]) from problem


def _unavailable(reason: str) -> LibraryError:
    return LibraryError(
        f"the dense index cannot be built: {reason}",
        hint="search goes by words meanwhile; see logs/web.log",
    )


def _lock(folder: Path) -> int:
    """A handle that owns the folder for as long as it is open. Raises AlreadyRunning."""
    path = folder / "owner.lock"
    with explain_os_errors(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AlreadyRunning(
            f"another process owns the index in {folder}",
            hint="use the kit that is running, or stop it: kit status",
        ) from None
    return handle


def _read_state(path: Path) -> FolderState | None:
    """None if there is no whole state file."""
    try:
        return FolderState(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write_state(path: Path, state: FolderState) -> None:
    write_atomic(path, json.dumps(asdict(state)).encode(), mode=0o600)


def _list_files(folder: Path) -> dict[str, list[int]]:
    """Every file under `folder`: [size in bytes, mtime in ns]."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = [status.st_size, status.st_mtime_ns]
    return found


def _sync_files(folder: Path) -> dict[str, list[int]]:
    """As `_list_files`, after the files reached the disk: Chroma syncs only its SQLite."""
    for path in folder.rglob("*"):
        if path.is_file() or path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    return _list_files(folder)


def _max_bytes(num_rows: int, dim: int) -> int:
    """More than a whole folder of so many rows takes: vectors in HNSW (with room to grow) and in
    Chroma's queue, links, ids and metadata. Measured: 2.5 times the vectors and 0.4 kB per row."""
    return (128 << 20) + num_rows * (24 * dim + 8192)


def _require_sane_size(folder: Path, num_rows: int, dim: int) -> None:
    """Threat: link_lists.bin of a damaged index grows to hundreds of GB, sparse or not."""
    with explain_os_errors(folder):
        statuses = [path.stat() for path in folder.rglob("*") if path.is_file()]
    size_bytes = sum(max(status.st_size, status.st_blocks * 512) for status in statuses)
    if size_bytes > _max_bytes(num_rows, dim):
        raise _Damaged(f"its folder takes {size_bytes} bytes for {num_rows} vectors")


def _check_in_child(home: Path, state: FolderState) -> None:
    """Open the folder where a crash, a hang or a giant file hurts nobody. Raises _Damaged."""
    job = {"home": str(home), "parent_pid": os.getpid()} | asdict(state)
    timeout_s = CHECK_BASE_S + CHECK_PER_ROW_S * state.num_rows
    try:
        child = subprocess.run(
            [sys.executable, "-m", "kit.library.vectors"],
            input=json.dumps(job).encode(), capture_output=True, timeout=timeout_s, check=False,
            env=quiet_environment(os.environ),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _Damaged(f"its check took longer than {timeout_s:g} s") from None
    if child.returncode != 0:
        words = child.stderr.decode(errors="replace").strip().splitlines()
        raise _Damaged(f"its check ended with {child.returncode}: {words[-1] if words else ''}")


def main() -> None:
    """Check the folder that a job on stdin describes; exit status 0 if it is whole."""
    job = json.loads(sys.stdin.buffer.read())
    die_with_parent(job.pop("parent_pid"))
    home = Path(job.pop("home"))
    state = FolderState(**job)
    for what, limit in (
        (resource.RLIMIT_FSIZE, _max_bytes(state.num_rows, state.dim)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    rows = VectorRows(Database(home / "kit.db"), model=state.model, dim=state.dim)
    store = _Store(home / "index" / "chroma", is_new=False)
    try:
        check_store(store, rows, state.seq)
    except _Damaged as problem:
        sys.exit(str(problem))
    store.close()


def check_store(store: _Store, rows: VectorRows, seq: int) -> None:
    """Chroma holds the chunks of SQLite as of `seq`, with their vectors, and finds them.

    Raises: _Damaged.
    """
    expected, observed = rows.ids(), store.ids()
    touched = {
        chunk_id for _, chunk_id in rows.changes(seq, -1)
    }  # since; follow() will see to them
    if wrong := (expected ^ observed) - touched:
        raise _Damaged(f"{len(wrong)} vectors are missing or too many")
    common = sorted(expected & observed)
    sample = common[:: max(1, len(common) // NUM_PROBES)]
    stored, batch = store.vectors(sample), rows.fetch(sample)
    num_found = 0
    for chunk_id, number, vector in zip(
        batch.ids, batch.collection_ids, batch.vectors, strict=True
    ):
        if not np.allclose(stored[chunk_id], vector, atol=1e-4):
            raise _Damaged(f"the vector of chunk {chunk_id} is not the one in SQLite")
        near = store.vectors(store.query(vector, [number], 1))
        num_found += any(float(other @ vector) > 0.999 for other in near.values())
    if num_found < MIN_PROBES_FOUND * len(batch.ids):
        raise _Damaged(f"only {num_found} of {len(batch.ids)} vectors find themselves")


if __name__ == "__main__":
    main()
