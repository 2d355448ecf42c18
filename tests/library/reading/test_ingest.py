"""Reading documents: all of a document or nothing of it, whatever stops it, and only once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import Page, ParsedDocument
from kit.library.reading import ingest
from kit.library.reading.ingest import Ingestor
from kit.library.reading.outcome import MAX_ATTEMPTS
from kit.library.store import Library
from kit.testing import FakeEmbedder

TEXT = "# Rules\n\n" + "The allowance is R585 for a full day of travel. " * 60


class Cut(Exception):
    """The planted fault."""


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    return Library(home, database)


@pytest.fixture(autouse=True)
def parse_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: the child has tests of its own."""

    def parse(path: Path, name: str, **_: object) -> ParsedDocument:
        return ParsedDocument(text=path.read_text(), sections=(), title=name)

    monkeypatch.setattr(ingest, "parse_in_child", parse)


def add(library: Library, text: str, name: str) -> str:
    return library.add(io.BytesIO(text.encode()), name, added_by="local").id


def run_all(library: Library) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass


def assert_whole(library: Library, document_id: str) -> None:
    """Indexed, and every derived row is there exactly once."""
    record = library.get(document_id, "local")
    assert record.state == "indexed"
    rows = library.database.rows(
        "SELECT k.id, k.ordinal, k.start, k.end, k.text, length(v.vector), t.text FROM chunks k"
        " JOIN vectors v ON v.chunk_id = k.id JOIN texts t ON t.document_id = k.document_id"
        " WHERE k.document_id = ? ORDER BY k.ordinal",
        (document_id,),
    )
    assert [row[1] for row in rows] == list(range(record.num_chunks))
    assert record.num_chunks > 1
    for _, _, start, end, text, vector_bytes, whole in rows:
        assert whole[start:end] == text
        assert vector_bytes == FakeEmbedder.dim * 4
    ids = [row[0] for row in rows]
    live = dict.fromkeys(("add", "delete"), 0) | {
        f"{op} {chunk_id}": count
        for op, chunk_id, count in library.database.rows(
            "SELECT op, chunk_id, count(*) FROM index_log GROUP BY op, chunk_id"
        )
    }
    assert all(live.get(f"add {chunk_id}") == 1 for chunk_id in ids)
    terms = library.database.rows(
        "SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH 'allowance'"
    )
    assert sorted(row[0] for row in terms) == sorted(ids)


def test_a_cut_at_any_write_leaves_all_or_nothing(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is cut at the Nth statement, for every N; the next run completes, once."""
    import apsw

    for step in range(1, 500):
        document_id = add(library, TEXT + str(step), "rules.md")
        count = 0

        def trace(_cursor: object, _sql: str, _bindings: object, stop: int = step) -> bool:
            nonlocal count
            count += 1
            if count == stop:
                raise Cut
            return True

        connection: apsw.Connection = database._connection()
        connection.exec_trace = trace
        was_cut = True
        try:
            run_all(library)
            was_cut = False
        except (Cut, apsw.ExecTraceAbort):
            pass
        finally:
            connection.exec_trace = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        state = library.get(document_id, "local").state
        [(num_chunks,)] = database.rows(
            "SELECT count(*) FROM chunks WHERE document_id = ?", (document_id,)
        )
        assert (num_chunks > 0) == (state == "indexed")
        run_all(library)
        assert_whole(library, document_id)
        library.remove(document_id, "local")
        if not was_cut:
            assert step > 20
            return
    raise AssertionError("no run got through")


def test_removed_meanwhile_is_not_brought_back(library: Library) -> None:
    """A document that is removed while it is read leaves nothing."""
    document_id = add(library, TEXT, "rules.md")
    embedder = FakeEmbedder()
    embed = embedder.embed_passages

    def removing(texts: list[str], **rest: int) -> object:
        if library.list("local"):
            library.remove(document_id, "local")
        return embed(texts, **rest)

    embedder.embed_passages = removing  # type: ignore[method-assign,assignment]
    ingestor = Ingestor(library, embedder, LibrarySettings())
    assert ingestor.run_next()
    while ingestor.run_next():
        pass
    ingestor.close()
    assert library.list("local") == []
    for table in ("chunks", "texts", "vectors"):
        assert library.database.rows(f"SELECT * FROM {table}") == []


def test_interrupted_too_often_is_refused(library: Library, database: Database) -> None:
    """A document that was cut off again and again is refused with words, and others go on."""
    bad, good = add(library, TEXT, "bad.md"), add(library, TEXT, "good.md")
    with database.write() as connection:
        connection.execute(
            "UPDATE documents SET state = 'parsing', attempts = ? WHERE id = ?",
            (MAX_ATTEMPTS, bad),
        )
    run_all(library)
    assert library.get(bad, "local").state == "refused"
    assert "cut off" in (library.get(bad, "local").error or "")
    assert_whole(library, good)


def test_blank_says_no_text(library: Library) -> None:
    """A file without text is never silently indexed."""
    document_id = add(library, "  \n\n ", "blank.md")
    run_all(library)
    record = library.get(document_id, "local")
    assert record.state == "no_text"
    assert record.error
    assert record.hint


def test_empty_file_says_so_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason that a file of no bytes is shown with is not repeated as a note."""
    empty = ParsedDocument(text="", sections=(), notes=("the file is empty",))
    monkeypatch.setattr(ingest, "parse_in_child", lambda *_, **__: empty)
    document_id = add(library, "", "empty.txt")
    run_all(library)
    record = library.get(document_id, "local")
    assert (record.state, record.error) == ("no_text", "the file is empty")
    assert record.notes == ()


def test_scan_says_so(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that wait for text recognition are said to be a scan, with what to install."""
    scan = ParsedDocument(text="", sections=(), num_pages=3, pages=(Page(1, "needs_ocr"),),
                          hint="install tesseract-ocr")  # fmt: skip
    monkeypatch.setattr(ingest, "parse_in_child", lambda *_, **__: scan)
    document_id = add(library, "x", "scan.pdf")
    run_all(library)
    record = library.get(document_id, "local")
    assert record.error == "there is no text on any of its 3 pages; it is a scan"
    assert record.hint == "install tesseract-ocr"
    assert record.state == "needs_ocr"


def test_retry_reads_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that gave no text is read again on request."""
    document_id = add(library, " ", "late.md")
    run_all(library)
    monkeypatch.setattr(
        ingest, "parse_in_child", lambda *_, **__: ParsedDocument(text=TEXT, sections=())
    )
    library.retry(document_id, "local")
    run_all(library)
    assert_whole(library, document_id)
    other = f"{TEXT}\n\nThe allowance of the appendix."
    monkeypatch.setattr(
        ingest, "parse_in_child", lambda *_, **__: ParsedDocument(text=other, sections=())
    )
    library.retry(document_id, "local")  # as after an update, whose reader finds more
    assert library.get(document_id, "local").state == "queued"
    chunks = [(row[0], 1.0) for row in library.database.rows("SELECT id FROM chunks")]
    assert all(hit.text in TEXT for hit in library.hits(chunks, "local"))
    assert chunks
    run_all(library)
    assert_whole(library, document_id)
    assert library.text(document_id, "local").text == other
