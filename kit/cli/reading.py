"""kit docs progress, pause, resume, stop, retry: the reading of documents, and a hand on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, plain, say
from kit.cli.session import find_document
from kit.config import load_config
from kit.errors import UsageError
from kit.library.documents import BUSY_STATES, FAILED_STATES
from kit.library.progress import how_far

if TYPE_CHECKING:
    from kit.cli.session import Kit
    from kit.library.documents import DocumentRecord

Documents = Annotated[
    list[str] | None, typer.Argument(help="Ids or names of documents.", metavar="[DOCUMENT]…")
]


def progress(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Show how far the reading is: done, speed, time left, what is read now."""
    with open_kit(load_config(home=home), say) as kit:
        found = kit.progress()
    if is_json:
        emit({"reading": found})
        return
    for line in progress_lines(found):
        print(plain(line))


def progress_lines(found: dict[str, Any]) -> list[str]:
    """The progress in words."""
    lines = [f"{found['num_done']} of {found['num_total']} read, {found['num_waiting']} to go"]
    if found["is_paused"]:
        lines.append("paused; go on: kit docs resume")
    if not found["num_waiting"]:
        return lines if found["num_done"] or found["is_paused"] else ["nothing is waiting"]
    if found["num_done"]:
        speed = f"{found['documents_per_minute']:g} documents"
        lines.append(f"{speed} and {found['mb_per_minute']:g} MB per minute")
    if found["seconds_left"] and not found["is_paused"]:
        lines.append(f"about {duration(found['seconds_left'])} left")
    for now in found["now"]:
        told = how_far(now["stage"], now["done"], now["total"])
        line = f"{now['stage']} for {now['seconds']:.0f} s: {now['name']}"
        lines.append(f"{line}, {told}" if told else line)
    return lines


def duration(seconds: float) -> str:
    """'40 seconds', '12 minutes', '3 hours'."""
    size_s, noun = next(
        unit for unit in ((3600, "hour"), (60, "minute"), (0, "second")) if seconds >= unit[0]
    )
    count = max(1, round(seconds / (size_s or 1)))
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def pause(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Read nothing further until told to go on; adding still works."""
    with open_kit(load_config(home=home), say) as kit:
        kit.pause()
    _say_paused(True, is_json)


def resume(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Go on reading after a pause."""
    with open_kit(load_config(home=home), say) as kit:
        kit.resume()
    _say_paused(False, is_json)


def _say_paused(is_paused: bool, is_json: bool) -> None:
    if is_json:
        emit({"is_paused": is_paused})
    else:
        print("the reading is paused" if is_paused else "the reading goes on")


def stop(
    documents: Documents = None,
    is_all: Annotated[bool, typer.Option("--all", help="All that wait or are being read.")] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Do not read documents that wait or are being read; retry reads them after all."""
    with open_kit(load_config(home=home), say) as kit:
        chosen = _chosen(kit, documents, is_all, BUSY_STATES)
        stopped = [record for record in chosen if record.state in BUSY_STATES]
        for record in stopped:
            kit.stop(record.id)
    for record in chosen:
        if record not in stopped:
            say(f"note: {plain(record.name)} is not being read; it is {record.state}")
    if is_json:
        emit({"stopped": [{"id": record.id, "name": record.name} for record in stopped]})
        return
    for record in stopped:
        print(f"stopped {plain(record.name)}")


def retry(
    documents: Documents = None,
    is_all: Annotated[bool, typer.Option("--all", help="All that have no text.")] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Read documents once more, for instance after an update of the kit."""
    from kit.cli.add import read_and_report

    with open_kit(load_config(home=home), say) as kit:
        chosen = _chosen(kit, documents, is_all, FAILED_STATES)
        if is_all:
            again = set(kit.retry_failed())
            chosen = [record for record in chosen if record.id in again]
        else:
            for record in chosen:
                kit.retry(record.id)
        records = [kit.document(record.id) for record in chosen]
        code = read_and_report(kit, records, is_json=is_json, done="read again")
    raise typer.Exit(code)


def _chosen(
    kit: Kit, documents: list[str] | None, is_all: bool, states: tuple[str, ...]
) -> list[DocumentRecord]:
    """The documents that were named, or all in one of the states. Raises: UsageError, NotFound."""
    if bool(documents) == is_all:
        raise UsageError("name documents, or say --all", hint="see them: kit docs list")
    if is_all:
        return [record for record in kit.documents() if record.state in states]
    return [find_document(kit, wanted) for wanted in documents or ()]
