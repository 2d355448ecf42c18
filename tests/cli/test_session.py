"""One contract, two kits: every assertion here holds for the running kit and for the folder."""

from __future__ import annotations

import gc
import io
import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.answer.events import Draft, Finished, Progress, Retrieved
from kit.answer.modes.task import Field, Task
from kit.cli import remote as remote_module
from kit.cli.local import LocalKit
from kit.cli.open_kit import open_kit
from kit.cli.remote import RemoteKit
from kit.cli.session import Kit, find_document
from kit.config import Config, WebSettings
from kit.database import Database
from kit.errors import (
    AlreadyRunning,
    DocumentRefused,
    EngineUnavailable,
    KitError,
    NotFound,
    UsageError,
)
from kit.instance import Instance, announce, own_home
from kit.library.dates import Dated
from kit.library.documents import DocumentRecord
from kit.testing import FakeEmbedder, FakeEngine

POLICY = (
    b"# Travel\n\nStaff receive R 650 a day for meals.\n\n# Forms\n\nUse form T-4 for every trip.\n"
)
MINUTES = b"The ethics committee meets on the first Tuesday of each month.\n"
TOKEN = "t" * 43


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine("Staff receive R 650 a day for meals.")


@contextmanager
def serving(home: Path, engine: FakeEngine) -> Iterator[str]:
    """The real web shell on a loopback port, over the real library, with fakes for both models."""
    import uvicorn

    from kit.answer.chat import Chat
    from kit.answer.conversations.conversations import Conversations
    from kit.answer.modes.modes import Modes
    from kit.answer.retrieve import Searcher
    from kit.library.index.vectors import VectorIndex
    from kit.library.reading.ingest import Ingestor
    from kit.library.store import Library
    from kit.people.sign_in import SignIn
    from kit.people.throttle import Throttle
    from kit.web.index import FollowedIndex
    from kit.web.purging import Purging
    from kit.web.services import Services, open_people
    from kit.web.shell import build_shell

    config = Config(home=home, web=WebSettings(max_upload_mb=1))
    (home / "tmp").mkdir(exist_ok=True)
    database = Database(home / "kit.db")
    library, embedder = Library(home, database), FakeEmbedder()
    index = VectorIndex(home, database, model=embedder.model, dim=embedder.dim)
    searcher = Searcher(library, database, index, embedder)
    conversations = Conversations(database)
    accounts, sessions = open_people(config, database)
    ingestor = Ingestor(library, embedder, config.library)
    reading = threading.Lock()

    def read_all() -> None:
        with reading:
            while ingestor.run_next():
                pass
        database.close()

    services = Services(
        config=config,
        database=database,
        library=library,
        index=FollowedIndex(lambda: None),
        searcher=searcher,
        engine=engine,
        conversations=conversations,
        chat=Chat(
            conversations,
            searcher,
            engine,
            config.answer,
            modes=Modes(library, searcher, engine, config.answer),
        ),
        accounts=accounts,
        sessions=sessions,
        sign_in=SignIn(database, accounts, sessions, Throttle(database)),
        wake_worker=lambda: threading.Thread(target=read_all).start(),
        token=TOKEN,
        purging=Purging(home, database, lambda: None),
    )
    server = uvicorn.Server(
        uvicorn.Config(build_shell(services), port=0, log_config=None, ws="none", lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        with reading:
            index.close()
        database.close()


@pytest.fixture(params=["local", "remote"])
def kit(
    request: pytest.FixtureRequest,
    home: Path,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kit]:
    """The kit of a home that is not running, and the kit that is."""
    monkeypatch.setattr(remote_module, "POLL_S", 0.01)
    if request.param == "local":
        config = Config(home=home, web=WebSettings(max_upload_mb=1))
        local = LocalKit(config, lambda _: None, embedder=FakeEmbedder(), engine=engine)
        with closing(local):
            yield local
    else:
        with serving(home, engine) as url, closing(RemoteKit(url, TOKEN)) as remote:
            yield remote


def add(
    kit: Kit, data: bytes = POLICY, name: str = "policy.md", to: str = "office"
) -> DocumentRecord:
    """Added and read to its end."""
    added = kit.add(io.BytesIO(data), name, to)
    ended: list[DocumentRecord] = []
    kit.read_documents([added.id], ended.append)
    return ended[0]


def answer_of(kit: Kit, question: str, **rest: Any) -> Any:
    events = list(kit.ask(question, collection=None, **rest))
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def test_a_document_is_added_read_and_listed(kit: Kit) -> None:
    """After reading, a document is indexed, and list and show agree on it."""
    record = add(kit)
    assert (record.state, record.name, record.collection) == ("indexed", "policy.md", "office")
    assert record.num_chunks >= 1
    assert kit.documents() == [kit.document(record.id)]
    assert kit.documents("office") == kit.documents()
    assert find_document(kit, "policy.md") == find_document(kit, record.id)


def test_the_same_file_again_is_a_duplicate(kit: Kit) -> None:
    """The same bytes under the same name in one collection are one document."""
    first = add(kit)
    again = kit.add(io.BytesIO(POLICY), "policy.md", "office")
    assert again.is_duplicate
    assert again.id == first.id
    assert len(kit.documents()) == 1


def test_reading_what_is_read_returns_at_once(kit: Kit) -> None:
    """Waiting for a document that was read before tells its state once and ends."""
    record = add(kit)
    ended: list[DocumentRecord] = []
    kit.read_documents([record.id], ended.append)
    assert [r.id for r in ended] == [record.id]


def test_a_bad_file_is_refused_with_a_reason(kit: Kit) -> None:
    """A file that cannot be read ends as refused, with the reason for the person."""
    record = add(kit, b"%PDF-1.7 nothing more", "broken.pdf")
    assert record.state == "refused"
    assert record.error


def test_a_file_that_is_too_large_is_an_error(kit: Kit) -> None:
    """A file above web.max_upload_mb does not enter the library."""
    with pytest.raises((DocumentRefused, UsageError), match="larger"):
        kit.add(io.BytesIO(b"x" * (2 << 20)), "big.txt", "office")
    assert kit.documents() == []


def test_search_finds_exact_spans(kit: Kit) -> None:
    """A hit names its document, and its span is the passage in the text."""
    record = add(kit)
    found = kit.search("form for a trip", top_k=3, collection=None)
    best = found.hits[0]
    assert (best.rank, best.document, best.document_id) == (1, "policy.md", record.id)
    assert "T-4" in " ".join(hit.text for hit in found.hits)
    assert best.end - best.start == len(best.text)
    assert kit.search("form", top_k=1, collection="office").hits
    assert len(kit.search("form", top_k=1, collection=None).hits) == 1


def test_the_dates_of_documents_are_told_everywhere(kit: Kit) -> None:
    """In lists, in what is found, and with the evidence of an answer: what is of when, and why."""
    message = b"From: ann@example.org\nDate: Tue, 4 Mar 2025 10:30:00 +0000\n\n" + POLICY
    record, named = add(kit, message, "mail.eml"), add(kit, POLICY, "policy-2023.md", "old")
    assert record.dated == Dated("2025-03-04", "sent")
    assert named.dated == Dated("2023", "name")
    assert {d.name: d.dated for d in kit.documents()} == {
        "mail.eml": record.dated, "policy-2023.md": named.dated,
    }  # fmt: skip
    hits = kit.search("form for a trip", top_k=5, collection=None).hits
    assert {hit.dated for hit in hits} == {record.dated, named.dated}
    events = list(kit.ask("Which form is used for a trip?", collection=None))
    [passages] = [event.passages for event in events if isinstance(event, Retrieved)]
    assert {citation.dated for citation in passages} == {record.dated, named.dated}


def test_another_collection_is_not_searched(kit: Kit) -> None:
    """A search in one collection finds nothing of another; an unknown one is NotFound."""
    add(kit)
    add(kit, MINUTES, "minutes.md", "ethics")
    found = kit.search("form for a trip", top_k=5, collection="ethics")
    assert {hit.document for hit in found.hits} <= {"minutes.md"}
    with pytest.raises(NotFound):
        kit.search("x", top_k=5, collection="absent")
    with pytest.raises(NotFound):
        kit.documents("absent")


def test_the_original_comes_back_byte_for_byte(kit: Kit) -> None:
    """The exported original has exactly the bytes that were added."""
    record = add(kit, data := POLICY + bytes(range(256)) * 0)
    with kit.original(record.id) as stream:
        assert stream.read() == data


def test_a_removed_document_is_found_no_more(kit: Kit) -> None:
    """After removal neither list nor search knows the document."""
    record = add(kit)
    kit.remove(record.id)
    assert kit.documents() == []
    assert kit.search("form for a trip", top_k=3, collection=None).hits == ()
    with pytest.raises(NotFound):
        kit.document(record.id)


def test_a_purge_leaves_no_byte_of_what_was_removed(kit: Kit, home: Path) -> None:
    """After rm and purge no file holds the text or the name, and the purge says it is complete."""
    record = add(kit, b"The word is c4n4ry-7f3b9d2e8a6c.\n", "c4n4ry-7f3b9d2e8a6c.txt")
    kit.remove(record.id)
    assert kit.purge()["is_complete"]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"c4n4ry-7f3b9d2e8a6c" in path.read_bytes()]


def test_an_unknown_document_is_not_found(kit: Kit) -> None:
    """Every verb on a document that is not there is NotFound, whatever its id looks like."""
    for document_id in ("absent", "../../etc/passwd", "", "a/b?c#d"):
        for verb in (kit.document, kit.remove, kit.retry):
            with pytest.raises(NotFound):
                verb(document_id)


def test_retry_reads_a_refused_document_again(kit: Kit) -> None:
    """A refused document that is retried is read again and told again."""
    record = add(kit, b"%PDF-1.7 nothing more", "broken.pdf")
    kit.retry(record.id)
    ended: list[DocumentRecord] = []
    kit.read_documents([record.id], ended.append)
    assert [r.state for r in ended] == ["refused"]


def test_an_answer_cites_the_passage(kit: Kit) -> None:
    """A question the documents answer is supported, and its citation is that passage."""
    record = add(kit)
    answer = answer_of(kit, "How much do staff receive a day for meals?")
    assert answer.is_supported
    assert answer.citations[0].document_id == record.id
    assert "R 650" in answer.citations[0].text
    assert answer.timings.total_s > 0


def test_one_document_is_asked(kit: Kit, engine: FakeEngine) -> None:
    """Only its passages are answered from, all of them are given, and it is pinned."""
    add(kit, b"# Travel\n\nStaff receive R 999 a day for meals.\n", "other.md")
    record = add(kit)
    answer = answer_of(kit, "How much do staff receive a day for meals?", document_id=record.id)
    assert {citation.document_id for citation in answer.citations} == {record.id}
    assert "R 650" in answer.text
    assert engine.seen[0][1].content.count("</passage") == record.num_chunks
    assert engine.reused[0] is not None
    assert engine.reused[0].is_pinned
    answer = answer_of(kit, "When does the ethics committee meet?", document_id=record.id)
    assert answer.text.startswith("Not in this document.")


def test_a_conversation_keeps_asking_its_document(kit: Kit, engine: FakeEngine) -> None:
    """What was named with the first question holds for the next."""
    record = add(kit)
    conversation_id = kit.new_conversation()
    options = {"conversation_id": conversation_id}
    answer_of(kit, "How much do staff receive a day?", document_id=record.id, **options)
    answer_of(kit, "Which form for every trip?", **options)
    first, second = engine.reused
    assert first is not None
    assert second is not None
    assert first.is_pinned
    assert first.shared_namespace == second.shared_namespace


def test_a_document_that_cannot_be_asked_is_an_error(kit: Kit, engine: FakeEngine) -> None:
    """Absent, without text, or named beside a collection: the same error from both kits."""
    with pytest.raises(NotFound):
        list(kit.ask("x?", collection=None, document_id="absent"))
    empty = add(kit, b"  ", "empty.txt")
    with pytest.raises(DocumentRefused, match="has no text"):
        list(kit.ask("x?", collection=None, document_id=empty.id))
    record = add(kit)
    with pytest.raises(UsageError):
        list(kit.ask("x?", collection="office", document_id=record.id))
    assert engine.seen == []


def test_a_question_without_an_answer_gets_none(kit: Kit) -> None:
    """What the documents do not answer is not answered."""
    add(kit)
    answer = answer_of(kit, "Who is the president of France?")
    assert not answer.is_supported
    assert answer.citations == ()


def test_an_engine_that_is_away_still_gives_the_quote(kit: Kit, engine: FakeEngine) -> None:
    """Without the engine the quote of the documents is still given, or a KitError with words."""
    add(kit)
    engine.fails = True
    try:
        answer = answer_of(kit, "How much do staff receive a day for meals?")
    except EngineUnavailable:
        return
    assert "R 650" in answer.text


def test_a_stream_closed_early_frees_the_engine(kit: Kit, engine: FakeEngine) -> None:
    """Closing the events in mid-answer ends the engine's stream."""
    add(kit)
    engine._delay_s = 0.05
    engine._script = "word " * 2000
    events = kit.ask("How much do staff receive a day for meals?", collection=None)
    for event in events:
        if isinstance(event, Retrieved):
            break
    next(events)
    events.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while len(engine.seen) > engine.num_cancelled and time.monotonic() < deadline:
        time.sleep(0.05)
    assert engine.num_cancelled == len(engine.seen)


def test_a_conversation_is_kept(kit: Kit, home: Path) -> None:
    """Questions of one conversation and their answers are in the database."""
    add(kit)
    conversation_id = kit.new_conversation()
    answer_of(kit, "How much do staff receive a day?", conversation_id=conversation_id)
    answer_of(kit, "Which form for a trip?", conversation_id=conversation_id)
    database = Database(home / "kit.db")
    rows = database.rows(
        "SELECT role, state FROM messages WHERE conversation_id = ?", (conversation_id,)
    )
    database.close()
    assert rows == [("user", "complete"), ("assistant", "complete")] * 2
    kit.forget_conversation(conversation_id)
    with pytest.raises(NotFound):
        answer_of(kit, "Which form for a trip?", conversation_id=conversation_id)


def test_errors_are_of_the_same_class_and_words(kit: Kit) -> None:
    """An empty question is refused by both kits as a usage error."""
    with pytest.raises(UsageError):
        list(kit.ask("   ", collection=None))
    with pytest.raises(NotFound):
        list(kit.ask("x", collection="absent"))
    with pytest.raises(NotFound):
        list(kit.ask("x", collection=None, conversation_id="absent"))


def test_a_file_that_grows_while_it_is_sent_is_refused(
    home: Path, engine: FakeEngine, tmp_path: Path
) -> None:
    """A log that is being written to is refused in words; nothing of it is stored."""
    (tmp_path / "log.txt").write_text("first")

    class Growing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            with (tmp_path / "log.txt").open("a") as out:
                out.write("more" * (1 if self.tell() < 1000 else 0))
            return super().read(size)

    with warnings.catch_warnings():
        # The server of this test may stop while it still holds the request that was cut off.
        warnings.simplefilter("ignore", ResourceWarning)
        with serving(home, engine) as url, closing(RemoteKit(url, TOKEN)) as remote:
            stream = Growing(tmp_path / "log.txt")
            with stream, pytest.raises(DocumentRefused, match="changed while it was sent"):
                remote.add(stream, "log.txt", "office")
            assert remote.documents() == []
        gc.collect()


def test_status_says_whether_it_runs(kit: Kit) -> None:
    """Status knows whether the kit runs and how many documents there are."""
    add(kit)
    status = kit.status()
    assert status["running"] is isinstance(kit, RemoteKit)
    assert status["documents"] == {"indexed": 1}


def test_the_running_kit_is_found(home: Path, engine: FakeEngine) -> None:
    """`open_kit` asks the kit that runs on this home; when none runs it works on the folder."""
    config = Config(home=home)
    with serving(home, engine) as url, own_home(home):
        announce(home, Instance(1, url, "", "", TOKEN))
        with open_kit(config, lambda _: None) as kit:
            assert isinstance(kit, RemoteKit)
            assert kit.documents() == []
    with open_kit(config, lambda _: None) as kit:
        assert isinstance(kit, LocalKit)


def test_a_wrong_token_opens_nothing(home: Path, engine: FakeEngine) -> None:
    """A token of another run is refused."""
    with serving(home, engine) as url, closing(RemoteKit(url, "x" * 43)) as remote:
        with pytest.raises(KitError) as caught:
            remote.documents()
        assert caught.value.code == "access"


def test_a_kit_that_does_not_answer_is_said_to_be() -> None:
    """A connection that is refused is an error with a next step, not a traceback."""
    with closing(RemoteKit("http://127.0.0.1:9", TOKEN)) as remote:
        with pytest.raises(EngineUnavailable, match="does not answer"):
            remote.documents()
        with pytest.raises(EngineUnavailable, match="does not answer"):
            list(remote.ask("x", collection=None))


def test_reading_needs_the_home_to_itself(home: Path, engine: FakeEngine) -> None:
    """A kit that has started on this home meanwhile is not waited for: it reads what is stored."""
    local = LocalKit(Config(home=home), lambda _: None, embedder=FakeEmbedder(), engine=engine)
    with closing(local), own_home(home):
        announce(home, Instance(1, "http://127.0.0.1:9", "", "", TOKEN))
        record = local.add(io.BytesIO(POLICY), "policy.md", "office")
        with pytest.raises(AlreadyRunning, match="already runs"):
            local.read_documents([record.id], lambda _: None)
        assert local.documents()[0].state == "queued"  # stored, and read later


def test_another_command_is_waited_for_however_long_it_reads(
    home: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands that read on one home take turns: the second says once that it waits."""
    said: list[str] = []
    with ExitStack() as other:
        other.enter_context(own_home(home))
        naps: list[float] = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 200:  # 100 s of a person's time
                other.close()

        monkeypatch.setattr("kit.cli.local.time.sleep", nap)
        local = LocalKit(Config(home=home), said.append, embedder=FakeEmbedder(), engine=engine)
        with closing(local):
            assert add(local).state == "indexed"
    assert said == ["another kit command works on this folder; waiting for it to finish"]


def test_without_an_embedding_model_search_goes_by_words(home: Path, engine: FakeEngine) -> None:
    """If no embedding model is installed, words are searched and the notice says so."""
    config = Config(home=home)
    with closing(LocalKit(config, lambda _: None, embedder=FakeEmbedder(), engine=engine)) as local:
        add(local)
    with closing(LocalKit(config, lambda _: None, engine=engine)) as bare:
        found = bare.search("form for a trip", top_k=3, collection=None)
        assert found.hits
        assert "all-minilm-l6-v2 is not installed" in found.notices[0]
    without = LocalKit(config, lambda _: None)
    with closing(without), pytest.raises(EngineUnavailable, match="smollm2-135m"):
        list(without.ask("How much a day for meals?", collection=None))


def test_removing_a_document_takes_its_pinned_prefix_from_disk(
    home: Path, engine: FakeEngine
) -> None:
    """Without an engine to tell, the file goes at once; those of other documents stay."""
    local = LocalKit(Config(home=home), lambda _: None, embedder=FakeEmbedder(), engine=engine)
    with closing(local):
        kept, removed = add(local), add(local, MINUTES, "minutes.md")
        names = [local._library.whole(record.id, "local").prefix for record in (kept, removed)]
        (home / "prefixes").mkdir()
        for n, name in enumerate([*names, "readers"]):
            header = {"model": "m", "namespace": name, "sha256": "", "tokens": [1, 2]}
            path = home / "prefixes" / f"{n}.prefix"
            path.write_bytes(json.dumps(header).encode() + b"\nstate")
        local.remove(removed.id)
    left = [path.name for path in sorted((home / "prefixes").iterdir())]
    assert left == ["0.prefix", "2.prefix"]


def test_modes_and_exports_are_the_same(kit: Kit) -> None:
    """Both kits compare, summarise and extract, and hand out a conversation as a file."""
    old, new = add(kit), add(kit, POLICY.replace(b"650", b"700"), "newer.md")
    compared = list(kit.do(Task("compare", (old.id, new.id))))
    assert isinstance(compared[0], Progress)
    assert isinstance(compared[-1], Finished)
    [changed, *_] = compared[-1].answer.tables
    assert "R 650 → R 700" in [cell.text for cell in changed.rows[0]]
    summary = list(kit.do(Task("summarise", (old.id,))))[-1]
    assert isinstance(summary, Finished)
    assert summary.answer.citations[0].document == "policy.md"
    task = Task("extract", (), "office", (Field("Meals", "How much do staff receive a day?"),))
    table = next(event for event in kit.do(task) if isinstance(event, Draft)).tables[0]
    assert len(table.rows) == 1
    conversation_id = kit.new_conversation()
    question = "How much do staff receive a day for meals?"
    answer = answer_of(kit, question, conversation_id=conversation_id)
    assert kit.conversations()[0].title == question
    made = kit.export(conversation_id, "md")
    assert made.name == "how-much-do-staff-receive-a-day-for-meals.md"
    assert f"characters {answer.citations[0].start}-" in made.data.decode()
    with pytest.raises(UsageError, match="no table"):
        kit.export(conversation_id, "xlsx")
    for wrong in (
        lambda: kit.export("no-such-chat", "md"),
        lambda: list(kit.do(Task("summarise", ("no-such-document",)))),
    ):
        with pytest.raises(NotFound):
            wrong()


def test_the_reading_is_told_and_governed_alike(kit: Kit) -> None:
    """Pages, progress, pause, stop and retry mean the same to the running kit and to the folder."""
    kit.pause()
    waiting = kit.add(io.BytesIO(MINUTES), "minutes.md", "office")
    progress = kit.progress()
    assert (progress["is_paused"], progress["num_waiting"], progress["now"]) == (True, 1, [])
    kit.stop(waiting.id)
    assert kit.document(waiting.id).state == "stopped"
    kit.resume()
    assert kit.retry_failed() == [waiting.id]
    ended: list[DocumentRecord] = []
    kit.read_documents([waiting.id], ended.append)
    assert [record.state for record in ended] == ["indexed"]
    assert kit.pages(waiting.id) == ()
    assert kit.progress()["num_done"] == 1
    double = add(kit, MINUTES, "copy of minutes.md")
    assert (double.state, double.related) == ("duplicate", "minutes.md")
