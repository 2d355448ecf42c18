"""Another embedding model takes over when every passage has its vector, and not before."""

from __future__ import annotations

import io
from importlib import resources
from pathlib import Path

import apsw
import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import ParsedDocument
from kit.library.index import model_change
from kit.library.index.model_change import ModelChange, note_indexed, serving_model
from kit.library.reading.ingest import Ingestor, Job
from kit.library.store import Library
from kit.testing import FakeEmbedder

OLD = FakeEmbedder.model


class NewEmbedder(FakeEmbedder):
    model, dim = "fake-words-32", 32


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    return Library(home, database)


def add(library: Library, name: str, num_words: int = 200) -> str:
    """A document of several passages that the old model has read."""
    text = ". ".join(f"{name} says {n}" for n in range(num_words))
    record = library.add(io.BytesIO(text.encode()), name, added_by="local")

    def parse(job: Job) -> ParsedDocument:
        return ParsedDocument(library.original_path(job.sha256).read_text(), (), f"Of {job.name}")

    settings = LibrarySettings(chunk_tokens=30)
    ingestor = Ingestor(library, FakeEmbedder(), settings, parse=parse)
    while ingestor.run_next():
        pass
    ingestor.close()
    return record.id


def missing(database: Database, model: str) -> int:
    sql = "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT chunk_id FROM vectors WHERE model=?)"
    row = database.row(sql, (model,))
    assert row is not None
    return int(row[0])


def models(database: Database) -> list[str]:
    return [row[0] for row in database.rows("SELECT DISTINCT model FROM vectors ORDER BY model")]


def test_a_change_that_is_killed_at_every_step_loses_nothing(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new object for each step, as after a kill; documents come and go meanwhile. The old model
    is searched until no passage lacks the new one's vector, whose vectors are then the same as if
    they had been made at once; the old ones go only when an index of the new ones serves."""
    monkeypatch.setattr(model_change, "BATCH", 3)
    monkeypatch.setattr(model_change, "REMOVED_AT_ONCE", 4)
    gone, _ = add(library, "a"), add(library, "b")
    num_steps = 0
    while serving_model(database) == OLD:
        assert missing(database, OLD) == 0
        assert ModelChange(database, NewEmbedder()).step()
        num_steps += 1
        if num_steps == 2:
            library.remove(gone, "local")
        if num_steps == 4:
            add(library, "c")
    assert num_steps > 6
    assert serving_model(database) == NewEmbedder.model
    assert missing(database, NewEmbedder.model) == missing(database, OLD) == 0
    change = ModelChange(database, NewEmbedder())
    while change.step():
        pass
    assert OLD in models(database)  # its index still serves
    note_indexed(database, NewEmbedder.model)
    while change.step():
        pass
    assert models(database) == [NewEmbedder.model]
    remade = {row[0]: row[1] for row in database.rows("SELECT chunk_id, vector FROM vectors")}
    assert len(remade) == len(database.rows("SELECT id FROM chunks"))
    for chunk_id, text, name in database.rows(
        "SELECT c.id, c.text, d.name FROM chunks c JOIN documents d ON d.id = c.document_id"
    ):
        (row,) = NewEmbedder().embed_passages([f"Of {name}\n{text}"])
        assert remade[chunk_id] == row.tobytes()


def test_progress_is_told(library: Library, database: Database) -> None:
    """How many passages have the new vector, as long as the old ones are searched."""
    add(library, "a")
    change = ModelChange(database, NewEmbedder())
    before = change.progress()
    assert before is not None
    assert (before.old, before.new, before.num_done) == (OLD, NewEmbedder.model, 0)
    change.step()
    after = change.progress()
    assert after is not None
    assert after.num_done == min(model_change.BATCH, after.num_total)
    while change.step():
        pass
    assert change.progress() is None


def test_a_change_taken_back_leaves_nothing(library: Library, database: Database) -> None:
    """Half-way back to the old model: its vectors were there all the time, the new ones go."""
    add(library, "a")
    note_indexed(database, OLD)
    old = ModelChange(database, FakeEmbedder())
    while old.step():
        pass
    ModelChange(database, NewEmbedder()).step()
    assert len(models(database)) == 2
    old = ModelChange(database, FakeEmbedder())
    while old.step():
        pass
    assert models(database) == [OLD]


def test_what_another_model_alone_has_read_is_made_up_for(
    library: Library, database: Database
) -> None:
    """Passages without a vector of the model that is searched get one, and its index is told."""
    add(library, "a")
    while ModelChange(database, NewEmbedder()).step():
        if serving_model(database) == NewEmbedder.model:
            break
    add(library, "b")  # by a command that had the old model only
    num_missing = missing(database, NewEmbedder.model)
    (before,) = database.row("SELECT max(seq) FROM index_log") or (0,)
    change = ModelChange(database, NewEmbedder())
    while change.step():
        pass
    assert missing(database, NewEmbedder.model) == 0
    (after,) = database.row("SELECT max(seq) FROM index_log") or (0,)
    assert after - before == num_missing > 0


def test_at_rest_it_asks_next_to_nothing(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once nothing is left to do no step looks at passages again before one comes."""
    add(library, "a")
    note_indexed(database, OLD)
    change = ModelChange(database, FakeEmbedder())
    while change.step():
        pass
    monkeypatch.setattr(ModelChange, "_embed_some", lambda _: pytest.fail("looked"))
    assert change.step() is False


def test_vectors_of_an_older_kit_are_kept(tmp_path: Path) -> None:
    """A database from before two models could have vectors keeps those it has, and takes a second
    model's for the same passage."""
    path = tmp_path / "kit.db"
    old = apsw.Connection(str(path))
    for name in ("001_first.sql", "002_one_document.sql"):
        old.execute(resources.files("kit.schema").joinpath(name).read_text("utf-8"))
    old.execute("PRAGMA user_version = 2")
    old.execute("INSERT INTO collections (id, name) VALUES (1, 'x')")
    old.execute(
        "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
        " created_at, updated_at) VALUES ('d', 'd', 1, 'local', 's', 1, 'indexed', '', '')"
    )
    old.execute(
        "INSERT INTO chunks (id, document_id, ordinal, start, end, place, num_tokens, text)"
        " VALUES (7, 'd', 0, 0, 1, '', 1, 'x')"
    )
    old.execute("INSERT INTO vectors VALUES (7, 'm', x'0102')")
    old.close()
    database = Database(path)
    with database.write() as connection:
        connection.execute("INSERT INTO vectors VALUES (7, 'n', x'03')")
    assert database.rows("SELECT * FROM vectors ORDER BY model") == [
        (7, "m", b"\x01\x02"),
        (7, "n", b"\x03"),
    ]
    with database.write() as connection:
        connection.execute("DELETE FROM documents")
    assert database.rows("SELECT * FROM vectors") == []
    database.close()
