"""Collections on the documents page: where documents go, and the plain form that shares.

Translates, never decides: kit.ops.sharing does. Invariant: names are escaped where they are set in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.library.collections import HOUSE, Collection, find_collection, list_collections
from kit.ops.sharing import Sharing
from kit.people.accounts import LOCAL_USER, User
from kit.web.page.asked import explained, number_of, text_of, user_of
from kit.web.page.pieces import tool
from kit.web.page.places import Place, place_arguments, places_of
from kit.web.page.text import escape
from kit.web.page.widgets import gr
from kit.web.services import Services

MAX_NAME_CHARS = 100


class SharingPanel:
    """Handlers of the form; one object serves everybody and keeps nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sharing = Sharing(services.database)

    def places(self, user_id: str) -> list[Place]:
        """Where this person may put documents."""
        found = list_collections(self._services.database, user_id)
        return places_of(found, self._user(user_id))

    def draw(self, user_id: str, *, is_open: bool = False) -> tuple[Any, Any]:
        """The form, unfolded or not, and the choice of where new documents go."""
        user = self._user(user_id)
        found = list_collections(self._services.database, user_id)
        return self._html(found, user, is_open), self._choice(found, user)

    @explained(2)
    def create(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        user = self._user(user_of(request))
        self._sharing.create(user, text_of(event, "name", MAX_NAME_CHARS))
        return self.draw(user.id, is_open=True)

    @explained(2)
    def share(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        user = self._user(user_of(request))
        to, right = text_of(event, "to", 200), text_of(event, "right", 20)
        self._sharing.grant(user, number_of(event, "collection"), to, right)
        return self.draw(user.id, is_open=True)

    @explained(2)
    def unshare(self, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        user = self._user(user_of(request))
        to = text_of(event, "to", 200)
        self._sharing.revoke(user, number_of(event, "collection"), to)
        return self.draw(user.id, is_open=True)

    def move(self, document_id: str, value: str, user_id: str) -> tuple[str, str]:
        """The document lies in the place of that value: (its name, what is said of it)."""
        user = self._user(user_id)
        place = place_arguments(value, user)
        wanted = place["collection_id"] if "collection_id" in place else place["collection"]
        library, is_private = self._services.library, place.get("is_private")
        moved = self._sharing.move(user, library, document_id, wanted, is_private=is_private)
        there = find_collection(self._services.database, user.id, moved.collection_id)
        said = f"was moved to {there.name}, which is read by: {there.readers(user.id)}"
        if moved.state == "duplicate":
            said += f". {moved.related} there is the same file, and answers for both"
        if moved.state == "superseded":
            said += ". A newer version of it lies there, and answers instead"
        return moved.name, said

    def _user(self, user_id: str) -> User:
        return self._services.accounts.get(user_id)

    def _choice(self, found: Sequence[Collection], user: User) -> Any:
        places = places_of(found, user)
        choices = [(place.label, place.value) for place in places]
        return gr.Radio(choices=choices, value=places[0].value, visible=True)

    def _html(self, found: Sequence[Collection], user: User, is_open: bool) -> str:
        from kit.people.groups import Groups

        people = [u.name for u in self._services.accounts.list() if u.id != user.id]
        groups = [group.name for group in Groups(self._services.database).list()]
        return sharing_html(found, user, people, groups, is_open=is_open)


def sharing_html(
    found: Sequence[Collection],
    user: User,
    people: Sequence[str],
    groups: Sequence[str],
    *,
    is_open: bool = False,
) -> str:
    """Every collection of the person's with its readers, and the form that changes them."""
    if user.id == LOCAL_USER.id and not people:
        return ""  # a kit of one person: there is nobody to share with
    shown = [one for one in found if one.may_write or one.may_manage]
    items = "".join(_collection(one, user, people, groups) for one in shown)
    return (
        f'<details class="sharing"{" open" if is_open else ""}><summary>Collections, and who reads'
        f' them</summary><ul>{items}</ul><form class="new-collection"><input name="name"'
        f' type="text" maxlength="{MAX_NAME_CHARS}" placeholder="Name of a new collection"'
        ' aria-label="Name of a new collection" autocomplete="off" required>'
        '<button type="submit">Make a collection</button></form></details>'
    )


def _collection(one: Collection, user: User, people: Sequence[str], groups: Sequence[str]) -> str:
    owner = "you" if one.owner_id == user.id else one.owner or HOUSE
    readers = f"Read by: {escape(one.readers(user.id))}"
    unread = "" if one.may_read else " You manage it, but do not read it."
    form = _form(one, user, people, groups) if one.may_manage else ""
    return (
        f"<li><p><b><bdi>{escape(one.name)}</bdi></b> <span>Owner: {escape(owner)}. {readers}."
        f"{unread}</span></p>{form}</li>"
    )


def _form(one: Collection, user: User, people: Sequence[str], groups: Sequence[str]) -> str:
    grants = "".join(
        f"<li><span>{escape(_named(str(grant.to)))}"
        f" {'may read and add' if grant.right == 'write' else 'may read'}</span>"
        + tool("unshare", f"Take this back from {_named(str(grant.to))}", "close",
               collection=one.id, to=str(grant.to), name=one.name)
        + "</li>"
        for grant in one.grants
    )  # fmt: skip
    options = [("everyone", "everyone here")] if user.is_admin else []
    options += [(f"group:{name}", f"group {name}") for name in groups]
    options += [(f"person:{name}", name) for name in people if name != one.owner]
    if user.id != one.owner_id and user.id != LOCAL_USER.id:
        options.append((f"person:{user.name}", f"{user.name} (you)"))
    chosen = "".join(
        f'<option value="{escape(value)}">{escape(label)}</option>' for value, label in options
    )
    name = escape(one.name)
    return (
        f"{f'<ul class=grants>{grants}</ul>' if grants else ''}"
        f'<form class="share" data-collection="{one.id}"><select name="to"'
        f' aria-label="Share {name} with"><option value="">Share with …</option>{chosen}</select>'
        f'<select name="right" aria-label="What they may do in {name}">'
        '<option value="read">may read</option><option value="write">may read and add</option>'
        '</select><button type="submit">Share</button></form>'
    )


def _named(to: str) -> str:
    """'person:ben' as 'ben', 'group:hr' as 'group hr', 'everyone' as 'everyone here'."""
    kind, _, name = to.partition(":")
    return {"person": name, "group": f"group {name}"}.get(kind, "everyone here")
