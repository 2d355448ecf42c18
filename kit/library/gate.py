"""The gate: who may read, and who may write, which collection. There is no other one.

Knows the tables of people, groups and grants; no role but the administrator's, no document. Every
statement that shows anything of a document has one of these conditions in itself, so a right that
was taken away is gone from the next statement on. Invariants: who may write may read; an account
that is disabled or removed may neither; what one may not read is the same as what is not there.
"""

from __future__ import annotations

from typing import Any

from kit.database import Database
from kit.errors import AccessError, NotFound, Problem, UsageError

MAX_NAME_CHARS = 100

# Ids of collections; bind :reader to the id of the person who asks.
_GRANTED = """
SELECT collection_id FROM grants WHERE (to_everyone OR user_id = :reader
 OR group_id IN (SELECT group_id FROM group_members WHERE user_id = :reader))"""
READABLE = f"""
SELECT id FROM collections
WHERE (owner_id = :reader OR id IN ({_GRANTED}))
 AND EXISTS (SELECT 1 FROM users WHERE id = :reader AND NOT disabled)"""  # noqa: S608 - constant text
WRITABLE = f"""
SELECT id FROM collections
WHERE (owner_id = :reader OR id IN ({_GRANTED} AND may_write)
 OR (owner_id IS NULL AND id IN ({_GRANTED})
  AND EXISTS (SELECT 1 FROM users WHERE id = :reader AND role = 'admin')))
 AND EXISTS (SELECT 1 FROM users WHERE id = :reader AND NOT disabled)"""  # noqa: S608 - constant text

# Of a collection that a statement calls c.
SHARED = "EXISTS (SELECT 1 FROM grants WHERE collection_id = c.id AND to_everyone)"
AUDIENCE = f"""CASE WHEN {SHARED} THEN 'everyone'
 WHEN c.owner_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM grants WHERE collection_id = c.id)
 THEN 'owner' ELSE 'some' END"""  # noqa: S608 - constant text

# 'NAME' are all of that name; 'OWNER/NAME' that of one owner; '/NAME' the administrators'.
_NAMED = """
(c.name = :name OR (SELECT coalesce(max(u.name), '') FROM users u WHERE u.id = c.owner_id)
 || '/' || c.name = :name COLLATE NOCASE)"""


def readable_ids(database: Database, reader: str, name: str | None = None) -> list[int]:
    """The collections this person may read, all or those of a name ('NAME' or 'OWNER/NAME').

    Raises: NotFound if `name` names none of them.
    """
    rows = database.rows(
        f"SELECT c.id FROM collections c WHERE c.id IN ({READABLE})"  # noqa: S608 - constant text
        f" AND (:name IS NULL OR {_NAMED}) ORDER BY c.id",
        {"reader": reader, "name": name},
    )
    if name is not None and not rows:
        raise NotFound(f"there is no collection {name!r}", hint="see them: kit collection list")
    return [row[0] for row in rows]


def collection_to_write(
    connection: Any, writer: str, wanted: str | int, is_private: bool | None
) -> int:
    """Within a transaction: where a person's new documents go, by the collection's id or name.

    Raises: NotFound, AccessError, UsageError as the functions that follow.
    """
    if isinstance(wanted, int):
        return id_to_write(connection, writer, wanted)
    if is_private is None:
        return named_to_write(connection, writer, wanted)
    return (own_to_write if is_private else shared_to_write)(connection, writer, wanted)


def may_change_now(connection: Any, document_id: str, person: str) -> bool:
    """Within a transaction: whether the document is there for the person still, who may change it.

    Raises: AccessError unless they added it or may write its collection.
    """
    row = _one(
        connection,
        f"SELECT d.name, c.name, d.added_by = :reader OR c.id IN ({WRITABLE})"  # noqa: S608
        " FROM documents d JOIN collections c ON c.id = d.collection_id"
        f" WHERE d.id = :id AND c.id IN ({READABLE})",
        {"id": document_id, "reader": person},
    )
    if row is not None and not row[2]:
        raise AccessError(
            f"{row[0]} is changed by who added it and by who writes {row[1]}",
            hint="ask its owner or an administrator",
        )
    return row is not None


def own_to_write(connection: Any, writer: str, name: str) -> int:
    """Within a transaction: the person's own collection of that name, which nobody else reads;
    made if need be. Raises: UsageError if others read it; AccessError if the account is closed."""
    if not _one(connection, "SELECT 1 FROM users WHERE id = ? AND NOT disabled", (writer,)):
        raise AccessError("this account is closed, so nothing can be added for it")
    collection_id = _made(connection, clean_name(name), writer)
    if _one(connection, "SELECT 1 FROM grants WHERE collection_id = ?", (collection_id,)):
        raise UsageError(
            f"your collection {name} is read by others",
            hint="choose another collection for what only you shall read",
        )
    return collection_id


def shared_to_write(connection: Any, writer: str, name: str) -> int:
    """Within a transaction: the collection of that name that everyone reads, made if need be.

    Raises: AccessError unless the person may write it, and make it: administrators may.
    """
    name = clean_name(name)
    find = "SELECT id FROM collections WHERE name = ? AND owner_id IS NULL"
    if not _one(connection, find, (name,)):
        require_may_share_with_everyone(connection, writer)
        collection_id = _made(connection, name, None)
        connection.execute(
            "INSERT INTO grants (collection_id, to_everyone) VALUES (?, 1)", (collection_id,)
        )
    [(collection_id,)] = connection.execute(find, (name,))
    shared = f"SELECT 1 FROM collections c WHERE c.id = ? AND {SHARED}"  # noqa: S608 - constant text
    if not _one(connection, shared, (collection_id,)):
        raise UsageError(
            f"not everyone reads the collection {name}", hint="choose another collection"
        )
    return id_to_write(connection, writer, collection_id)


def named_to_write(connection: Any, writer: str, name: str) -> int:
    """Within a transaction: the one collection of that name ('NAME' or 'OWNER/NAME') that the
    person may write.

    If there is none of the name, it is made: for everyone by an administrator, else for oneself.
    Raises: AccessError if they may only read it; UsageError if there are several.
    """
    name = " ".join(name.split())
    bindings = {"reader": writer, "name": name}
    found = list(
        connection.execute(
            "SELECT c.id, coalesce(u.name, '') || '/' || c.name FROM collections c"  # noqa: S608
            f" LEFT JOIN users u ON u.id = c.owner_id WHERE c.id IN ({WRITABLE}) AND {_NAMED}",
            bindings,
        )
    )
    if len(found) == 1:
        return int(found[0][0])
    if found:
        raise UsageError(
            f"you may write {len(found)} collections called {name}",
            hint="name one with its owner",
            problems=[Problem(shown, "") for _, shown in found],
        )
    readable = f"SELECT 1 FROM collections c WHERE c.id IN ({READABLE}) AND {_NAMED}"  # noqa: S608
    if _one(connection, readable, bindings):
        raise _read_only(name)
    if _one(connection, "SELECT 1 FROM users WHERE name = ?", (name.partition("/")[0],)) and (
        "/" in name  # an owner was named; nothing is made under another's name
    ):
        raise NotFound(f"there is no collection {name!r}", hint="see them: kit collection list")
    if is_admin(connection, writer):
        return shared_to_write(connection, writer, name)
    return own_to_write(connection, writer, name)


def id_to_write(connection: Any, writer: str, collection_id: int) -> int:
    """Within a transaction: the collection, which the person may write.

    Raises: NotFound if it is not there for them; AccessError if they may only read it.
    """
    bindings = {"reader": writer, "id": collection_id}
    if _one(connection, f"SELECT 1 WHERE :id IN ({WRITABLE})", bindings):
        return collection_id
    name = _one(
        connection,
        f"SELECT name FROM collections WHERE id = :id AND id IN ({READABLE})",  # noqa: S608
        bindings,
    )
    if name is None:
        raise NotFound("there is no such collection", hint="see them: kit collection list")
    raise _read_only(name[0])


def require_may_share_with_everyone(connection: Any, person: str) -> None:
    """Raise AccessError unless the person may let everyone read something.

    Threat: a poisoned document that everyone reads changes what everybody is answered.
    """
    if not is_admin(connection, person):
        raise AccessError(
            "only an administrator may add documents for everyone",
            hint="add them for yourself or share them with a group, or ask an administrator",
        )


def is_admin(connection: Any, person: str) -> bool:
    """Whether the account is there, enabled, and an administrator's."""
    sql = "SELECT 1 FROM users WHERE id = ? AND role = 'admin' AND NOT disabled"
    return _one(connection, sql, (person,)) is not None


def clean_name(name: str) -> str:
    """A collection's name as it is kept. Raises: UsageError if nothing is left of it."""
    cleaned = " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split())
    if not cleaned:
        raise UsageError("a collection needs a name")
    if len(cleaned) > MAX_NAME_CHARS:
        raise UsageError(f"a collection's name has at most {MAX_NAME_CHARS} characters")
    return cleaned


def _made(connection: Any, name: str, owner_id: str | None) -> int:
    connection.execute(
        "INSERT OR IGNORE INTO collections (name, owner_id) VALUES (?, ?)", (name, owner_id)
    )
    [(collection_id,)] = connection.execute(
        "SELECT id FROM collections WHERE name = ? AND owner_id IS ?", (name, owner_id)
    )
    return int(collection_id)


def _one(connection: Any, sql: str, bindings: Any) -> Any:
    """The first row, or None."""
    return next(iter(connection.execute(sql, bindings)), None)


def _read_only(name: str) -> AccessError:
    return AccessError(
        f"you may read the collection {name}, but not add to it",
        hint="ask its owner or an administrator",
    )
