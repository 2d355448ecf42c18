"""kit docs sync, folders, forget: folders that the library follows.

The folder is read by this command itself, with the rights of who runs it, whether the kit is
running or not; so no address of the kit takes a path of this machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.add import DEFAULT_COLLECTION, read_and_report
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, meter, plain, say, table
from kit.config import Config, load_config

if TYPE_CHECKING:
    from kit.library.folders import Folder, Folders
    from kit.library.store import Library
    from kit.library.sync import Summary

READER = "local"
MAX_SHOWN = 20
FolderName = Annotated[
    str, typer.Argument(help="A followed folder: its path, name or number.", metavar="FOLDER")
]


def sync(
    folder: Annotated[Path, typer.Argument(help="The folder to follow.", metavar="FOLDER")],
    collection: Annotated[
        str, typer.Option("--collection", "-c", metavar="NAME", help="Where to put its files.")
    ] = DEFAULT_COLLECTION,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What its documents' names begin with; usually the folder's."),
    ] = None,
    keeps_missing: Annotated[
        bool | None,
        typer.Option(
            "--keep-missing/--delete", help="What is gone from the folder stays here / goes too."
        ),
    ] = None,
    is_watched: Annotated[
        bool | None,
        typer.Option("--watch/--no-watch", help="The running kit looks again by itself."),
    ] = None,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file, also those that look unchanged.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also if most of the files are gone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Store them; the running kit reads them later.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Follow a folder: add what is new there, rename what moved, remove what is gone."""
    from kit.library.sync import sync_folder

    config = load_config(home=home)
    with _open(config) as (library, remembered), meter() as shown:
        known = {one.id for one in remembered.all()}
        followed = remembered.remember(
            folder.resolve(),
            collection=collection,
            added_by=READER,
            name=name,
            is_watched=is_watched,
            keeps_missing=keeps_missing,
        )
        with _forgetting(remembered, followed, is_passing=dry_run and followed.id not in known):
            summary = sync_folder(
                library,
                followed,
                max_bytes=config.web.max_upload_mb << 20,
                rehash=rehash,
                force=force,
                dry_run=dry_run,
                on_progress=shown.show,
            )
    if is_json and (dry_run or no_wait or not summary.document_ids):
        emit(_summary_json(followed, summary, dry_run))
        return
    if not is_json:
        _print(summary, dry_run)
    if followed.is_watched and not dry_run:
        minutes = config.library.sync_minutes
        say(f"watched: the running kit looks again every {minutes} minutes")
    if not summary.document_ids or no_wait:
        return
    with open_kit(config, say) as kit:
        records = [kit.document(document_id) for document_id in summary.document_ids]
        extra = {"sync": _summary_json(followed, summary, dry_run)}
        code = read_and_report(kit, records, is_json=is_json, extra=extra, done="read")
    raise typer.Exit(code)


def folders(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """List the folders that the library follows."""
    with _open(load_config(home=home)) as (_, remembered):
        found = remembered.all()
    if is_json:
        emit({"folders": [folder.as_dict() for folder in found]})
        return
    rows = [
        (
            *(f.id, f.name, f.collection, f.num_files, "watched" if f.is_watched else "by hand"),
            *(_when(f.scanned_at), f.path, f.problem or ""),
        )
        for f in found
    ]
    heads = ("NO", "NAME", "COLLECTION", "FILES", "LOOKED INTO", "LAST", "PATH", "PROBLEM")
    table(rows, heads)


def forget(
    folder: FolderName,
    is_removing: Annotated[
        bool, typer.Option("--remove", help="Remove its documents from the library, too.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Follow a folder no more; its documents stay unless told otherwise."""
    with _open(load_config(home=home)) as (library, remembered):
        found = remembered.find(folder)
        ids = [k.document_id for k in remembered.files(found).values() if k.document_id]
        remembered.forget(found)
        for document_id in ids if is_removing else ():
            library.remove(document_id, READER)
    removed = len(ids) if is_removing else 0
    if is_json:
        emit({"forgotten": found.as_dict(), "num_removed": removed})
        return
    print(f"{plain(str(found.path))} is followed no more; {removed} documents removed")


@contextlib.contextmanager
def _open(config: Config) -> Iterator[tuple[Library, Folders]]:
    from kit.database import Database
    from kit.library.folders import Folders
    from kit.library.store import Library
    from kit.release import require_owner

    require_owner(config.home)
    database = Database(config.home / "kit.db")
    try:
        yield Library(config.home, database), Folders(database)
    finally:
        database.close()


@contextlib.contextmanager
def _forgetting(remembered: Folders, folder: Folder, *, is_passing: bool) -> Iterator[None]:
    """A folder that is made known for a dry run, or that was never there at all, is not kept."""
    try:
        yield
    except BaseException:
        is_passing |= not remembered.files(folder) and not folder.path.is_dir()
        raise
    finally:
        if is_passing:
            remembered.forget(folder)


def _print(summary: Summary, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for what in ("added", "changed", "removed", "kept"):
        for path in getattr(summary, what)[:MAX_SHOWN]:
            print(f"{what:8}  {plain(path)}")
        _rest(what, len(getattr(summary, what)))
    for old, new in summary.moved[:MAX_SHOWN]:
        print(f"moved     {plain(old)} -> {plain(new)}")
    _rest("moved", len(summary.moved))
    for path, why in summary.skipped[:MAX_SHOWN]:
        print(f"skipped   {plain(path)}: {why}")
    _rest("skipped", len(summary.skipped))
    counts = ", ".join(f"{number} {what}" for what, number in summary.counts().items() if number)
    say(f"{would}{counts or 'the folder is empty'}")


def _rest(what: str, count: int) -> None:
    if count > MAX_SHOWN:
        print(f"{what:8}  … and {count - MAX_SHOWN:,} more (--json lists them all)")


def _summary_json(folder: Folder, summary: Summary, dry_run: bool) -> dict[str, Any]:
    return {
        "folder": folder.as_dict(),
        "is_dry_run": dry_run,
        **{name: getattr(summary, name) for name in ("added", "changed", "removed", "kept")},
        "moved": [{"from": old, "to": new} for old, new in summary.moved],
        "skipped": [{"path": path, "why": why} for path, why in summary.skipped],
        "num_unchanged": summary.num_unchanged,
    }


def _when(moment: float | None) -> str:
    if moment is None:
        return "asked for"
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M")
