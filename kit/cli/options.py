"""The options that every command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _home(ctx: typer.Context, value: Path | None) -> Path | None:
    """`--home` of the command, else the one given before it."""
    return value or ctx.find_root().params.get("home")


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="FOLDER", help="Where the kit's data lies.", callback=_home),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")
]
CollectionOption = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME", help="Only this collection."),
]
RootOption = Annotated[
    Path | None, typer.Option("--root", help="Where releases lie; usually /opt/kit.")
]
