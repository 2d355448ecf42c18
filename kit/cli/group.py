"""kit group: people who are shared with together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, say, table
from kit.cli.people import open_database

if TYPE_CHECKING:
    from kit.people.groups import Group

app = typer.Typer(help="Groups of people, to share collections with.")
ACTOR = "local"

Name = Annotated[str, typer.Argument(help="The group's name.", metavar="GROUP")]
Person = Annotated[str, typer.Argument(help="The account's name.", metavar="NAME")]


@app.command()
def add(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Make a group."""
    from kit.people.groups import Groups

    with open_database(home) as database:
        group = Groups(database).add(name, actor=ACTOR)
    _print(group, "added", is_json)


@app.command("list")
def list_groups(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """List the groups."""
    from kit.people.groups import Groups

    with open_database(home) as database:
        groups = Groups(database).list()
    if is_json:
        emit({"groups": [_json(group) for group in groups]})
        return
    rows = [(group.name, len(group.members), ", ".join(group.members)) for group in groups]
    table(rows, ("GROUP", "MEMBERS", "NAMES"))


@app.command()
def show(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Show a group: its members, and what is shared with it."""
    from kit.library.collections import list_collections
    from kit.people.groups import Groups

    with open_database(home) as database:
        group = Groups(database).find(name)
        shared = [
            (one.full_name, grant.right)
            for one in list_collections(database, ACTOR)
            for grant in one.grants
            if grant.to.id == group.id
        ]
    if is_json:
        collections = [{"collection": full, "right": right} for full, right in shared]
        emit({"group": _json(group), "shared": collections})
        return
    print(f"members  {', '.join(group.members) or '-'}")
    for full, right in shared:
        print(f"{right.ljust(7)}  {full}")


@app.command()
def rm(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Remove a group; what was shared with it is shared with it no more."""
    from kit.people.groups import Groups

    with open_database(home) as database:
        groups = Groups(database)
        group = groups.find(name)
        groups.remove(group, actor=ACTOR)
    _print(group, "removed", is_json)


@app.command("add-member")
def add_member(
    name: Name,
    person: Person,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Put a person into a group."""
    _change(name, person, home, is_json, is_added=True)


@app.command("remove-member")
def remove_member(
    name: Name,
    person: Person,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Take a person out of a group; counts from their next request."""
    _change(name, person, home, is_json, is_added=False)


def _change(
    name: str, person: str, home: options.HomeOption, is_json: bool, *, is_added: bool
) -> None:
    from kit.people.accounts import Accounts
    from kit.people.groups import Groups

    with open_database(home) as database:
        groups, user = Groups(database), Accounts(database).find(person)
        change = groups.add_member if is_added else groups.remove_member
        change(groups.find(name), user, actor=ACTOR)
        group = groups.find(name)
    _print(group, f"{user.name} is {'in it' if is_added else 'out of it'}", is_json)


def _json(group: Group) -> dict[str, object]:
    return {"name": group.name, "members": list(group.members)}


def _print(group: Group, what: str, is_json: bool) -> None:
    if is_json:
        emit({"group": _json(group)})
    else:
        say(f"group {group.name}: {what}")
