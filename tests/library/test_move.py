"""A document that is moved from one collection to another: who finds it, and what obeys at once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.answer.conversations.closed import UNAVAILABLE
from kit.answer.conversations.conversations import Conversations
from kit.answer.events import Answer, Citation, Timings
from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import AccessError, NotFound, UsageError
from kit.library.collections import Collection, find_collection
from kit.library.index.lexical import search_lexical
from kit.library.index.prefixes import ended_prefixes
from kit.library.index.vectors import VectorIndex
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.ops.sharing import Sharing
from kit.people.accounts import User
from kit.testing import FakeEmbedder

BOSS = User("boss", "boss", "admin")
ANN, BOB, CYN = (User(name, name, "staff") for name in ("ann", "bob", "cyn"))


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    with database.write() as connection:
        for user in (BOSS, ANN, BOB, CYN):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (user.id, user.name, user.role)
            )
    return Library(home, database)


@pytest.fixture
def sharing(database: Database) -> Sharing:
    return Sharing(database)


@pytest.fixture
def shelves(library: Library, sharing: Sharing) -> tuple[Collection, Collection]:
    """Two of ann's: 'old', which bob reads, and 'new', which cyn reads."""
    made = []
    for name, reader in (("old", "bob"), ("new", "cyn")):
        sharing.create(ANN, name)
        made.append(sharing.grant(ANN, name, reader, "read"))
    return made[0], made[1]


def add(library: Library, text: str, name: str, collection_id: int, by: User = ANN) -> str:
    """Added and read."""
    data = io.BytesIO(text.encode())
    made = library.add(data, name, added_by=by.id, collection_id=collection_id)
    read_all(library)
    return made.id


def read_all(library: Library) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    ingestor.close()


def found(library: Library, words: str, reader: User) -> list[str]:
    """The names of the documents whose passages match."""
    visible = library.visible_collection_ids(reader.id)
    hits = search_lexical(library.database, words, visible, 50)
    return [hit.document for hit in library.hits(hits, reader.id)]


def test_it_is_found_by_the_new_readers_and_not_by_the_old(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection], database: Database
) -> None:
    """In the same moment, with its passages unread again; the audit says from where to where."""
    document = add(library, "the heron nests in May", "birds.md", shelves[0].id)
    before = database.rows("SELECT id, text FROM chunks")
    assert found(library, "heron", BOB) == ["birds.md"]
    moved = sharing.move(ANN, library, document, "new")
    assert (moved.collection, moved.collection_id) == ("new", shelves[1].id)
    assert found(library, "heron", BOB) == []
    assert found(library, "heron", CYN) == found(library, "heron", ANN) == ["birds.md"]
    with pytest.raises(NotFound):
        library.original(document, "bob")
    assert database.rows("SELECT id, text FROM chunks") == before
    told = database.rows("SELECT user_id, subject, detail FROM audit ORDER BY id DESC LIMIT 1")
    assert told == [("ann", document, "ann/old to ann/new")]


@pytest.mark.parametrize("lacking", ["old", "new"])
def test_both_collections_have_to_be_ones_to_change(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection], lacking: str
) -> None:
    """Who may write one of the two and only read the other moves nothing between them."""
    for name in ("old", "new"):
        sharing.grant(ANN, name, "cyn", "read" if name == lacking else "write")
    document = add(library, "the heron", "birds.md", shelves[0].id)
    with pytest.raises(AccessError):
        sharing.move(CYN, library, document, shelves[1].id)
    assert library.get(document, "ann").collection == "old"
    sharing.grant(ANN, lacking, "cyn", "write")
    assert sharing.move(CYN, library, document, shelves[1].id).collection == "new"


def test_a_collection_of_ones_own_is_made_for_it(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection], database: Database
) -> None:
    """A person's own place, and an administrator's for everyone, need not be there before."""
    document = add(library, "the heron", "birds.md", shelves[0].id)
    moved = sharing.move(ANN, library, document, "My documents", is_private=True)
    assert moved.audience == "owner"
    with pytest.raises(AccessError, match="only an administrator"):
        sharing.move(ANN, library, document, "library", is_private=False)
    sharing.create(BOSS, "desk")
    desk = find_collection(database, "boss", "desk")
    other = add(library, "the plover", "plover.md", desk.id, BOSS)
    assert sharing.move(BOSS, library, other, "library", is_private=False).audience == "everyone"
    told = database.rows("SELECT detail FROM audit WHERE action = 'document.move' ORDER BY id")
    assert [row[0] for row in told] == ["ann/old to ann/My documents", "boss/desk to /library"]


def test_what_a_model_keeps_of_it_is_over_with_the_right(
    library: Library, sharing: Sharing, database: Database
) -> None:
    """A pinned document stays pinned between two collections of everyone's, and is forgotten when
    it moves to one that some read; the change of the library is one that the page looks for."""
    from kit.web.forgetting import last_change

    for name in ("ours", "ours too", "closed"):
        sharing.create(BOSS, name)
    for name in ("ours", "ours too"):
        sharing.grant(BOSS, name, "everyone", "read")
    here = find_collection(database, "boss", "ours")
    document = add(library, "the heron", "birds.md", here.id, BOSS)
    kept = library.whole(document, "bob").prefix
    sharing.move(BOSS, library, document, "ours too")
    assert ended_prefixes(database, [kept]) == []
    assert library.whole(document, "bob").prefix == kept
    assert all(hit.is_shared for hit in library.whole(document, "bob").hits)
    seen = last_change(database)
    sharing.move(BOSS, library, document, "closed")
    assert ended_prefixes(database, [kept]) == [kept]
    assert last_change(database) > seen
    assert not any(hit.is_shared for hit in library.whole(document, "boss").hits)


def test_old_answers_close_and_open_with_it(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection], database: Database
) -> None:
    """A reader of the old collection is told no word of it any more; who may read it there still
    has the answer with its citation, whose passage opens."""
    document = add(library, "the heron nests in May", "birds.md", shelves[0].id)
    conversations, chats = Conversations(database), {}
    cited = Citation(1, "birds.md", document, None, "", 0, 9, "the heron")
    answer = Answer("“the heron” [1]", True, 1, (), (cited,), Timings(0.1, 0.1, 0.1))
    for user in (ANN, BOB):
        chats[user.id] = conversations.create(user.id).id
        number = conversations.begin(chats[user.id], user.id, "What nests?")
        conversations.add_sources(number, [document])
        conversations.store(number, "complete", answer.text, answer)

    def told(user: User) -> str:
        return conversations.messages(chats[user.id], user.id)[-1].text

    assert told(ANN) == told(BOB) == answer.text
    sharing.move(ANN, library, document, "new")
    assert told(ANN) == answer.text
    assert library.text(document, "ann").text[cited.start : cited.end] == cited.text
    assert told(BOB) == UNAVAILABLE
    sharing.move(ANN, library, document, "old")
    assert told(BOB) == answer.text


def test_the_same_file_there_answers_for_it(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection], database: Database
) -> None:
    """Under another name it is a duplicate there, found once; under its own name it stays."""
    there = add(library, "the heron", "heron.md", shelves[1].id)
    document = add(library, "the heron", "birds.md", shelves[0].id)
    moved = sharing.move(ANN, library, document, "new")
    assert (moved.state, moved.duplicate_of, moved.related) == ("duplicate", there, "heron.md")
    assert found(library, "heron", CYN) == ["heron.md"]
    assert database.rows("SELECT DISTINCT document_id FROM chunks") == [(there,)]
    assert library.text(document, "cyn").text == "the heron"
    library.remove(there, "ann")
    assert found(library, "heron", CYN) == ["birds.md"]
    double = add(library, "the heron", "double.md", shelves[1].id)
    with pytest.raises(UsageError, match="duplicate"):
        sharing.move(ANN, library, double, "old")
    twin = add(library, "the heron", "birds.md", shelves[0].id)
    with pytest.raises(UsageError, match="already"):
        sharing.move(ANN, library, twin, "new")
    assert library.get(twin, "ann").collection == "old"


def test_of_one_name_the_newer_answers_there(
    library: Library, sharing: Sharing, shelves: tuple[Collection, Collection]
) -> None:
    """An older version that comes to a newer one is listed as replaced, and the other way round."""
    old = add(library, "one heron", "birds.md", shelves[0].id)
    new = add(library, "two herons", "birds.md", shelves[1].id)
    newest = add(library, "three herons", "birds.md", shelves[0].id)
    sharing.move(ANN, library, newest, "new")
    assert library.get(newest, "ann").state == "indexed"
    assert (library.get(new, "ann").state, library.get(new, "ann").superseded_by) == (
        "superseded",
        newest,
    )
    assert library.get(old, "ann").superseded_by is None  # it names nothing outside


@pytest.fixture
def index(home: Path, database: Database) -> Callable[[], VectorIndex]:
    model = FakeEmbedder()
    return lambda: VectorIndex(home, database, model=model.model, dim=model.dim)


@pytest.mark.e2e
def test_chroma_follows(
    library: Library,
    sharing: Sharing,
    shelves: tuple[Collection, Collection],
    index: Callable[[], VectorIndex],
) -> None:
    """The real dense index keeps the passage's new collection, so its own filter finds it there and
    nowhere else; before it has followed, nothing is opened by what it still has."""
    document = add(library, "the heron nests in May", "birds.md", shelves[0].id)
    query = FakeEmbedder().embed_queries(["heron"])[0]
    opened = index()
    try:
        opened.follow()
        sharing.move(ANN, library, document, "new")
        assert opened.search(query, [shelves[0].id], 9) == []
        opened.follow()
        assert opened._store is not None
        ids = {shelf.name: opened._store.query(query, [shelf.id], 9) for shelf in shelves}
        assert ids["old"] == []
        assert [hit.document_id for hit in library.hits([(ids["new"][0], 1.0)], "cyn")] == [
            document
        ]
    finally:
        opened.close()
