"""Sharing collections: names to ids, the change, and its audit entry in one transaction.

Knows people and collections, no page and no command. What a person may do is decided by
kit.library.collections. Invariant: there is no change of access without its audit entry, and a
right that somebody takes for themselves, over the owner's head, is named 'collection.take'.
"""

from __future__ import annotations

from typing import Any

from kit.database import Database
from kit.errors import UsageError
from kit.library import collections
from kit.library.collections import Collection, Grantee, Right, find_collection
from kit.library.documents import DocumentRecord
from kit.library.store import Library
from kit.people import audit
from kit.people.accounts import Accounts, User
from kit.people.groups import Groups

EVERYONE, ADMINISTRATORS = "everyone", "administrators"
RIGHTS: tuple[Right, ...] = ("read", "write")


class Sharing:
    """Changes who reads what; each as `actor`, who may own the collection or be an administrator.

    `wanted` is a collection's id, 'NAME' or 'OWNER/NAME'. Every method raises NotFound for what
    is not there for the actor, AccessError for what they may not change.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accounts = Accounts(database)
        self._groups = Groups(database)

    def create(self, actor: User, name: str, owner: str = "") -> Collection:
        """A new collection that its owner alone reads: the actor, or for an administrator whoever
        is named. Raises: UsageError."""
        owned_by = self._accounts.find(owner) if owner else actor
        if owned_by.id != actor.id and not actor.is_admin:
            raise UsageError("only an administrator makes a collection for another person")
        with self._database.write() as connection:
            number = collections.create(connection, name, owned_by.id)
            audit.append(connection, actor.id, "collection.create", name, f"for {owned_by.name}")
        return self._seen(actor, number)

    def grant(self, actor: User, wanted: str | int, to: str, right: str) -> Collection:
        """`to` ('everyone', 'person:NAME', 'group:NAME' or a name) may read or write."""
        if right not in RIGHTS:
            raise UsageError(f"no right {right!r}", hint=f"the rights are: {', '.join(RIGHTS)}")
        found = find_collection(self._database, actor.id, wanted, to_manage=True)
        grantee = self.grantee(to)
        is_taken = grantee.id == actor.id and found.owner_id != actor.id
        with self._database.write() as connection:
            collections.grant(connection, actor.id, found.id, grantee, _right(right))
            action = "collection.take" if is_taken else "collection.grant"
            audit.append(connection, actor.id, action, found.full_name, f"{grantee} {right}")
        return self._seen(actor, found.id)

    def revoke(self, actor: User, wanted: str | int, to: str) -> Collection:
        """`to` has no right of its own any more."""
        found = find_collection(self._database, actor.id, wanted, to_manage=True)
        grantee = self.grantee(to)
        with self._database.write() as connection:
            collections.revoke(connection, actor.id, found.id, grantee)
            audit.append(connection, actor.id, "collection.revoke", found.full_name, str(grantee))
        return self._seen(actor, found.id)

    def give(self, actor: User, wanted: str | int, owner: str) -> str:
        """Another person owns it, or 'administrators' do; returns its new full name."""
        found = find_collection(self._database, actor.id, wanted, to_manage=True)
        person = None if owner == ADMINISTRATORS else self._accounts.find(owner)
        grantee = Grantee("person", person.id, person.name) if person else None
        is_taken = person is not None and person.id == actor.id
        with self._database.write() as connection:
            collections.give(connection, actor.id, found.id, grantee)
            action = "collection.take" if is_taken else "collection.give"
            audit.append(connection, actor.id, action, found.full_name, f"to {owner}")
        return f"{person.name if person else ''}/{found.name}"

    def remove(self, actor: User, wanted: str | int) -> Collection:
        """The collection is gone. Raises: UsageError while it has documents."""
        found = find_collection(self._database, actor.id, wanted, to_manage=True)
        with self._database.write() as connection:
            collections.remove(connection, actor.id, found.id)
            audit.append(connection, actor.id, "collection.remove", found.full_name)
        return found

    def move(
        self,
        actor: User,
        library: Library,
        document_id: str,
        wanted: str | int,
        *,
        is_private: bool | None = None,
    ) -> DocumentRecord:
        """The document lies in that collection, or with `is_private` in the actor's own of that
        name, or everyone's, made if need be. Raises: UsageError if it is there already."""
        before = library.get(document_id, actor.id)
        if is_private is None:
            target = find_collection(self._database, actor.id, wanted)
            wanted, full_name = target.id, target.full_name
        else:
            full_name = f"{actor.name if is_private else ''}/{wanted}"
        source = find_collection(self._database, actor.id, before.collection_id)
        detail = f"{source.full_name} to {full_name}"

        def note(connection: Any) -> None:
            audit.append(connection, actor.id, "document.move", document_id, detail)

        return library.move(document_id, actor.id, wanted, is_private=is_private, noting=note)

    def grantee(self, text: str) -> Grantee:
        """Whom 'everyone', 'person:NAME', 'group:NAME' or 'NAME' means.

        Raises: NotFound; UsageError if a plain name is both a person's and a group's.
        """
        if text == EVERYONE:
            return Grantee("everyone")
        kind, _, name = text.partition(":")
        if kind == "group" and name:
            group = self._groups.find(name)
            return Grantee("group", group.id, group.name)
        if kind == "person" and name:
            user = self._accounts.find(name)
            return Grantee("person", user.id, user.name)
        if any(group.name.lower() == text.lower() for group in self._groups.list()):
            if any(user.name.lower() == text.lower() for user in self._accounts.list()):
                raise UsageError(
                    f"{text!r} is a person and a group", hint=f"say person:{text} or group:{text}"
                )
            return self.grantee(f"group:{text}")
        return self.grantee(f"person:{text}")

    def _seen(self, actor: User, number: int) -> Collection:
        return find_collection(self._database, actor.id, number)


def _right(text: str) -> Right:
    return "write" if text == "write" else "read"
