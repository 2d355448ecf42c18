"""kit user: the people who may sign in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, say, table
from kit.cli.people import open_database
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.database import Database
    from kit.people.accounts import Accounts, User

app = typer.Typer(help="The people who may sign in.")

Name = Annotated[str, typer.Argument(help="The account's name.", metavar="NAME")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


@contextlib.contextmanager
def _open(home: Path | None) -> Iterator[tuple[Accounts, Database]]:
    from kit.people.accounts import Accounts

    with open_database(home) as database:
        yield Accounts(database), database


def _record(database: Database, action: str, name: str) -> None:
    from kit.people import audit

    audit.record(database, "local", action, name)


@app.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option("--role", help="staff or admin.")] = "staff",
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="A group to put it in; may be repeated."),
    ] = None,
    password_stdin: FromStdin = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Make an account; the password is asked for."""
    from kit.people.groups import Groups

    with _open(home) as (accounts, database):
        groups = Groups(database)
        joined = {found.id: found for found in map(groups.find, group or ())}
        user = accounts.add(name, read_password(name, password_stdin), role)
        _record(database, "user.add", user.name)
        for one in joined.values():
            groups.add_member(one, user, actor="local")
    _print(user, "added", is_json)


@app.command("list")
def list_users(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """List the accounts."""
    from kit.people.groups import Groups

    with _open(home) as (accounts, database):
        users = [(user, accounts.is_disabled(user.id)) for user in accounts.list()]
        groups = Groups(database).list()
    joined = {
        user.name: [group.name for group in groups if user.name in group.members]
        for user, _ in users
    }
    if is_json:
        emit(
            {
                "users": [
                    _user_json(user) | {"disabled": off, "groups": joined[user.name]}
                    for user, off in users
                ]
            }
        )
        return
    rows = [
        (user.name, user.role, "disabled" if off else "may sign in", ", ".join(joined[user.name]))
        for user, off in users
    ]
    table(rows, ("NAME", "ROLE", "STATE", "GROUPS"))


@app.command()
def passwd(
    name: Name,
    password_stdin: FromStdin = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Give an account another password; every session of it ends."""
    with _open(home) as (accounts, database):
        user = accounts.find(name)
        accounts.set_password(user.id, read_password(user.name, password_stdin))
        _record(database, "user.password", user.name)
    _print(user, "has another password", is_json)


app.command("password", hidden=True)(passwd)


@app.command()
def disable(
    name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Keep an account and its documents, but let it sign in no more."""
    _switch(name, home, is_json, is_disabled=True)


@app.command()
def enable(
    name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Let a disabled account sign in again."""
    _switch(name, home, is_json, is_disabled=False)


def _switch(name: str, home: Path | None, is_json: bool, *, is_disabled: bool) -> None:
    word = "disabled" if is_disabled else "enabled"
    with _open(home) as (accounts, database):
        user = accounts.find(name)
        accounts.disable(user.id, is_disabled=is_disabled)
        _record(database, f"user.{word.removesuffix('d')}", user.name)
    _print(user, f"is {word}", is_json)


@app.command()
def rm(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Remove an account and its conversations."""
    with _open(home) as (accounts, database):
        user = accounts.find(name)
        accounts.remove(user.id)
        _record(database, "user.remove", user.name)
    _print(user, "removed", is_json)


def read_password(name: str, from_stdin: bool) -> str:
    """The password from stdin's first line, or asked for twice without being shown.

    Raises: UsageError if there is no terminal to ask on, or the two differ.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password", hint="pipe it in: --password-stdin"
        )
    import getpass

    password = getpass.getpass(f"Password for {name}: ", stream=sys.stderr)
    if getpass.getpass("The same again: ", stream=sys.stderr) != password:
        raise UsageError("the two passwords differ", hint="try again")
    return password


def _user_json(user: User) -> dict[str, object]:
    return {"id": user.id, "name": user.name, "role": user.role}


def _print(user: User, what: str, is_json: bool) -> None:
    if is_json:
        emit({"user": _user_json(user)})
    else:
        say(f"{user.name} ({user.role}): {what}")
