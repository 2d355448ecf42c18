"""kit collection: whose documents are whose, and who reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.output import emit, plain, say, table
from kit.cli.people import open_database

if TYPE_CHECKING:
    from kit.library.collections import Collection

app = typer.Typer(help="Collections: who owns, reads and writes them.")

Name = Annotated[
    str, typer.Argument(help="NAME, or OWNER/NAME where several have it.", metavar="COLLECTION")
]
To = Annotated[
    str, typer.Argument(help="A person, a group, or 'everyone'.", metavar="PERSON|GROUP|everyone")
]


@app.command("list")
def list_them(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """List the collections, whose they are and who reads them."""
    from kit.library.collections import list_collections

    with open_database(home) as database:
        found = list_collections(database, _actor().id)
    if is_json:
        emit({"collections": [collection_json(one) for one in found]})
        return
    rows = [
        (
            plain(one.name),
            one.owner or "administrators",
            "-" if one.num_documents is None else one.num_documents,
            plain(one.readers(_actor().id)),
        )
        for one in found
    ]
    table(rows, ("COLLECTION", "OWNER", "DOCUMENTS", "READ BY"))


@app.command()
def show(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Show one collection: its owner, its readers and its writers."""
    from kit.library.collections import find_collection

    with open_database(home) as database:
        found = find_collection(database, _actor().id, name)
    _print(found, "", is_json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The new collection's name.", metavar="NAME")],
    owner: Annotated[str, typer.Option("--owner", help="The account that owns it.")] = "",
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Make a collection that its owner alone reads, until it is shared."""
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        made = Sharing(database).create(_actor(), name, owner)
    _print(made, "made", is_json)


@app.command()
def grant(
    name: Name,
    to: To,
    write: Annotated[bool, typer.Option("--write", help="Also add and remove.")] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Let a person, a group or everyone read a collection, or also write it."""
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        right = "write" if write else "read"
        found = Sharing(database).grant(_actor(), name, to, right)
    _print(found, f"{to} may {right} it", is_json)


@app.command()
def revoke(
    name: Name, to: To, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Take a right back; counts from the next request."""
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        found = Sharing(database).revoke(_actor(), name, to)
    _print(found, f"{to} has no right of its own any more", is_json)


@app.command()
def give(
    name: Name,
    owner: Annotated[
        str, typer.Argument(help="A person, or 'administrators'.", metavar="PERSON|administrators")
    ],
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Give a collection another owner; the one before has no right left."""
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        given = Sharing(database).give(_actor(), name, owner)
    if is_json:
        emit({"given": given})
        return
    say(f"{plain(given)}: given to {plain(owner)}")


@app.command()
def move(
    name: Annotated[str, typer.Argument(help="Where they go.", metavar="COLLECTION")],
    documents: Annotated[list[str], typer.Argument(help="Ids of documents.", metavar="ID…")],
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Move documents into a collection; whoever reads that one reads them."""
    from kit.library.store import Library
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        library = Library(database.path.parent, database)
        for document_id in documents:  # all, before the first goes
            library.get(document_id, _actor().id)
        moved = [
            Sharing(database).move(_actor(), library, document_id, name)
            for document_id in documents
        ]
    if is_json:
        emit({"moved": [{"id": record.id, "name": record.name} for record in moved]})
        return
    for record in moved:
        say(f"{plain(record.name)}: moved to {plain(record.collection)}")


@app.command()
def rm(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Remove an empty collection."""
    from kit.ops.sharing import Sharing

    with open_database(home) as database:
        removed = Sharing(database).remove(_actor(), name)
    _print(removed, "removed", is_json)


def tell_readers(home: Path, name: str) -> None:
    """Say on stderr who will read what is added to the collection of that name."""
    from kit.library.collections import list_collections

    with open_database(home) as database:
        found = [
            one
            for one in list_collections(database, _actor().id)
            if one.may_write and name.casefold() in (one.name.casefold(), one.full_name.casefold())
        ]
    readers = found[0].readers(_actor().id) if len(found) == 1 else "everyone here"
    if len(found) <= 1:
        say(f"note: {plain(name)} is read by {readers}")


def _actor() -> Any:
    """The person at this machine's command line."""
    from kit.people.accounts import LOCAL_USER

    return LOCAL_USER


def collection_json(one: Collection) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "owner": one.owner or None,
        "num_documents": one.num_documents,
        "readers": one.readers(_actor().id),
        "grants": [{"to": str(grant.to), "right": grant.right} for grant in one.grants],
    }


def _print(one: Collection, what: str, is_json: bool) -> None:
    if is_json:
        emit({"collection": collection_json(one)})
        return
    if what:
        say(f"{plain(one.name)}: {what}")
        return
    print(f"name       {plain(one.name)}")
    print(f"owner      {one.owner or 'administrators'}")
    print(f"documents  {'-' if one.num_documents is None else one.num_documents}")
    for grant in one.grants:
        print(f"{grant.right.ljust(9)}  {grant.to}")
