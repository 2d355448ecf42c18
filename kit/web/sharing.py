"""Collections, groups, and who reads what, over HTTP.

Translates, never decides: kit.ops.sharing does, for the person of the request.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from kit.library.collections import Collection, find_collection, list_collections
from kit.ops.sharing import Sharing
from kit.people.accounts import Accounts, User
from kit.people.groups import Group, Groups
from kit.web.replies import Kit, Person, Text, document_json, in_thread

router = APIRouter(prefix="/api/v1")
CollectionId = Annotated[int, Path(ge=1, lt=1 << 63)]
To = Annotated[Text, Query(min_length=1, max_length=100)]


class _Body(BaseModel):
    """An unknown field is an error, so a mistyped one never passes silently."""

    model_config = ConfigDict(extra="forbid")


class NewCollection(_Body):
    name: Text = Field(min_length=1, max_length=100)
    owner: Text = Field(default="", max_length=100)


class NewGrant(_Body):
    """`to` is 'everyone', 'person:NAME', 'group:NAME', or a name that only one of them has."""

    to: Text = Field(min_length=1, max_length=100)
    right: Literal["read", "write"] = "read"


class NewOwner(_Body):
    """A person's name, or 'administrators'."""

    owner: Text = Field(min_length=1, max_length=100)


class NewPlace(_Body):
    collection_id: int = Field(ge=1, lt=1 << 63)


class NewGroup(_Body):
    name: Text = Field(min_length=1, max_length=100)


@router.get("/collections")
async def show_collections(services: Kit, person: Person) -> dict[str, Any]:
    """The collections this person may read or manage, and who reads what is added to each."""
    found = await in_thread(list_collections, services.database, person.id)
    return {"collections": [collection_json(one, person) for one in found]}


@router.post("/collections", status_code=201)
async def create_collection(services: Kit, person: Person, body: NewCollection) -> dict[str, Any]:
    """A new collection that its owner alone reads."""
    sharing = Sharing(services.database)
    made = await in_thread(sharing.create, person, body.name, body.owner)
    return {"collection": collection_json(made, person)}


@router.get("/collections/{collection_id}")
async def show_collection(
    services: Kit, person: Person, collection_id: CollectionId
) -> dict[str, Any]:
    """One collection. 404 if it is not there or not this person's to see."""
    found = await in_thread(find_collection, services.database, person.id, collection_id)
    return {"collection": collection_json(found, person)}


@router.delete("/collections/{collection_id}")
async def remove_collection(
    services: Kit, person: Person, collection_id: CollectionId
) -> dict[str, int]:
    """The collection, which must be empty, is gone with its grants."""
    await in_thread(Sharing(services.database).remove, person, collection_id)
    return {"removed": collection_id}


@router.put("/collections/{collection_id}/grants")
async def grant(
    services: Kit, person: Person, collection_id: CollectionId, body: NewGrant
) -> dict[str, Any]:
    """They may read it, or read and write; only an administrator shares with everyone."""
    sharing = Sharing(services.database)
    found = await in_thread(sharing.grant, person, collection_id, body.to, body.right)
    return {"collection": collection_json(found, person)}


@router.delete("/collections/{collection_id}/grants")
async def revoke(
    services: Kit, person: Person, collection_id: CollectionId, to: To
) -> dict[str, Any]:
    """They have no right of their own in it any more, from the next request on."""
    sharing = Sharing(services.database)
    found = await in_thread(sharing.revoke, person, collection_id, to)
    return {"collection": collection_json(found, person)}


@router.put("/collections/{collection_id}/owner")
async def give(
    services: Kit, person: Person, collection_id: CollectionId, body: NewOwner
) -> dict[str, str]:
    """Another person owns it, or the administrators do; who owned it has no right left."""
    sharing = Sharing(services.database)
    return {"given": await in_thread(sharing.give, person, collection_id, body.owner)}


@router.patch("/documents/{document_id}")
async def move_document(
    services: Kit, person: Person, document_id: str, body: NewPlace
) -> dict[str, Any]:
    """The document lies in another collection, and is read by those who read that one."""
    sharing = Sharing(services.database)
    moved = await in_thread(sharing.move, person, services.library, document_id, body.collection_id)
    services.index.wake()
    return {"document": document_json(moved)}


@router.get("/people")
async def show_people(services: Kit, person: Person) -> dict[str, Any]:
    """The names that one may share with. Everybody who may sign in sees them."""
    users = await in_thread(Accounts(services.database).list)
    groups = await in_thread(Groups(services.database).list)
    return {
        "people": [user.name for user in users if user.id != person.id],
        "groups": [group_json(group) for group in groups],
    }


@router.post("/groups", status_code=201)
async def create_group(services: Kit, person: Person, body: NewGroup) -> dict[str, Any]:
    """A new group without members. For administrators."""
    made = await in_thread(Groups(services.database).add, body.name, actor=person.id)
    return {"group": group_json(made)}


@router.delete("/groups/{name}")
async def remove_group(services: Kit, person: Person, name: str) -> dict[str, str]:
    """The group is gone, with what was shared with it. For administrators."""
    groups = Groups(services.database)
    group = await in_thread(groups.find, name)
    await in_thread(groups.remove, group, actor=person.id)
    return {"removed": group.name}


@router.put("/groups/{name}/members/{user}")
async def add_member(services: Kit, person: Person, name: str, user: str) -> dict[str, Any]:
    """The person reads what is shared with the group. For administrators."""
    groups = Groups(services.database)
    group, member = await in_thread(groups.find, name), await in_thread(_find, services, user)
    await in_thread(groups.add_member, group, member, actor=person.id)
    return {"group": group_json(await in_thread(groups.find, name))}


@router.delete("/groups/{name}/members/{user}")
async def remove_member(services: Kit, person: Person, name: str, user: str) -> dict[str, Any]:
    """The person has nothing of the group's any more. For administrators."""
    groups = Groups(services.database)
    group, member = await in_thread(groups.find, name), await in_thread(_find, services, user)
    await in_thread(groups.remove_member, group, member, actor=person.id)
    return {"group": group_json(await in_thread(groups.find, name))}


def _find(services: Kit, name: str) -> User:
    return services.accounts.find(name)


def group_json(group: Group) -> dict[str, Any]:
    return {"name": group.name, "members": list(group.members)}


def collection_json(one: Collection, person: User) -> dict[str, Any]:
    """A collection as this person sees it: who else reads it, if they may write or manage it."""
    shown = {
        "id": one.id,
        "name": one.name,
        "owner": one.owner or None,
        "is_private": one.owner_id is not None and not one.grants,
        "num_documents": one.num_documents,
        "may_read": one.may_read,
        "may_write": one.may_write,
        "may_manage": one.may_manage,
    }
    if one.may_write or one.may_manage:
        shown["readers"] = one.readers(person.id)
        shown["grants"] = [{"to": str(g.to), "right": g.right} for g in one.grants]
    return shown
