"""kit backup, kit restore: a consistent copy of a home, and the way back from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, meter, say
from kit.config import load_config
from kit.release import require_owner

if TYPE_CHECKING:
    from kit.ops.backup import Backup


def backup(
    destination: Annotated[
        Path, typer.Argument(help="A folder, best on another disk.", metavar="FOLDER")
    ],
    link: Annotated[
        bool,
        typer.Option("--link", help="Originals as hard links: at once, but not on another disk."),
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Copy documents, accounts and conversations, also while the kit serves."""
    from kit.ops.backup import back_up

    folder = load_config(home=home).home
    require_owner(folder)
    with meter() as shown:
        made = back_up(folder, destination, link=link, on_progress=shown.show)
    _print(made, is_json)
    if not is_json:
        say("hint: try it now and then: kit restore FOLDER --home /some/other/folder")


def restore(
    folder: Annotated[Path, typer.Argument(help="What kit backup printed.", metavar="BACKUP")],
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of the data there, which is kept aside.")
    ] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Only check that the backup is whole.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Bring a home back from a backup, after every byte of it was checked."""
    from kit.ops import backup as backups

    with meter() as shown:
        if check_only:
            found = backups.read_backup(folder)
            backups.check_backup(found, on_progress=shown.show)
        else:
            target = load_config(home=home).home
            require_owner(target)
            found = backups.restore(target, folder, replace=replace, on_progress=shown.show)
    _print(found, is_json)
    if found.models and not is_json:
        say(f"hint: models are not in a backup; it had: {', '.join(found.models)}")


def _print(found: Backup, is_json: bool) -> None:
    from kit.files import format_bytes

    if is_json:
        emit(
            {
                "folder": str(found.folder),
                "created": found.created,
                "version": found.version,
                "size_bytes": found.size_bytes,
                "num_files": len(found.files),
                "models": list(found.models),
            }
        )
        return
    print(found.folder)
    say(f"made {found.created}, {len(found.files)} files, {format_bytes(found.size_bytes)}: whole")
