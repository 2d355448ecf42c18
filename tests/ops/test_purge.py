"""After a purge no byte in the home tells of what was removed."""

from __future__ import annotations

import io
import itertools
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.answer.conversations.conversations import Conversations
from kit.answer.conversations.redact import EMPTIED
from kit.answer.events import Answer, Cell, Citation, Table, Timings
from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import ParsedDocument, Section
from kit.library.index.index_folder import FolderState, own_folder, write_state
from kit.library.index.lexical import search_lexical
from kit.library.reading.ingest import Ingestor, Job
from kit.library.store import Library
from kit.ops.purge import INDEX_PENDING, has_removals, purge, purge_alone
from kit.people import audit
from kit.testing import FakeEmbedder

TIMINGS = Timings(0.1, 0.2, 0.3)


def spellings(token: str) -> list[bytes]:
    """The token as a file may hold it."""
    return [token.encode(), token.upper().encode(), token.encode("utf-16-le"), token[8:].encode()]


def where(home: Path, token: str) -> set[str]:
    """The files that hold the token, in whatever spelling, in their bytes or in their names."""
    return {
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if token in path.name
        or (path.is_file() and any(word in path.read_bytes() for word in spellings(token)))
    }


def terms(database: Database) -> set[str]:
    """Every term that the full-text index holds: in its pages they share their beginnings."""
    with database.write() as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.seen USING fts5vocab(main, chunk_terms, row)"
        )
        return {row[0] for row in connection.execute("SELECT term FROM temp.seen")}


@dataclass(frozen=True)
class Planted:
    """A home where a document holds a token in its name, its title and its text."""

    library: Library
    database: Database
    conversations: Conversations
    token: str
    document_id: str
    conversation_id: str


def read_all(library: Library) -> None:
    """Everything that is queued, in this process: a child for each would cost most of the time."""

    def parse(job: Job) -> ParsedDocument:
        text = library.original_path(job.sha256).read_text()
        return ParsedDocument(text, (Section("heading", text[:40], 0, len(text)),), text[:60])

    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings(chunk_tokens=60), parse=parse)
    while ingestor.run_next():
        pass


def citation(document_id: str, text: str) -> Citation:
    return Citation(1, "a.txt", document_id, None, "", 0, len(text), text)


def say(conversations: Conversations, chat: str, question: str, text: str, *cited: Citation) -> int:
    """A question and its answer, with its evidence."""
    message_id = conversations.begin(chat, "local", question)
    answer = Answer(text, bool(cited), None, (), cited, TIMINGS)
    conversations.store(message_id, "complete", text, answer)
    return message_id


@pytest.fixture
def planted(home: Path, database: Database) -> Planted:
    token = secrets.token_hex(15) + "07"  # a digit at its end: the stemmer leaves it whole
    library, conversations = Library(home, database), Conversations(database)
    for number in range(12):  # so that pages are shared, and segments have to be merged
        words = " ".join(secrets.token_hex(4) for _ in range(300))
        library.add(io.BytesIO(words.encode()), f"other-{number}.txt", added_by="local")
    text = f"# The secret is {token}\n\nKeep {token} in mind, and tell nobody of {token[::-1]}.\n"
    record = library.add(io.BytesIO(text.encode()), f"{token}.md", added_by="local")
    read_all(library)
    audit.record(database, "local", "document.add", record.id, record.name)
    (home / "logs").mkdir()
    (home / "logs" / "worker.log").write_text(f"error: {token}.md is odd\nnext line\n")
    chat = conversations.create("local").id
    say(conversations, chat, f"what is {token}?", f"It is {token}.", citation(record.id, text[:60]))
    say(conversations, chat, "and again?", f"As I said: {token}.")
    row = (Cell(record.name), Cell("not found"))  # nothing of it is cited
    table = Table("Fields", ("Document", "Award"), (row,))
    message_id = conversations.begin(chat, "local", "Table of Award")
    answer = Answer("None found.", False, None, (), (), TIMINGS, tables=(table,))
    conversations.store(message_id, "complete", answer.text, answer)
    return Planted(library, database, conversations, token, record.id, chat)


def test_nothing_of_a_removed_document_is_left(home: Path, planted: Planted) -> None:
    """Name, title, text, terms, answers, titles, audit and logs: the token is in all of them
    before, and in no byte of the home after."""
    before = where(home, planted.token)
    assert {"logs/worker.log"} < before
    assert before & {"kit.db", "kit.db-wal"}
    assert planted.token in terms(planted.database)
    planted.library.remove(planted.document_id, "local")
    done = purge(home, planted.database)
    assert done.is_complete
    assert done.num_documents == 1
    assert done.num_messages == 4  # three answers, and the question that spelled it out
    assert where(home, planted.token) == set()
    assert where(home, planted.token[::-1]) == set()
    assert not {t for t in terms(planted.database) if planted.token[4:] in t}
    assert (home / "logs" / "worker.log").read_text().endswith("is odd\nnext line\n")
    kept = planted.conversations.messages(planted.conversation_id, "local")
    asked = [EMPTIED, EMPTIED, "and again?", EMPTIED, "Table of Award", EMPTIED]
    assert [m.text for m in kept] == asked
    assert planted.database.rows("SELECT action, subject FROM audit") == [
        ("document.add", planted.document_id)
    ]
    assert not has_removals(planted.database)


def test_the_places_of_its_words_are_gone(home: Path, planted: Planted) -> None:
    """What was kept to mark passages of a scan tells how long each of its words was."""
    with planted.database.write() as connection:
        connection.execute(
            "INSERT INTO page_words VALUES (?, 1, 0, ?)",
            (planted.document_id, f"packed {planted.token[:16]}".encode()),
        )
    assert where(home, f"packed {planted.token[:16]}")
    planted.library.remove(planted.document_id, "local")
    assert purge(home, planted.database).is_complete
    assert where(home, f"packed {planted.token[:16]}") == set()


def test_what_others_say_too_stays(home: Path, database: Database) -> None:
    """The new version of a document keeps its answers when the old one goes; numbers and long
    passages of the old one alone do not stay, and talk of other things does."""
    library, conversations = Library(home, database), Conversations(database)
    shared = "Staff who travel abroad receive an allowance of eighty euro a day for their meals."
    old = f"{shared} Grant NRF-2019-00417 pays for all of it until the spring of next year."
    ids = [
        library.add(io.BytesIO(text.encode()), name, added_by="local").id
        for name, text in (("old.txt", old), ("new.txt", shared))
    ]
    read_all(library)
    chat = conversations.create("local").id
    say(conversations, chat, "how much abroad?", shared, citation(ids[1], shared))
    say(conversations, chat, "which grant is NRF-2019-00417?", "I cannot say.")
    say(conversations, chat, shared, "Indeed.")
    say(
        conversations, chat, "until when?", "Grant pays for all of it until the spring of next year"
    )
    library.remove(ids[0], "local")
    assert purge(home, database).num_messages == 2
    assert [m.text for m in conversations.messages(chat, "local")] == [
        *("how much abroad?", shared),
        *(EMPTIED, "I cannot say."),
        *(shared, "Indeed."),
        *("until when?", EMPTIED),
    ]


def test_a_table_that_names_it_is_emptied(home: Path, planted: Planted) -> None:
    """A row of a table may be about a document that gave no evidence; and a task names it."""
    chat, name = planted.conversations.create("local").id, f"{planted.token}.md"
    message_id = planted.conversations.begin(chat, "local", "fields of all")
    table = Table("Fields", ("Document", "Grant"), ((Cell(name), Cell("not found")),))
    answer = Answer("1 document", True, None, (), (), TIMINGS, tables=(table,))
    planted.conversations.store(message_id, "complete", "1 document", answer)
    planted.library.remove(planted.document_id, "local")
    purge(home, planted.database)
    kept = planted.conversations.messages(chat, "local")
    assert [m.text for m in kept] == ["fields of all", EMPTIED]
    assert where(home, planted.token) == set()


def test_a_purge_waits_for_an_answer_that_began_before(home: Path, planted: Planted) -> None:
    """An answer that is being written when its document goes is emptied once it is written."""
    message_id = planted.conversations.begin(planted.conversation_id, "local", "and now?")
    planted.library.remove(planted.document_id, "local")
    done = purge(home, planted.database)
    assert done.pending == ("an answer that began before the removal is being written",)
    assert has_removals(planted.database)
    planted.conversations.store(message_id, "stopped", f"It is {planted.token}", None)
    assert purge(home, planted.database).is_complete
    assert where(home, planted.token) == set()


def test_an_answer_that_read_the_talk_of_before_is_emptied_too(
    home: Path, planted: Planted
) -> None:
    """It began after the removal, and had what the conversation said before the purge."""
    planted.library.remove(planted.document_id, "local")
    message_id = planted.conversations.begin(planted.conversation_id, "local", "once more?")
    assert not purge(home, planted.database).is_complete
    planted.conversations.store(message_id, "complete", f"It was {planted.token}", None)
    later = planted.conversations.begin(planted.conversation_id, "local", "which one?")
    assert purge(home, planted.database).is_complete  # waits for none that began later
    planted.conversations.store(later, "complete", "I cannot say.", None)
    assert where(home, planted.token) == set()


def test_what_a_kill_left_goes_with_the_purge(home: Path, planted: Planted) -> None:
    """An original whose removal was cut short, and what a dead process had in tmp."""
    original = planted.library.original(planted.document_id, "local")
    data = original.read_bytes()
    planted.library.remove(planted.document_id, "local")
    original.write_bytes(data)
    (home / "tmp" / "read-4194400-x").mkdir()  # no such process: above the kernel's limit
    (home / "tmp" / "read-4194400-x" / "out").write_bytes(data)
    (home / "tmp" / ".add-4194400-y.z").write_bytes(data)
    assert purge(home, planted.database).is_complete
    assert where(home, planted.token) == set()


def test_a_purge_that_was_cut_short_is_done_again(
    home: Path, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short at its first transaction, then at its second, and so on until one ran untouched:
    nothing is left in the end, and nothing was taken for done before it was."""
    planted.library.remove(planted.document_id, "local")
    real, left = Database.write, [0]

    def cut(self: Database) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Database, "write", cut)
    for step in itertools.count(1):
        left[0] = step
        try:
            assert purge(home, planted.database).is_complete
        except KeyboardInterrupt:
            assert has_removals(planted.database)
            continue
        break
    left[0] = 0
    assert step > 5
    assert where(home, planted.token) == set()
    assert not {t for t in terms(planted.database) if planted.token[4:] in t}


def test_the_others_are_found_as_before(home: Path, planted: Planted) -> None:
    """Merging the full-text index changes no result."""
    word = planted.library.text(planted.library.list("local")[-1].id, "local").text.split()[7]
    found = search_lexical(planted.database, word, [1], 5)
    assert found
    planted.library.remove(planted.document_id, "local")
    purge(home, planted.database)
    assert [chunk for chunk, _ in search_lexical(planted.database, word, [1], 5)] == [
        chunk for chunk, _ in found
    ]


def test_a_reader_of_the_log_is_named(
    home: Path, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody reads an older state of the database its log stays, and that is said."""
    monkeypatch.setattr("kit.ops.purge.CHECKPOINT_WAIT_S", 0.0)
    other = Database(home / "kit.db")
    with other.write():  # holds the state of before
        pass
    reading = iter(other._connection().execute("SELECT * FROM documents"))
    next(reading)
    planted.library.remove(planted.document_id, "local")
    assert "write-ahead log" in str(purge(home, planted.database).pending)
    reading.close()  # type: ignore[attr-defined]
    other.close()
    assert purge(home, planted.database).is_complete
    assert where(home, planted.token) == set()


def test_the_dense_index_is_built_anew_or_dropped(home: Path, planted: Planted) -> None:
    """An index from before the removal is pending while a kit owns it; with no kit it is dropped.
    One that was built since is left alone."""
    folder = home / "index" / "some-model"
    handle = own_folder(folder)
    (folder / "chroma").mkdir()
    planted.library.remove(planted.document_id, "local")
    assert purge_alone(home, planted.database).pending == (INDEX_PENDING,)
    os.close(handle)
    assert purge_alone(home, planted.database).is_complete
    assert not (folder / "chroma").exists()
    (folder / "chroma").mkdir()
    write_state(folder / "state.json", FolderState("some-model", 64, seq=9**9, built_seq=9**9))
    assert purge_alone(home, planted.database, with_index=True).is_complete
    assert (folder / "chroma").exists()


def test_copies_are_named_and_not_touched(home: Path, planted: Planted) -> None:
    """What a restore put aside is whose who restored; the purge says that it is there."""
    (home / "replaced-2026-01-01").mkdir()
    planted.library.remove(planted.document_id, "local")
    done = purge(home, planted.database)
    assert done.kept == ("replaced-2026-01-01",)
    assert json.dumps(done.as_dict())
