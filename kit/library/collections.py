"""Collections: whose they are, and with whom they are shared.

Knows the tables, no names of people beyond what is shown. Changing functions work within the
caller's transaction, so that the audit entry stands or falls with the change; whether the person
may manage the collection is decided here. Invariant: a collection has one owner, a person or the
administrators, who need no grant; managing one gives no right to read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from kit.database import Database
from kit.errors import AccessError, NotFound, Problem, UsageError
from kit.library.gate import (
    READABLE,
    WRITABLE,
    clean_name,
    is_admin,
    require_may_share_with_everyone,
)

Right = Literal["read", "write"]
HOUSE = "the administrators"  # as the owner of a collection that no person owns


@dataclass(frozen=True)
class Grantee:
    """To whom a right is given: everyone, or the group or person of that id."""

    kind: Literal["everyone", "group", "person"]
    id: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind == "everyone" else f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Grant:
    """A right that somebody has."""

    to: Grantee
    right: Right
    """Who may write may read."""


@dataclass(frozen=True)
class Collection:
    """A collection as one person sees it."""

    id: int
    name: str
    owner_id: str | None
    owner: str
    """The name of the owner, '' for the administrators."""
    may_read: bool
    may_write: bool
    may_manage: bool
    """Share it, hand it on, take it away."""
    num_documents: int | None
    """None where the person may not read it."""
    grants: tuple[Grant, ...] = ()
    """Everyone first, then groups, then persons."""

    @property
    def full_name(self) -> str:
        """'OWNER/NAME': the name that stands for this one alone."""
        return f"{self.owner}/{self.name}"

    def readers(self, reader_id: str) -> str:
        """Who reads what is added, for a person: 'only you', 'everyone here', 'you, group hr'."""
        if any(grant.to.kind == "everyone" for grant in self.grants):
            return "everyone here"
        owner = {None: "", reader_id: "you"}.get(self.owner_id, self.owner)
        shared = [
            f"group {grant.to.name}" if grant.to.kind == "group" else grant.to.name
            for grant in self.grants
            if grant.to.id != reader_id
        ]
        is_granted = len(shared) < len(self.grants)
        shown = [owner, *(["you"] if is_granted and owner != "you" else []), *shared]
        shown = [name for name in shown if name]
        if len(shown) <= 1:
            return f"only {shown[0]}" if shown else "nobody"
        return ", ".join(shown)


def list_collections(database: Database, reader: str) -> list[Collection]:
    """Those that the person may read or manage, by name; of the others not even the name."""
    rows = database.rows(_LISTED + " ORDER BY c.name, c.id", {"reader": reader})
    grants = _grants(database, [row[0] for row in rows])
    return [replace(_collection(row), grants=grants.get(row[0], ())) for row in rows]


def find_collection(
    database: Database, reader: str, wanted: str | int, *, to_manage: bool = False
) -> Collection:
    """The one collection of that id, 'NAME' or 'OWNER/NAME' that the person may read or manage.

    Of several of one name, one's own is meant. Raises: NotFound; UsageError if several are left;
    AccessError where it is to be managed and they may only read it.
    """
    listed = list_collections(database, reader)
    found = [one for one in listed if _is_meant(one, wanted)]
    if to_manage and any(one.may_manage for one in found):
        found = [one for one in found if one.may_manage]
    if len(found) > 1:
        found = [one for one in found if one.owner_id == reader] or found
    if not found:
        raise NotFound(f"there is no collection {wanted!r}", hint="see them: kit collection list")
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} collections are called {wanted}",
            hint="name one with its owner",
            problems=[Problem(one.full_name, f"of {one.owner or HOUSE}") for one in found],
        )
    if to_manage and not found[0].may_manage:
        raise AccessError(
            f"{found[0].name} is shared by its owner",
            hint=f"ask {found[0].owner or 'an administrator'}",
        )
    return found[0]


def _is_meant(one: Collection, wanted: str | int) -> bool:
    if isinstance(wanted, int):
        return one.id == wanted
    name = " ".join(wanted.split()).casefold()
    return name in (one.name.casefold(), one.full_name.casefold())


# Changes, within a transaction -----------------------------------------------------------------


def create(connection: Any, name: str, owner_id: str) -> int:
    """A new, empty collection that its owner alone reads. Raises: UsageError if they have one."""
    name = clean_name(name)
    connection.execute(
        "INSERT OR IGNORE INTO collections (name, owner_id) VALUES (?, ?)", (name, owner_id)
    )
    if connection.changes() == 0:
        raise UsageError(f"there is a collection {name!r} of this owner already")
    return int(connection.last_insert_rowid())


def grant(connection: Any, actor: str, collection_id: int, to: Grantee, right: Right) -> None:
    """They may read, or read and write; a right they had before is replaced.

    Raises: NotFound, AccessError unless `actor` may manage it, or share with everyone;
    UsageError for its owner.
    """
    owner_id = _require_may_manage(connection, actor, collection_id)
    if to.kind == "everyone":
        require_may_share_with_everyone(connection, actor)
    if to.kind == "person" and to.id == owner_id:
        raise UsageError(f"{to.name} owns the collection and needs no grant")
    _delete_grant(connection, collection_id, to)
    connection.execute(
        "INSERT INTO grants (collection_id, user_id, group_id, to_everyone, may_write)"
        " VALUES (?, ?, ?, ?, ?)",
        (collection_id, *_columns(to), int(right == "write")),
    )


def revoke(connection: Any, actor: str, collection_id: int, to: Grantee) -> None:
    """They have no right any more, from the next request on, but what other grants give.

    Raises: NotFound, also if they had none; AccessError unless `actor` may manage it.
    """
    owner_id = _require_may_manage(connection, actor, collection_id)
    if not _delete_grant(connection, collection_id, to):
        if to.kind == "person" and to.id == owner_id:
            raise UsageError(
                f"{to.name} owns the collection", hint="hand it on: kit collection give"
            )
        raise NotFound(f"{to} has no right of its own in this collection")


def give(connection: Any, actor: str, collection_id: int, owner: Grantee | None) -> None:
    """Another person owns it, or the administrators do (None); who owned it has no right left.

    Raises: NotFound; AccessError unless `actor` may manage it; UsageError if the new owner has one
    of that name, or is disabled.
    """
    _require_may_manage(connection, actor, collection_id)
    if owner is not None:
        disabled = "SELECT 1 FROM users WHERE id = ? AND disabled"
        if next(iter(connection.execute(disabled, (owner.id,))), None):
            raise UsageError(f"the account {owner.name} is disabled")
        _delete_grant(connection, collection_id, owner)
    owner_id = owner.id if owner else None
    connection.execute(
        "UPDATE OR IGNORE collections SET owner_id = ? WHERE id = ?", (owner_id, collection_id)
    )
    if connection.changes() == 0:
        shown = owner.name if owner else HOUSE
        raise UsageError(f"{shown} owns a collection of that name already")


def remove(connection: Any, actor: str, collection_id: int) -> None:
    """The collection and its grants are gone.

    Raises: NotFound; AccessError unless `actor` may manage it; UsageError while it has documents.
    """
    _require_may_manage(connection, actor, collection_id)
    count = "SELECT count(*) FROM documents WHERE collection_id = ?"
    [(num_documents,)] = connection.execute(count, (collection_id,))
    if num_documents:
        raise UsageError(
            "the collection still has documents", hint="remove or move its documents first"
        )
    connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))


def _require_may_manage(connection: Any, actor: str, collection_id: int) -> str | None:
    """The collection's owner. Raises: NotFound, AccessError."""
    sql = f"SELECT owner_id, id IN ({READABLE}) FROM collections WHERE id = :id"  # noqa: S608
    bindings = {"reader": actor, "id": collection_id}
    owner_id, may_read = next(iter(connection.execute(sql, bindings)), (None, None))
    is_owner = owner_id == actor and bool(may_read)  # a disabled owner reads nothing
    if may_read is None or not (may_read or is_admin(connection, actor)):
        raise NotFound("there is no such collection", hint="see them: kit collection list")
    if not (is_owner or is_admin(connection, actor)):
        raise AccessError("only its owner or an administrator shares a collection")
    return None if owner_id is None else str(owner_id)


def _delete_grant(connection: Any, collection_id: int, to: Grantee) -> bool:
    """Whether there was one."""
    connection.execute(
        "DELETE FROM grants WHERE collection_id = ? AND user_id IS ? AND group_id IS ?"
        " AND to_everyone = ?",
        (collection_id, *_columns(to)),
    )
    return bool(connection.changes())


def _columns(to: Grantee) -> tuple[str | None, str | None, int]:
    """(user_id, group_id, to_everyone)."""
    user_id = to.id if to.kind == "person" else None
    return user_id, to.id if to.kind == "group" else None, int(to.kind == "everyone")


_LISTED = f"""
SELECT c.id, c.name, c.owner_id, coalesce(u.name, ''), c.id IN ({READABLE}) AS may_read,
 c.id IN ({WRITABLE}), (c.owner_id IS :reader AND c.id IN ({READABLE})) OR me.is_admin,
 (SELECT count(*) FROM documents d WHERE d.collection_id = c.id)
FROM collections c LEFT JOIN users u ON u.id = c.owner_id,
 (SELECT EXISTS (SELECT 1 FROM users WHERE id = :reader AND role = 'admin' AND NOT disabled)
  AS is_admin) me
WHERE may_read OR me.is_admin"""  # noqa: S608 - constant text


def _collection(row: Any) -> Collection:
    number, name, owner_id, owner, may_read, may_write, may_manage, num_documents = row
    rights = (bool(may_read), bool(may_write), bool(may_manage))
    return Collection(number, name, owner_id, owner, *rights, num_documents if may_read else None)


def _grants(database: Database, ids: list[int]) -> dict[int, tuple[Grant, ...]]:
    rows = database.rows(
        "SELECT g.collection_id, g.to_everyone, g.group_id, t.name, g.user_id, u.name, g.may_write"
        " FROM grants g LEFT JOIN users u ON u.id = g.user_id"
        " LEFT JOIN user_groups t ON t.id = g.group_id"
        " WHERE g.collection_id IN (SELECT value FROM json_each(?))"
        " ORDER BY g.to_everyone DESC, t.name IS NULL, t.name, u.name",
        (json.dumps(ids),),
    )
    found: dict[int, tuple[Grant, ...]] = {}
    for number, to_everyone, group_id, group, user_id, user, may_write in rows:
        if to_everyone:
            to = Grantee("everyone")
        else:
            to = Grantee("group", group_id, group) if group_id else Grantee("person", user_id, user)
        made = Grant(to, "write" if may_write else "read")
        found[number] = (*found.get(number, ()), made)
    return found
