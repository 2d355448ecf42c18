"""The gate's corners that the access machine does not reach: names, old databases, prefixes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kit import schema
from kit.database import Database
from kit.errors import AccessError, NotFound, UsageError
from kit.library.collections import find_collection, list_collections
from kit.library.index.prefixes import ended_prefixes, prefix_name
from kit.library.store import Library
from kit.ops.sharing import Sharing
from kit.people.accounts import LOCAL_USER, User

BOSS = User("boss", "boss", "admin")
ANN, BOB = User("ann", "ann", "staff"), User("bob", "bob", "staff")


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    with database.write() as connection:
        for user in (BOSS, ANN, BOB):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (user.id, user.name, user.role)
            )
    return Library(home, database)


@pytest.fixture
def sharing(database: Database) -> Sharing:
    return Sharing(database)


def add(library: Library, who: User, name: str, **where: object) -> str:
    data = io.BytesIO(name.encode())
    return library.add(data, name, added_by=who.id, **where).id  # type: ignore[arg-type]


def test_a_name_is_resolved_for_the_person(library: Library, sharing: Sharing) -> None:
    """A private and a shared collection of one name are told apart by their owners; searching goes
    through both, adding needs to know which."""
    ours = add(library, BOSS, "ours.md", collection="plans", is_private=False)
    mine = add(library, ANN, "mine.md", collection="plans", is_private=True)
    assert {r.id for r in library.list("ann", "Plans")} == {ours, mine}
    assert {r.id for r in library.list("ann", "ann/plans")} == {mine}
    assert {r.id for r in library.list("ann", "/plans")} == {ours}
    with pytest.raises(NotFound):
        library.list("bob", "ann/plans")
    assert find_collection(library.database, "ann", "plans").owner_id == "ann"
    assert library.get(add(library, ANN, "more.md", collection="plans"), "ann").audience == "owner"
    with pytest.raises(AccessError, match="not add to it"):
        add(library, BOB, "bobs.md", collection="plans")
    sharing.grant(ANN, "plans", "boss", "write")
    with pytest.raises(UsageError, match="2 collections") as several:
        add(library, BOSS, "which.md", collection="plans")
    assert {problem.where for problem in several.value.problems} == {"/plans", "ann/plans"}
    with pytest.raises(UsageError, match="read by others"):
        add(library, ANN, "secret.md", collection="plans", is_private=True)


@pytest.mark.parametrize("is_private", [True, None])
def test_nothing_is_added_for_a_closed_account(
    library: Library, database: Database, is_private: bool | None
) -> None:
    """Refused before it is kept: nobody could ever see it, and nobody would know."""
    with database.write() as connection:
        connection.execute("UPDATE users SET disabled = 1 WHERE id = 'ann'")
    with pytest.raises(AccessError, match="closed"):
        add(library, ANN, "a.md", collection="new", is_private=is_private)
    assert database.rows("SELECT * FROM documents") == []
    assert database.rows("SELECT * FROM collections WHERE owner_id = 'ann'") == []


def test_what_is_new_is_its_makers_or_everyones(library: Library, database: Database) -> None:
    """A name that is no collection yet is made: private for staff, everyone's for an administrator;
    nothing is made under another person's name."""
    assert library.get(add(library, ANN, "a.md", collection="new"), "ann").audience == "owner"
    made = library.get(add(library, BOSS, "b.md", collection="new/er"), "boss")
    assert (made.audience, made.collection) == ("everyone", "new/er")
    with pytest.raises(NotFound):
        add(library, BOSS, "c.md", collection="ann/other")
    with pytest.raises(AccessError, match="only an administrator"):
        add(library, ANN, "d.md", collection="all", is_private=False)


def test_every_change_is_in_the_audit_log(
    library: Library, sharing: Sharing, database: Database
) -> None:
    """Each change names who made it; a right that an administrator takes has a name of its own."""
    sharing.create(ANN, "plans")
    sharing.grant(ANN, "plans", "bob", "read")
    sharing.revoke(ANN, "plans", "person:bob")
    sharing.grant(BOSS, "ann/plans", "boss", "read")
    document = add(library, ANN, "a.md")
    sharing.move(ANN, library, document, "plans")
    sharing.give(ANN, "plans", "bob")
    with pytest.raises(UsageError):
        sharing.remove(BOB, "plans")
    sharing.give(BOSS, "bob/plans", "boss")
    library.remove(document, "boss")
    sharing.remove(BOSS, "plans")
    assert database.rows("SELECT user_id, action FROM audit ORDER BY id") == [
        ("ann", "collection.create"), ("ann", "collection.grant"), ("ann", "collection.revoke"),
        ("boss", "collection.take"), ("ann", "document.move"), ("ann", "collection.give"),
        ("boss", "collection.take"), ("boss", "collection.remove"),
    ]  # fmt: skip


def test_an_administrator_manages_and_does_not_read(library: Library, sharing: Sharing) -> None:
    """They see that a collection is there, whose it is and who reads it; no document, no number."""
    document = add(library, ANN, "mine.md", is_private=True)
    seen = next(c for c in list_collections(library.database, "boss") if c.owner_id == "ann")
    assert (seen.may_manage, seen.may_read, seen.may_write) == (True, False, False)
    assert seen.num_documents is None
    assert not any(c.owner_id == "ann" for c in list_collections(library.database, "bob"))
    with pytest.raises(NotFound):
        library.get(document, "boss")
    sharing.give(BOSS, "ann/library", "administrators")
    with pytest.raises(NotFound):
        library.get(document, "ann")
    with pytest.raises(NotFound):
        library.get(document, "boss")


def test_what_not_everyone_reads_any_more_is_forgotten(library: Library, sharing: Sharing) -> None:
    """What a model keeps of a document for everyone is over when it is not everyone's."""
    document = add(library, LOCAL_USER, "ours.md", collection="plans")
    with library.database.write() as connection:
        connection.execute(
            "INSERT INTO chunks (id, document_id, ordinal, start, end, place, num_tokens, text)"
            " VALUES (1, ?, 0, 0, 1, '', 1, 'x')",
            (document,),
        )
    name = prefix_name(library.database, document, 1)
    assert ended_prefixes(library.database, [name]) == []
    sharing.revoke(LOCAL_USER, "plans", "everyone")
    assert ended_prefixes(library.database, [name]) == [name]


def test_an_older_database_keeps_its_rights(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was everyone's is everyone's and the administrators', what was private stays so, and old
    answers have their sources."""
    known = schema.scripts()
    before = [one for one in known if one.name < "004"]
    monkeypatch.setattr("kit.database.scripts", lambda: before)
    old = Database(home / "kit.db")
    answer = '{"citations": [{"document_id": "d1"}], "closest": [{"document_id": "d2"}]}'
    with old.write() as connection:
        connection.execute("INSERT INTO users VALUES ('ann', 'ann', 'staff', NULL, 0, '')")
        connection.execute("INSERT INTO users VALUES ('boss', 'boss', 'admin', NULL, 0, '')")
        connection.execute("INSERT INTO collections VALUES (1, 'library', NULL), (2, 'own', 'ann')")
        connection.execute("INSERT INTO conversations VALUES ('c', 'ann', 't', '', '', NULL)")
        connection.execute(
            "INSERT INTO messages (conversation_id, role, state, text, answer, created_at)"
            " VALUES ('c', 'assistant', 'complete', 'x', ?, '')",
            (answer,),
        )
    old.close()
    monkeypatch.setattr("kit.database.scripts", lambda: known)
    database = Database(home / "kit.db")
    for reader, readable, writable in (("ann", {1, 2}, {2}), ("boss", {1}, {1})):
        listed = list_collections(database, reader)
        assert {one.id for one in listed if one.may_read} == readable
        assert {one.id for one in listed if one.may_write} == writable
    sources = database.rows("SELECT document_id FROM message_sources ORDER BY 1")
    assert sources == [("d1",), ("d2",)]
    database.close()
