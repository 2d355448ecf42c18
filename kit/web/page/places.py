"""Where a person may put documents, and who reads them there.

Knows collections, no widget; may offer a place, but whether it is written the gate decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import AccessError, UsageError
from kit.library.collections import Collection
from kit.people.accounts import User

PRIVATE, SHARED = "Only me", "Everyone here"  # places that are made when first used
OWN_NAME, SHARED_NAME = "My documents", "library"
ONLY_YOU, EVERYONE_READS = "only you", "everyone here"


@dataclass(frozen=True)
class Place:
    """Where documents can go; `label` says who reads them there."""

    value: str
    label: str
    collection_id: int | None = None
    """None for a place that is made when it is first used."""


def places_of(collections: Sequence[Collection], user: User) -> list[Place]:
    """The places that a person may add to, their own first; an administrator's first is
    everyone's."""
    writable = [one for one in collections if one.may_write]
    own = [one for one in writable if one.owner_id == user.id]
    rest = [one for one in writable if one.owner_id != user.id]
    found = [_place(one, user) for one in [*own, *rest]]
    if not any(one.name.lower() == OWN_NAME.lower() for one in own):
        found.insert(0, Place(PRIVATE, f"{OWN_NAME} ({ONLY_YOU})"))
    house = [one for one in rest if one.owner_id is None]
    if user.is_admin and not any(one.name.lower() == SHARED_NAME for one in house):
        found.append(Place(SHARED, f"{SHARED_NAME} ({EVERYONE_READS})"))
    shared = [place for place in found if _is_everyones(place)] if user.is_admin else []
    shared.sort(key=lambda place: place.value != SHARED)  # 'library' before any other, as 'samples'
    return [*shared[:1], *(place for place in found if place not in shared[:1])]


def _is_everyones(place: Place) -> bool:
    return place.label.endswith(f"({EVERYONE_READS})")


def _place(one: Collection, user: User) -> Place:
    readers = one.readers(user.id)
    if one.owner_id == user.id and one.name == OWN_NAME and readers == ONLY_YOU:
        return Place(PRIVATE, f"{OWN_NAME} ({ONLY_YOU})", one.id)
    if one.owner_id is None and one.name == SHARED_NAME and readers == EVERYONE_READS:
        return Place(SHARED, f"{SHARED_NAME} ({EVERYONE_READS})", one.id)
    return Place(str(one.id), f"{one.name} ({readers})", one.id)


def place_arguments(value: str, user: User) -> dict[str, Any]:
    """What `Library.add` is told of the place that a person chose. Raises: UsageError,
    AccessError."""
    if value == PRIVATE:
        return {"collection": OWN_NAME, "is_private": True}
    if value == SHARED:
        if not user.is_admin:
            raise AccessError(
                "only an administrator may add documents for everyone",
                hint="add them for yourself, or ask an administrator",
            )
        return {"collection": SHARED_NAME, "is_private": False}
    if value.isascii() and value.isdigit() and len(value) < 19:
        return {"collection_id": int(value)}
    raise UsageError("choose where the documents go")
