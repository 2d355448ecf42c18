"""The ledger: every file and page in a named state, versions, duplicates, stop, pause and retry."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import AccessError, DocumentRefused, NotFound
from kit.library.documents import Page, ParsedDocument, Section
from kit.library.index.lexical import search_lexical
from kit.library.ledger import Ledger
from kit.library.reading import ingest, outcome
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.testing import FakeEmbedder


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    with database.write() as connection:
        for name, role in (("ann", "admin"), ("bob", "staff")):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (name, name, role)
            )
    return Library(home, database)


@pytest.fixture
def ledger(library: Library) -> Ledger:
    return Ledger(library)


@pytest.fixture(autouse=True)
def parse_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process. A form feed begins a page; 'bad' is refused."""

    def parse(path: Path, name: str, **_: object) -> ParsedDocument:
        text = path.read_text()
        if text.startswith("bad"):
            raise DocumentRefused("the file is damaged", hint="save it again")
        sections, at, pages = [], 0, text.split("\f")
        for number, page in enumerate(pages, start=1):
            sections.append(Section("page", f"page {number}", at, at + len(page), number))
            at += len(page) + 1
        is_paged = len(pages) > 1
        return ParsedDocument(
            text, tuple(sections) if is_paged else (), num_pages=len(pages) if is_paged else None
        )

    monkeypatch.setattr(ingest, "parse_in_child", parse)


def add(library: Library, text: str, name: str, by: str = "ann", **options: object) -> str:
    return library.add(io.BytesIO(text.encode()), name, added_by=by, **options).id  # type: ignore[arg-type]


def read_all(library: Library) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    ingestor.close()


def states(library: Library, reader: str = "ann") -> dict[str, str]:
    return {record.name: record.state for record in library.list(reader)}


def found(library: Library, words: str, reader: str = "ann") -> list[str]:
    """The names of the documents whose passages match."""
    hits = search_lexical(library.database, words, library.visible_collection_ids(reader), 50)
    return [hit.document for hit in library.hits(hits, reader)]


def count_calls(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[object]:
    """Grows by one with each call of the module's function, which does as before."""
    calls, function = list[object](), getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: (calls.append(given), function(*given))[1])
    return calls


def assert_consistent(database: Database) -> None:
    """Passages belong to documents that answer, each with its vector and its terms."""
    assert database.rows(
        "SELECT 1 FROM chunks c JOIN documents d ON d.id = c.document_id"
        " WHERE d.state NOT IN ('indexed', 'partial')"
    ) == []  # fmt: skip
    chunks = {row[0] for row in database.rows("SELECT id FROM chunks")}
    assert {row[0] for row in database.rows("SELECT chunk_id FROM vectors")} == chunks
    assert {row[0] for row in database.rows("SELECT rowid FROM chunk_terms")} == chunks
    log = database.rows("SELECT op, chunk_id FROM index_log ORDER BY seq")
    live = {number for op, number in log if op == "add"}
    assert live - {number for op, number in log if op == "delete"} == chunks
    assert database.rows("SELECT * FROM reading") == []


def test_a_new_version_answers_instead_of_the_old(library: Library, ledger: Ledger) -> None:
    """The old version answers until the new one can; then it stays listed and can be opened."""
    old = add(library, "the allowance is R585", "policy.md")
    read_all(library)
    new = add(library, "the allowance is R650", "policy.md")
    assert library.get(old, "ann").state == "indexed"
    assert found(library, "allowance") == ["policy.md"]
    read_all(library)
    assert library.get(old, "ann").state == "superseded"
    assert library.get(old, "ann").superseded_by == new
    assert library.text(old, "ann").text == "the allowance is R585"
    assert [hit[0] for hit in search_lexical(library.database, "R585", [1], 9)] == []
    assert found(library, "R650") == ["policy.md"]
    with pytest.raises(DocumentRefused, match="newer version"):
        library.whole(old, "ann")
    assert_consistent(library.database)


def test_a_new_version_that_cannot_be_read_leaves_the_old_one_answering(library: Library) -> None:
    """A broken new version is refused, and nothing is lost by it."""
    old = add(library, "the allowance is R585", "policy.md")
    read_all(library)
    bad = add(library, "bad", "policy.md")
    read_all(library)
    assert library.get(bad, "ann").state == "refused"
    assert library.get(old, "ann").state == "indexed"
    assert found(library, "allowance") == ["policy.md"]


def test_a_version_that_comes_back_answers_again(library: Library) -> None:
    """The first version, added once more, supersedes the second."""
    first = add(library, "one", "policy.md")
    read_all(library)
    second = add(library, "two", "policy.md")
    read_all(library)
    assert add(library, "one", "policy.md") == first
    read_all(library)
    assert library.get(first, "ann").state == "indexed"
    assert library.get(second, "ann").state == "superseded"
    assert found(library, "one") == ["policy.md"]
    assert_consistent(library.database)


def test_the_same_bytes_elsewhere_are_a_duplicate(library: Library) -> None:
    """They are read once in a collection, and the duplicate opens and answers as its original."""
    original = add(library, "the allowance is R585", "a.md")
    double = add(library, "the allowance is R585", "b.md")
    read_all(library)
    record = library.get(double, "ann")
    assert (record.state, record.duplicate_of, record.related) == ("duplicate", original, "a.md")
    assert found(library, "allowance") == ["a.md"]
    assert library.text(double, "ann") == library.text(original, "ann")
    assert library.whole(double, "ann").record.id == original


def test_duplicates_of_others_are_not_told_and_not_missed(library: Library) -> None:
    """The same bytes in another's private collection are read for each, and say nothing of it."""
    for name in ("ann", "bob"):
        add(library, "a secret of both", f"{name}.md", by=name, collection="Mine", is_private=True)
    read_all(library)
    for name in ("ann", "bob"):
        [record] = library.list(name)
        assert (record.state, record.related) == ("indexed", None)
        assert found(library, "secret", name) == [f"{name}.md"]


@pytest.mark.parametrize("how", ["removed", "superseded"])
def test_a_duplicate_takes_the_place_of_its_original(library: Library, how: str) -> None:
    """When the original goes, its duplicate answers at once, under its own name, unread again."""
    original = add(library, "the allowance is R585", "a.md")
    double = add(library, "the allowance is R585", "zebra.md")
    add(library, "the allowance is R585", "c.md")
    read_all(library)
    if how == "removed":
        library.remove(original, "ann")
    else:
        add(library, "something else", "a.md")
        read_all(library)
    assert library.get(double, "ann").state == "indexed"
    assert found(library, "allowance") == ["zebra.md"]
    assert found(library, "zebra") == ["zebra.md"]
    assert states(library)["c.md"] == "duplicate"
    assert library.text(double, "ann").text == "the allowance is R585"
    assert_consistent(library.database)


def test_a_duplicate_of_what_was_refused_says_so_itself(library: Library) -> None:
    """No document points to one that has nothing to say."""
    add(library, "bad", "a.md")
    add(library, "bad", "b.md")
    read_all(library)
    assert states(library) == {"a.md": "refused", "b.md": "refused"}


def test_every_page_has_its_state(library: Library, ledger: Ledger) -> None:
    """A document of which a page has no text is 'partial', and the page is named."""
    document_id = add(library, "first page\f \fthird page", "three.pdf")
    read_all(library)
    record = library.get(document_id, "ann")
    assert record.state == "partial"
    assert record.notes == ("1 of 3 pages have no text: 2",)
    pages = ledger.pages(document_id, "ann")
    assert [(page.page, page.state, page.num_chars) for page in pages] == [
        *((1, "text", 10), (2, "no_text", 0), (3, "text", 10))
    ]
    with pytest.raises(NotFound):
        ledger.pages(document_id + "x", "ann")


def test_pages_that_need_ocr_are_told_from_blank_ones(
    library: Library, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that knows of a blank page makes no document partial by it; a picture does."""
    judged = (Page(2, "blank"), Page(3, "needs_ocr", 0, "a picture of text"))
    section = Section("page", "page 1", 0, 4, 1)
    for pages, state in ((judged[:1], "indexed"), (judged, "partial")):
        parsed = ParsedDocument("text", (section,), num_pages=len(pages) + 1, pages=pages)
        monkeypatch.setattr(ingest, "parse_in_child", lambda *_, p=parsed, **__: p)
        document_id = add(library, state, f"{state}.pdf")
        read_all(library)
        assert library.get(document_id, "ann").state == state


def test_pages_of_a_document_read_by_an_older_kit(library: Library, ledger: Ledger) -> None:
    """Where no pages were kept they come from the text."""
    document_id = add(library, "first page\f\fthird", "three.pdf")
    read_all(library)
    kept = ledger.pages(document_id, "ann")
    with library.database.write() as connection:
        connection.execute("DELETE FROM pages")
    assert ledger.pages(document_id, "ann") == kept


def test_stopped_is_not_read_until_it_is_tried_again(library: Library, ledger: Ledger) -> None:
    """A stopped document says so; who may change it reads it again, and all that failed."""
    stopped = add(library, "some text", "a.md")
    add(library, "bad", "b.md")
    add(library, "bad too", "c.md", by="local")
    with pytest.raises(AccessError):
        ledger.stop(stopped, "bob")
    ledger.stop(stopped, "ann")
    read_all(library)
    assert states(library) == {"a.md": "stopped", "b.md": "refused", "c.md": "refused"}
    ledger.stop(stopped, "ann")  # it is through: nothing changes
    with pytest.raises(AccessError, match=r"a\.md is changed by who added it"):
        library.retry(stopped, "bob")
    assert states(library)["a.md"] == "stopped"
    assert ledger.retry_failed("bob") == []
    assert len(ledger.retry_failed("ann")) == 3
    read_all(library)
    assert states(library)["a.md"] == "indexed"


def test_stopped_while_it_is_embedded_leaves_nothing(library: Library, ledger: Ledger) -> None:
    """A document that is stopped at its last step is not brought back by it."""
    document_id = add(library, "some text. " * 300, "a.md")
    embedder = FakeEmbedder()
    embed = embedder.embed_passages
    being_read: list[object] = []

    def stopping(texts: list[str], **rest: int) -> object:
        ledger.stop(document_id, "ann")
        being_read.extend(library.database.rows("SELECT * FROM reading"))
        return embed(texts, **rest)

    embedder.embed_passages = stopping  # type: ignore[method-assign,assignment]
    ingestor = Ingestor(library, embedder, LibrarySettings())
    while ingestor.run_next():
        pass
    ingestor.close()
    assert states(library) == {"a.md": "stopped"}
    assert library.database.rows("SELECT * FROM texts") == []
    assert being_read == []
    assert_consistent(library.database)


def test_paused_reads_nothing(library: Library, ledger: Ledger) -> None:
    """While the reading is paused documents wait; only an administrator pauses."""
    add(library, "some text", "a.md")
    with pytest.raises(AccessError):
        ledger.pause(is_admin=False)
    ledger.pause(is_admin=True)
    read_all(library)
    assert states(library) == {"a.md": "queued"}
    assert ledger.progress("ann").is_paused
    ledger.resume(is_admin=True)
    read_all(library)
    assert states(library) == {"a.md": "indexed"}


def test_progress_is_of_what_the_reader_may_see(library: Library, ledger: Ledger) -> None:
    """Done, waiting and speed count nothing of another's private documents."""
    for number in range(3):
        add(library, f"text {number}", f"{number}.md")
    read_all(library)
    add(library, "waiting", "late.md")
    add(library, "hidden", "h.md", by="bob", collection="Mine", is_private=True)
    ann, bob = ledger.progress("ann"), ledger.progress("bob")
    assert (ann.num_done, ann.num_waiting, ann.num_total) == (3, 1, 4)
    assert (bob.num_done, bob.num_waiting) == (3, 2)
    assert ann.documents_per_minute > 0
    assert ann.seconds_left is not None
    assert ann.now == ()


def test_what_is_read_now_is_named(library: Library, ledger: Ledger) -> None:
    """While a document is embedded, progress names it and its stage, to whom may see it."""
    add(library, "text. " * 200, "Mine.md", by="bob", collection="Mine", is_private=True)
    seen: list[object] = []
    embedder = FakeEmbedder()
    embed = embedder.embed_passages

    def looking(texts: list[str], **rest: int) -> object:
        seen.append(([now.name for now in ledger.progress("bob").now], ledger.progress("ann").now))
        return embed(texts, **rest)

    embedder.embed_passages = looking  # type: ignore[method-assign,assignment]
    ingestor = Ingestor(library, embedder, LibrarySettings())
    while ingestor.run_next():
        pass
    assert seen[0] == (["Mine.md"], ())
    assert ledger.progress("bob").now == ()


def test_a_long_scan_says_how_many_pages_are_read(
    library: Library, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of pages while it is parsed, written now and then; passages from none when it is
    embedded."""
    add(library, "a scan", "scan.pdf")
    seen: list[tuple[str, int, int]] = []

    def look() -> None:
        seen.extend((now.stage, now.done, now.total) for now in ledger.progress("ann").now)

    def parse(*_: object, report: Callable[[int, int], None], **__: object) -> ParsedDocument:
        look()
        for done in range(300):
            report(done, 300)
            if done in (0, 150):
                look()
            if done == 149:
                time.sleep(0.05)
        return ParsedDocument("text", ())

    monkeypatch.setattr(ingest, "parse_in_child", parse)
    monkeypatch.setattr(ingest, "REPORT_S", 0.05)
    reports = count_calls(monkeypatch, outcome, "report")
    set_embedding = outcome.set_embedding
    monkeypatch.setattr(
        outcome, "set_embedding", lambda *these: (set_embedding(*these), look())
    )  # fmt: skip
    read_all(library)
    assert seen == [
        ("parsing", 0, 0), ("parsing", 0, 300), ("parsing", 150, 300), ("embedding", 0, 0),
    ]  # fmt: skip
    assert 2 <= len(reports) < 30


def test_the_time_left_of_a_scan_is_told_by_its_pages(
    library: Library, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the first of all, and however many bytes it has: with a third of its pages read, twice the
    time so far; and another of its kind that waits as long as all of this one."""
    add(library, "a scan" * 100_000, "Report.v2.PDF")
    told: list[tuple[float, float | None]] = []

    def parse(*_: object, report: Callable[[int, int], None], **__: object) -> ParsedDocument:
        time.sleep(0.3)
        report(10, 30)
        [now] = ledger.progress("ann").now
        told.append((now.seconds, ledger.progress("ann").seconds_left))
        add(library, "a scan" * 100_000 + "x", "another.pdf")
        told.append((now.seconds, ledger.progress("ann").seconds_left))
        raise DocumentRefused("enough")

    monkeypatch.setattr(ingest, "parse_in_child", parse)
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    assert ingestor.run_next()
    ingestor.close()
    (so_far, left), (_, with_another) = told[:2]
    assert left == pytest.approx(2 * so_far, abs=0.2)
    assert with_another == pytest.approx(5 * so_far, abs=0.4)


def test_a_pause_and_a_stop_are_heeded_between_pages(
    library: Library, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the reading is paused no further page is read; a stop ends the wait."""
    document_id = add(library, "a scan", "scan.pdf")
    began, read = threading.Event(), list[int]()

    def parse(
        *_: object,
        report: Callable[[int, int], None],
        should_stop: Callable[[], bool],
        **__: object,
    ) -> ParsedDocument:
        for done in range(3):
            if done == 1:
                ledger.pause(is_admin=True)
                began.set()
            report(done, 3)
            if should_stop():
                raise DocumentRefused("its reading was stopped")
            read.append(done)
        return ParsedDocument("text", ())

    monkeypatch.setattr(ingest, "parse_in_child", parse)
    monkeypatch.setattr(ingest, "TICK_S", 0.01)
    reading = threading.Thread(target=read_all, args=(library,))
    reading.start()
    assert began.wait(10)
    time.sleep(0.1)
    assert read == [0]
    ledger.stop(document_id, "ann")
    reading.join(10)
    assert not reading.is_alive()
    assert read == [0]
    assert states(library) == {"scan.pdf": "stopped"}
    assert_consistent(library.database)


def test_what_was_cut_off_is_read_alone(library: Library, database: Database) -> None:
    """A document that may have ended the worker takes none of its neighbours with it."""
    bad = add(library, "bad luck is no refusal", "cut.md")
    good = [add(library, f"text {number}", f"{number}.md") for number in range(3)]
    with database.write() as connection:
        connection.execute("UPDATE documents SET attempts = 1 WHERE id = ?", (bad,))
    alone: list[list[str]] = []
    embedder = FakeEmbedder()

    def parse(job: ingest.Job) -> ParsedDocument:
        rows = database.rows("SELECT name FROM documents WHERE state IN ('parsing', 'embedding')")
        alone.append(sorted(row[0] for row in rows))
        return ParsedDocument(text=job.name, sections=())

    ingestor = Ingestor(library, embedder, LibrarySettings(), parse=parse)
    while ingestor.run_next():
        pass
    assert alone[-1] == ["cut.md"]
    assert all(library.get(one, "ann").state == "indexed" for one in [*good, bad])


def test_twenty_small_documents_share_batches(library: Library) -> None:
    """Small documents are embedded together, like lengths beside each other, and lose nothing."""
    for number in range(20):
        add(library, f"note {number}. " + "word " * (number * 7 % 20), f"{number}.md")
    sizes: list[int] = []
    embedder = FakeEmbedder()
    embed = embedder.embed_passages

    def counting(texts: list[str], **rest: int) -> object:
        sizes.append(len(texts))
        time.sleep(0.002)
        return embed(texts, **rest)

    embedder.embed_passages = counting  # type: ignore[method-assign,assignment]
    ingestor = Ingestor(library, embedder, LibrarySettings())
    while ingestor.run_next():
        pass
    assert sum(sizes) == 20
    assert max(sizes) > 1
    assert ingestor.num_ended == 20
    for number in range(20):
        assert f"{number}.md" in found(library, f'"note {number}"')
    assert_consistent(library.database)
