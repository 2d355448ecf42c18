"""The dense index follows SQLite, shows nobody what is closed to them, and survives anything."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kit.database import Database
from kit.errors import AlreadyRunning, DiskFull, EmbedError, LibraryError
from kit.library.index import chroma_store, index_folder, vectors
from kit.library.index.index_folder import list_files
from kit.library.index.vector_rows import Batch
from kit.library.index.vectors import VectorIndex
from tests.library.vector_home import (
    DIM,
    MODEL,
    add_document,
    assert_same,
    assert_whole,
    follow_in_child,
    nearest,
    remove_document,
    unit_rows,
    vectors_in,
)

pytestmark = pytest.mark.e2e  # the real Chroma

NUM_ROWS = 2_100  # Chroma writes its HNSW files from 1,000 rows on


def open_index(
    home: Path, database: Database, *, model: str = MODEL, dim: int = DIM
) -> VectorIndex:
    return VectorIndex(home, database, model=model, dim=dim)


@pytest.fixture
def index(home: Path, database: Database) -> Iterator[VectorIndex]:
    opened = open_index(home, database)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed home whose index is whole and on the disk; to be copied, never changed."""
    home = tmp_path_factory.mktemp("built") / "home"
    database = Database(home / "kit.db")
    add_document(database, "a", unit_rows(NUM_ROWS - 100))
    add_document(database, "b", unit_rows(100, seed=1), collection=2)
    index = open_index(home, database)
    index.follow()
    index.close()
    database.close()
    return home


@pytest.fixture
def built(built_home: Path, home: Path) -> Iterator[Database]:
    """The database of a copy of `built_home` at `home`; the copy keeps sizes and times."""
    shutil.copytree(built_home, home, dirs_exist_ok=True)
    opened = Database(home / "kit.db")
    yield opened
    opened.close()


def was_rebuilt(caplog: pytest.LogCaptureFixture) -> bool:
    return any("building the dense index" in record.getMessage() for record in caplog.records)


# Following ------------------------------------------------------------------------------------


def test_follows_what_is_added_and_removed(index: VectorIndex, database: Database) -> None:
    """What was added is found after follow(), what was removed is gone, and Chroma says so too."""
    add_document(database, "a", unit_rows(40))
    assert index.follow() == 40
    assert_whole(index, database, (1,))
    add_document(database, "b", unit_rows(30, seed=1))
    remove_document(database, "a")
    assert index.follow() == 70
    assert_whole(index, database, (1,))


def test_an_empty_library_has_an_empty_index(index: VectorIndex, home: Path) -> None:
    """With no documents follow() and search() have nothing to do, and say so without an error."""
    assert index.follow() == 0
    assert index.state == "ready"
    assert index.search(unit_rows(1)[0], [1], 10) == []


def test_following_again_changes_nothing(index: VectorIndex, database: Database) -> None:
    """At the end of the log follow() applies nothing and does not touch the folder."""
    add_document(database, "a", unit_rows(20))
    index.follow()
    before = list_files(index._folder)
    assert index.follow() == 0
    assert list_files(index._folder) == before


def test_applying_the_log_twice_is_applying_it_once(index: VectorIndex, database: Database) -> None:
    """The same entries again, adds and deletes, leave the same index."""
    index.follow()
    add_document(database, "a", unit_rows(30))
    add_document(database, "b", unit_rows(30, seed=1))
    remove_document(database, "a")
    index.follow()
    index._seq = 0
    assert index.follow() == 90
    assert_whole(index, database, (1,))


def test_a_document_replaced_under_the_same_chunk_has_its_new_vector(
    index: VectorIndex, database: Database
) -> None:
    """A vector made again for a chunk replaces the old one in Chroma."""
    (chunk_id,) = add_document(database, "a", unit_rows(1))
    index.follow()
    new = unit_rows(1, seed=5)[0]
    with database.write() as connection:
        connection.execute("UPDATE vectors SET vector = ?", (new.tobytes(),))
        connection.execute("INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_id,))
    index.follow()
    assert index._store is not None
    assert np.allclose(index._store.vectors([chunk_id])[chunk_id], new, atol=1e-6)


def test_vectors_of_another_model_never_enter(index: VectorIndex, database: Database) -> None:
    """Only vectors of this index's model and size are in Chroma or in a scan."""
    mine = add_document(database, "a", unit_rows(5))
    add_document(database, "b", unit_rows(5, seed=1), model="another")
    add_document(database, "c", unit_rows(5, seed=2, dim=DIM * 2))
    query = unit_rows(1, seed=3)[0]
    assert {chunk_id for chunk_id, _ in index.search(query, [1], 50)} == set(mine)
    index.follow()
    assert index._store is not None
    assert index._store.ids() == set(mine)
    assert {chunk_id for chunk_id, _ in index.search(query, [1], 50)} == set(mine)


def test_a_second_opening_trusts_the_files_it_left(
    home: Path, built: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """After a clean close nothing is rebuilt or applied."""
    index = open_index(home, built)
    assert index.follow() == 0
    assert_whole(index, built, (1, 2))
    index.close()
    assert not was_rebuilt(caplog)


def test_what_was_added_while_nobody_followed_is_found(home: Path, built: Database) -> None:
    """An index that is behind catches up when it is opened."""
    add_document(built, "c", unit_rows(25, seed=7), collection=3)
    remove_document(built, "b")
    index = open_index(home, built)
    assert index.follow() == 125
    assert_whole(index, built, (1, 2, 3))
    index.close()


# Who may see what -------------------------------------------------------------------------------


def test_a_search_stays_inside_its_collections(index: VectorIndex, database: Database) -> None:
    """The nearest vectors of a closed collection do not appear, nor take a place in the result."""
    query = unit_rows(1, seed=3)[0]
    closed = np.stack([query] * 50)
    add_document(database, "secret", closed, collection=2)
    add_document(database, "open", unit_rows(30), collection=1)
    add_document(database, "too", unit_rows(30, seed=1), collection=3)
    for _ in ("scanning", "with Chroma"):
        assert_same(index.search(query, [1, 3], 20), nearest(database, query, (1, 3), 20))
        assert index.search(query, [9], 20) == index.search(query, [], 20) == []
        index.follow()


def test_chroma_itself_filters(index: VectorIndex, database: Database) -> None:
    """Chroma returns no candidate of a closed collection; SQLite is the second lock."""
    query = unit_rows(1, seed=3)[0]
    add_document(database, "secret", np.stack([query] * 50), collection=2)
    mine = add_document(database, "open", unit_rows(30), collection=1)
    index.follow()
    assert index._store is not None
    asked = []
    real = index._store.query
    index._store.query = lambda *args: asked.append(real(*args)) or asked[-1]  # type: ignore
    index.search(query, [1], 20)
    assert asked
    assert set(asked[0]) <= set(mine)


def test_a_document_is_gone_at_once(index: VectorIndex, database: Database) -> None:
    """A removed document is not found although Chroma has not followed yet."""
    rows = unit_rows(30)
    gone = add_document(database, "a", rows)
    kept = add_document(database, "b", unit_rows(30, seed=1))
    index.follow()
    remove_document(database, "a")
    found = [chunk_id for chunk_id, _ in index.search(rows[0], [1], 20)]
    assert len(found) == 20
    assert set(found) <= set(kept)
    assert not set(found) & set(gone)


def test_a_document_that_moved_is_closed_at_once(index: VectorIndex, database: Database) -> None:
    """Chroma's stale collection id opens nothing: SQLite decides in the same search."""
    rows = unit_rows(30)
    moved = add_document(database, "a", rows)
    add_document(database, "b", unit_rows(30, seed=1))
    add_document(database, "c", unit_rows(1, seed=2), collection=2)
    index.follow()
    with database.write() as connection:
        connection.execute("UPDATE documents SET collection_id = 2 WHERE id = 'a'")
    assert not {chunk_id for chunk_id, _ in index.search(rows[0], [1], 60)} & set(moved)


def test_a_small_collection_is_searched_whole(index: VectorIndex, database: Database) -> None:
    """A filter that leaves few vectors among many finds all of them, in order."""
    add_document(database, "many", unit_rows(1500), collection=1)
    add_document(database, "few", unit_rows(7, seed=1), collection=2)
    index.follow()
    query = unit_rows(1, seed=3)[0]
    assert_same(index.search(query, [2], 20), nearest(database, query, (2,), 20))


def test_a_vector_of_another_size_is_refused(index: VectorIndex) -> None:
    """A question embedded by another model is an EmbedError, not a wrong answer."""
    with pytest.raises(EmbedError, match="dimensions"):
        index.search(unit_rows(1, dim=DIM + 1)[0], [1], 5)


# Before and without Chroma ----------------------------------------------------------------------


def test_until_it_is_open_a_small_library_is_scanned(
    index: VectorIndex, database: Database
) -> None:
    """Before follow() the state is 'rebuilding', and search is already exact."""
    add_document(database, "a", unit_rows(300))
    query = unit_rows(1, seed=3)[0]
    assert (index.state, index.is_ready) == ("rebuilding", True)
    assert_same(index.search(query, [1], 10), nearest(database, query, (1,), 10))


def test_until_it_is_open_a_large_library_finds_nothing(
    index: VectorIndex, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past SCAN_ROWS the index says that it is not ready rather than search a part."""
    monkeypatch.setattr(vectors, "SCAN_ROWS", 10)
    add_document(database, "a", unit_rows(11))
    assert not index.is_ready
    assert index.search(unit_rows(1)[0], [1], 5) == []
    index.follow()
    assert index.is_ready
    assert len(index.search(unit_rows(1)[0], [1], 5)) == 5


def test_a_failing_search_is_answered_by_a_scan_and_repaired(
    index: VectorIndex, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Chroma failing in a search costs nothing but time; the next follow() rebuilds it."""
    add_document(database, "a", unit_rows(50))
    index.follow()
    index._no_rebuild_before = 0.0
    assert index._store is not None
    index._store._collection = None
    query = unit_rows(1, seed=3)[0]
    assert_same(index.search(query, [1], 10), nearest(database, query, (1,), 10))
    assert index.follow() == 50
    assert_whole(index, database, (1,))


def test_chroma_that_cannot_be_built_is_tried_once_a_minute(
    index: VectorIndex, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is 'unavailable', search scans, and follow() does not rebuild in a loop."""
    add_document(database, "a", unit_rows(10))
    tried = []

    def fail(self: object, batch: object) -> None:
        tried.append(1)
        raise index_folder.DamagedIndex("planted")

    with monkeypatch.context() as patch:
        patch.setattr(chroma_store.Store, "upsert", fail)
        for _ in range(3):
            with pytest.raises(LibraryError, match="dense index"):
                index.follow()
    assert (index.state, len(tried)) == ("unavailable", 1)
    assert len(index.search(unit_rows(1)[0], [1], 5)) == 5
    index._no_rebuild_before = 0.0
    assert index.follow() == 10
    assert_whole(index, database, (1,))


def test_searches_go_on_while_another_thread_rebuilds(
    index: VectorIndex, database: Database
) -> None:
    """Every search during adds, removals and rebuilds is exact for the collection it asks."""
    add_document(database, "fixed", unit_rows(40), collection=2)
    index.follow()
    query = unit_rows(1, seed=3)[0]
    right = nearest(database, query, (2,), 10)
    stop, wrong = threading.Event(), []

    def ask() -> None:
        mine = Database(database.path)
        while not stop.is_set():
            found = index.search(query, [2], 10)
            if [chunk_id for chunk_id, _ in found] != [chunk_id for chunk_id, _ in right]:
                wrong.append(found)
        mine.close()
        database.close()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    try:
        for turn in range(4):
            add_document(database, f"d{turn}", unit_rows(20, seed=10 + turn), collection=1)
            index._no_rebuild_before = 0.0
            index._is_suspect = turn % 2 == 1
            index.follow()
    finally:
        stop.set()
        asker.join()
    assert not wrong
    assert_whole(index, database, (1, 2))


def test_a_query_ends_before_its_store_is_closed(index: VectorIndex, database: Database) -> None:
    """Closing waits for a search that is under way: it would find its files being deleted."""
    add_document(database, "a", unit_rows(10))
    index.follow()
    store, begun, go_on, order = index._store, threading.Event(), threading.Event(), []
    assert store is not None
    real = store._collection.query

    def slow(**arguments: object) -> object:
        begun.set()
        go_on.wait(10)
        order.append("queried")
        return real(**arguments)

    store._collection.query = slow
    asking = threading.Thread(target=store.query, args=(unit_rows(1)[0], None, 3))
    closing = threading.Thread(target=lambda: (store.close(), order.append("closed")))
    asking.start()
    begun.wait(10)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    go_on.set()
    asking.join()
    closing.join()
    assert order == ["queried", "closed"]
    index._store = None


# One owner ------------------------------------------------------------------------------------


def test_a_second_owner_is_refused(index: VectorIndex, home: Path, database: Database) -> None:
    """While one index is open another, here or in another process, is AlreadyRunning."""
    with pytest.raises(AlreadyRunning, match="owns the index"):
        open_index(home, database)
    index.close()
    index.close()
    open_index(home, database).close()


def test_a_closed_index_does_not_come_back(index: VectorIndex) -> None:
    """follow() after close() is an error: the folder belongs to somebody else now."""
    index.close()
    with pytest.raises(LibraryError, match="closed"):
        index.follow()


# Kills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3, 5])
def test_a_kill_at_a_step_of_follow_loses_nothing(home: Path, built: Database, step: int) -> None:
    """Killed with SIGKILL between a write of Chroma and one of the state, it comes back whole."""
    add_document(built, "c", unit_rows(90, seed=7), collection=3)
    remove_document(built, "b")
    assert follow_in_child(home, kill_at_step=step) == -signal.SIGKILL
    index = open_index(home, built)
    index.follow()
    assert_whole(index, built, (1, 2, 3))
    index.close()


def test_an_older_state_is_not_believed(home: Path, built: Database) -> None:
    """A state file from before the last write, as after a power cut, leads to a whole index."""
    state = home / "index" / MODEL / "state.json"
    older = state.read_bytes()
    add_document(built, "c", unit_rows(60, seed=7), collection=3)
    remove_document(built, "b")
    index = open_index(home, built)
    assert index.follow() == 160
    index.close()
    state.write_bytes(older)
    index = open_index(home, built)
    assert index.follow() == NUM_ROWS - 40
    assert_whole(index, built, (1, 2, 3))
    index.close()


def test_an_opening_that_killed_the_process_is_not_repeated(
    home: Path, built: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that crash Chroma although they are as we left them crash one process, not each."""

    def crash(*_: object, **__: object) -> None:
        raise SystemError("stands for the end of the process")

    with monkeypatch.context() as patch:
        patch.setattr(chroma_store.Store, "__init__", crash)
        index = open_index(home, built)
        with pytest.raises(SystemError):
            index.follow()
        index.close()
    index = open_index(home, built)
    assert index.follow() == NUM_ROWS
    assert "killed while writing or opening" in caplog.text
    assert_whole(index, built, (1, 2))
    index.close()


def test_no_room_on_the_disk_stops_and_goes_on(
    home: Path, built: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """DiskFull in the middle of following leaves the index as far as it came; then it goes on."""
    add_document(built, "c", unit_rows(120, seed=7), collection=3)
    index = open_index(home, built)
    with monkeypatch.context() as patch:
        patch.setattr(vectors, "BATCH_ROWS", 50)
        patch.setattr(vectors, "require_space", fails_at_call(3, DiskFull("no space left")))
        with pytest.raises(DiskFull):
            index.follow()
    assert index.follow() == 20
    assert_whole(index, built, (1, 2, 3))
    index.close()
    assert not was_rebuilt(caplog)


def fails_at_call(number: int, problem: Exception) -> Callable[..., None]:
    calls = []

    def call(*_: object) -> None:
        calls.append(1)
        if len(calls) == number:
            raise problem

    return call


def test_a_kill_while_nothing_is_written_costs_no_rebuild(
    home: Path, built: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A killed owner that was only waiting leaves files that are trusted as they are."""
    add_document(built, "c", unit_rows(90, seed=7), collection=3)
    assert follow_in_child(home, kill_when_idle=True) == -signal.SIGKILL
    index = open_index(home, built)
    assert index.follow() == 0
    assert_whole(index, built, (1, 2, 3))
    index.close()
    assert not was_rebuilt(caplog)


# Damage ---------------------------------------------------------------------------------------


def hnsw_file(home: Path, name: str) -> Path:
    (path,) = (home / "index" / MODEL / "chroma").glob(f"*/{name}")
    return path


def sqlite_garbage(home: Path) -> None:
    path = home / "index" / MODEL / "chroma" / "chroma.sqlite3"
    path.write_bytes(os.urandom(path.stat().st_size))


def sqlite_truncated(home: Path) -> None:
    path = home / "index" / MODEL / "chroma" / "chroma.sqlite3"
    os.truncate(path, path.stat().st_size // 2)


def sqlite_schema_rotten(home: Path) -> None:
    """A table's name is no name any more: Chroma fails while it starts, and keeps what it began."""
    path = home / "index" / MODEL / "chroma" / "chroma.sqlite3"
    data = path.read_bytes()
    assert b"CREATE TABLE migrations" in data
    path.write_bytes(data.replace(b"CREATE TABLE migrations", b"CREATE TABLE {igrations"))
    believe_files(home)


def links_truncated(home: Path) -> None:
    os.truncate(hnsw_file(home, "link_lists.bin"), 10)


def links_huge(home: Path) -> None:
    os.truncate(hnsw_file(home, "link_lists.bin"), 470 << 30)  # sparse, as it was seen


def folder_deleted(home: Path) -> None:
    shutil.rmtree(home / "index" / MODEL / "chroma")


def state_garbage(home: Path) -> None:
    (home / "index" / MODEL / "state.json").write_bytes(b'{"model": "')


def links_garbage(home: Path) -> None:
    path = hnsw_file(home, "link_lists.bin")
    path.write_bytes(os.urandom(path.stat().st_size))


def rows_lost(home: Path) -> None:
    """Half of Chroma's rows are gone, and the state says that this is how it was left."""
    store = chroma_store.Store(home / "index" / MODEL / "chroma", is_new=False)
    store.delete(sorted(store.ids())[:1000])
    store.close()
    believe_files(home)


def vectors_swapped(home: Path) -> None:
    """The same ids, other vectors, and a state that says so."""
    store = chroma_store.Store(home / "index" / MODEL / "chroma", is_new=False)
    ids = sorted(store.ids())
    store.upsert(Batch(ids, [1] * len(ids), unit_rows(len(ids), seed=50)))
    store.close()
    believe_files(home)


def believe_files(home: Path) -> None:
    path = home / "index" / MODEL / "state.json"
    state = index_folder.read_state(path)
    assert state is not None
    files = list_files(home / "index" / MODEL / "chroma")
    index_folder.write_state(path, dataclasses.replace(state, files=files))


@pytest.mark.parametrize(
    "damage",
    [sqlite_garbage, sqlite_truncated, sqlite_schema_rotten, links_truncated, links_garbage,
     links_huge, folder_deleted, state_garbage, rows_lost, vectors_swapped],
)  # fmt: skip
def test_a_damaged_folder_is_rebuilt_from_sqlite(
    home: Path, built: Database, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happened to Chroma's folder, follow() makes a whole index, without a model."""
    damage(home)
    index = open_index(home, built)
    assert index.follow() == NUM_ROWS
    assert was_rebuilt(caplog)
    assert_whole(index, built, (1, 2))
    index.close()
    assert list_files(home / "index" / MODEL / "chroma").keys()
    assert sum(size for size, _ in list_files(home / "index").values()) < 200 << 20


def test_files_that_end_their_owners_are_not_trusted_for_ever(home: Path, built: Database) -> None:
    """Owners that end with the index open, whatever ends them, are three at most: then it is built
    anew. One that is closed counts from the beginning."""

    def follow_and_vanish() -> int:
        index = open_index(home, built)
        num_applied = index.follow()
        index._drop()
        os.close(index._lock)
        return num_applied

    index = open_index(home, built)
    index.follow()
    index.close()
    assert [follow_and_vanish() for _ in range(4)] == [0, 0, 0, NUM_ROWS]


def test_no_room_while_it_is_built_anew(
    home: Path, built: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DiskFull in the middle of a rebuild: search scans meanwhile, and the next try is whole."""
    folder_deleted(home)
    index = open_index(home, built)
    with monkeypatch.context() as patch:
        patch.setattr(vectors, "BATCH_ROWS", 500)
        patch.setattr(vectors, "require_space", fails_at_call(3, DiskFull("no space left")))
        with pytest.raises(DiskFull):
            index.follow()
    query = unit_rows(1, seed=3)[0]
    assert index.is_ready
    assert_same(index.search(query, [1, 2], 10), nearest(built, query, (1, 2), 10))
    with pytest.raises(LibraryError, match="cannot be built"):
        index.follow()  # not at once again: a rebuild is tried once a minute
    index._no_rebuild_before = 0.0
    assert index.follow() == NUM_ROWS
    assert_whole(index, built, (1, 2))
    index.close()


@pytest.mark.parametrize("step", [1, 4, 9])
def test_a_kill_while_it_is_built_anew(home: Path, built: Database, step: int) -> None:
    """Killed in the middle of a rebuild, the next opening begins it again."""
    folder_deleted(home)
    assert follow_in_child(home, kill_at_step=step) == -signal.SIGKILL
    index = open_index(home, built)
    assert index.follow() == NUM_ROWS
    assert_whole(index, built, (1, 2))
    index.close()


def test_another_model_gets_its_own_index(home: Path, built: Database) -> None:
    """Another model has a folder of its own, with that model's vectors alone, and the first one's
    is as it was."""
    mine = add_document(built, "c", unit_rows(12, seed=8, dim=4), model="other-4")
    index = open_index(home, built, model="other-4", dim=4)
    assert index.follow() == 12
    assert index._store is not None
    assert index._store.ids() == set(mine)
    index.close()
    index = open_index(home, built)
    assert index.follow() == len(mine)  # entries of the log that are not for this one
    assert index._store is not None
    assert index._store.ids() == set(vectors_in(built, (1, 2))) - set(mine)
    index.close()


def test_what_was_purged_is_in_no_file_of_the_index(home: Path, built: Database) -> None:
    """Chroma only marks a removed vector; after a purge its folder is one that never held it."""
    marked = unit_rows(1, seed=77)[0]
    add_document(built, "c", np.stack([marked] * 3), collection=3)
    index = open_index(home, built)
    index.follow()
    remove_document(built, "c")
    index.follow()
    assert holds(home, marked)
    index_folder.forget_index(built)
    assert not index_folder.forgotten_by_index(home, built)
    assert index.follow() == NUM_ROWS
    assert index_folder.forgotten_by_index(home, built)
    assert_whole(index, built, (1, 2))
    assert not holds(home, marked)
    index.close()
    index = open_index(home, built)
    assert index.follow() == 0  # once is enough
    index.close()


def holds(home: Path, vector: np.ndarray) -> bool:
    """Whether the vector's numbers are in a file of the index."""
    files = (path for path in (home / "index").rglob("*") if path.is_file())
    return any(vector.tobytes() in path.read_bytes() for path in files)


def test_a_database_from_before_the_index_is_noticed(home: Path, built: Database) -> None:
    """An older copy of kit.db beside a newer index leads to an index of the older one."""
    with built.write() as connection:
        connection.execute("DELETE FROM index_log WHERE seq > 2000")
        connection.execute("UPDATE sqlite_sequence SET seq = 2000 WHERE name = 'index_log'")
        connection.execute("DELETE FROM documents WHERE id = 'b'")
    index = open_index(home, built)
    assert index.follow() == NUM_ROWS - 100
    assert_whole(index, built, (1, 2))
    index.close()


def test_a_cleared_log_is_no_damage(
    home: Path, built: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries that were applied may be deleted from the log: the index goes on from its place."""
    with built.write() as connection:
        connection.execute("DELETE FROM index_log")
    add_document(built, "c", unit_rows(10, seed=7), collection=3)
    index = open_index(home, built)
    assert index.follow() == 10
    assert_whole(index, built, (1, 2, 3))
    index.close()
    assert not was_rebuilt(caplog)


def test_a_gap_in_the_log_is_not_stepped_over(index: VectorIndex, database: Database) -> None:
    """Entries that are missing from the log lead to a rebuild, not to a silent hole."""
    add_document(database, "a", unit_rows(20))
    index.follow()
    index._no_rebuild_before = 0.0
    add_document(database, "b", unit_rows(10, seed=7))
    with database.write() as connection:
        connection.execute("DELETE FROM index_log WHERE seq = 21")
    assert index.follow() == 30
    assert_whole(index, database, (1,))


def test_importing_the_module_does_not_import_chroma() -> None:
    """The command line may import the index without paying for Chroma."""
    code = "import sys, kit.library.index.vectors; sys.exit('chromadb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("scan_rows", "max_taken", "filters"),
    [
        pytest.param(40, 4_000, [None], id="the nearest of all hold enough"),
        pytest.param(40, 10, [], id="few, read exactly"),
        pytest.param(20, 10, [[2]], id="neither: Chroma filters"),
    ],
)
def test_a_part_of_a_large_library(
    index: VectorIndex,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    scan_rows: int,
    max_taken: int,
    filters: list,
) -> None:
    """Chroma's filter looks at every vector, so it is only asked for where nothing else will do."""
    monkeypatch.setattr("kit.library.index.vectors.SCAN_ROWS", scan_rows)
    monkeypatch.setattr("kit.library.index.vectors.MAX_TAKEN", max_taken)
    query = unit_rows(1, seed=3)[0]
    add_document(database, "many", unit_rows(60), collection=1)
    add_document(database, "few", unit_rows(30, seed=1), collection=2)
    with database.write() as connection:
        connection.execute("UPDATE documents SET num_chunks = iif(id = 'many', 60, 30)")
    index.follow()
    assert filters_asked(index, lambda: index.search(query, [2], 9)) == filters
    assert_same(index.search(query, [2], 9), nearest(database, query, (2,), 9))


def test_closed_documents_take_no_place_in_a_large_library(
    index: VectorIndex, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the nearest of all are closed to the reader, the nearest that are not are found."""
    monkeypatch.setattr("kit.library.index.vectors.SCAN_ROWS", 40)
    query = unit_rows(1, seed=3)[0]
    closer = query + 0.5 * unit_rows(200, seed=2)
    closer /= np.linalg.norm(closer, axis=1, keepdims=True)
    add_document(database, "secret", closer, collection=1)
    add_document(database, "mine", unit_rows(50, seed=1), collection=2)
    with database.write() as connection:
        connection.execute("UPDATE documents SET num_chunks = iif(id = 'mine', 100, 200)")
    index.follow()
    assert filters_asked(index, lambda: index.search(query, [2], 9)) == [None, [2]]
    assert_same(index.search(query, [2], 9), nearest(database, query, (2,), 9))


def filters_asked(index: VectorIndex, search: Callable[[], object]) -> list:
    """By which collections Chroma was asked to filter meanwhile; None = by none."""
    asked: list = []
    assert index._store is not None
    real = index._store.query

    def query(vector: np.ndarray, inside: list[int] | None, limit: int) -> list[int]:
        asked.append(inside)
        return real(vector, inside, limit)

    index._store.query = query  # type: ignore[method-assign,assignment]
    search()
    index._store.query = real  # type: ignore[method-assign]
    return asked
