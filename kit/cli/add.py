"""kit docs add: files and folders into the library, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.collection import tell_readers
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, meter, say, table
from kit.config import load_config
from kit.errors import DocumentRefused, EmbedError, KitError, MachineError, UsageError
from kit.library.documents import BUSY_STATES, FAILED_STATES

if TYPE_CHECKING:
    from kit.cli.session import Kit
    from kit.library.documents import DocumentRecord

DEFAULT_COLLECTION = "library"


@dataclass
class Selection:
    """The files that a person's paths stand for: (path, name in the library)."""

    files: list[tuple[Path, str]] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)  # folders that cannot be opened
    skipped: list[str] = field(default_factory=list)  # why, in words
    num_hidden: int = 0


@dataclass(frozen=True)
class Result:
    """What became of one file; `id` is None if it did not enter the library."""

    name: str
    state: str
    id: str | None = None
    num_pages: int | None = None
    num_chunks: int = 0
    error: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_bad(self) -> bool:
        return self.state in FAILED_STATES


def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", metavar="PATH…")],
    collection: Annotated[
        str, typer.Option("--collection", "-c", metavar="NAME", help="Where to put them.")
    ] = DEFAULT_COLLECTION,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Store them; the running kit reads them later.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Add files and folders; ends when each has been read, or says why not."""
    settings = load_config(home=home)
    selection = select(paths)
    for reason in selection.skipped:
        say(f"note: {reason}")
    tell_readers(settings.home, collection)
    with open_kit(settings, say) as kit:
        added, refused = store(kit, selection, collection)
        code = read_and_report(
            kit,
            added,
            refused=refused,
            is_json=is_json,
            num_hidden=selection.num_hidden,
            is_waiting=not no_wait,
        )
    raise typer.Exit(code)


def select(paths: Sequence[Path]) -> Selection:
    """Every visible file under the paths, by name. Raises UsageError for a missing path."""
    selection = Selection()
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"no such file or folder: {', '.join(map(str, missing))}")
    for path in paths:
        if path.is_dir():
            for file in _walk(path, selection):
                selection.files.append((file, _shown(file.relative_to(path).as_posix())))
        else:
            selection.files.append((path, _shown(path.name)))
    if not selection.files and not selection.refused:
        raise UsageError(
            "there are no files to add", hint=f"looked in: {', '.join(map(str, paths))}"
        )
    return selection


def _walk(folder: Path, selection: Selection) -> Iterator[Path]:
    def refuse(problem: OSError) -> None:
        reason = f"the folder cannot be opened: {problem.strerror}"
        selection.refused.append(Result(_shown(str(problem.filename)), "refused", error=reason))

    for parent, folders, files in os.walk(folder, onerror=refuse):
        hidden = [name for name in (*folders, *files) if name.startswith(".")]
        selection.num_hidden += len(hidden)
        folders[:] = sorted(name for name in folders if name not in hidden)
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                _skip(selection, path, "a link to a folder, which is not followed")
        for path in (Path(parent, name) for name in sorted(files) if name not in hidden):
            if path.is_file():
                yield path
            else:
                _skip(selection, path, "a link to nothing" if path.is_symlink() else "no file")


def _skip(selection: Selection, path: Path, what: str) -> None:
    selection.skipped.append(f"{_shown(str(path))} is skipped: it is {what}")


def _shown(name: str) -> str:
    """A name of the file system as text: bytes that are no UTF-8 show as a replacement mark."""
    return os.fsencode(name).decode("utf-8", "replace")


def store(
    kit: Kit, selection: Selection, collection: str
) -> tuple[list[DocumentRecord], list[Result]]:
    """Every file is stored durably or refused with its reason.

    Raises: DiskFull and other errors of the machine, which would meet every further file too.
    """
    added: list[DocumentRecord] = []
    refused = list(selection.refused)
    with meter() as shown:
        for number, (path, name) in enumerate(selection.files, start=1):
            shown.show("storing", number, len(selection.files))
            try:
                if not path.is_file():  # a pipe or device may never end
                    raise DocumentRefused("it is no regular file", hint="save it as a file first")
                with path.open("rb") as stream:
                    added.append(kit.add(stream, name, collection))
            except MachineError as problem:
                problem.problems += _where(name)
                raise
            except KitError as problem:
                refused.append(Result(name, "refused", error=problem.message, hint=problem.hint))
            except OSError as problem:
                reason = f"it cannot be opened: {problem.strerror}"
                refused.append(Result(name, "refused", error=reason))
    return added, refused


def _where(name: str) -> tuple[Any, ...]:
    from kit.errors import Problem

    return (Problem(name, "was not added"),)


def read_and_report(
    kit: Kit,
    added: Sequence[DocumentRecord],
    *,
    refused: Sequence[Result] = (),
    is_json: bool,
    num_hidden: int = 0,
    is_waiting: bool = True,
    extra: dict[str, Any] | None = None,
    done: str = "added",
) -> int:
    """Wait until each document was read, print what became of it; returns the exit code.

    `extra` is what the command's JSON holds beside the documents, `done` says in the last line what
    the command did with them.
    """
    results = {record.id: _result(record) for record in added}
    if is_waiting:
        _read(kit, added, results)
    everything = [*results.values(), *refused]
    bad = [result for result in everything if result.is_bad]
    if is_json:
        documents = [_result_json(r) for r in everything]
        emit({"documents": documents, "num_hidden": num_hidden, **(extra or {})})
    else:
        _print(everything)
    hidden = f", {num_hidden} hidden skipped" if num_hidden else ""
    say(f"{len(everything) - len(bad)} {done}, {len(bad)} {_ended_badly(bad)}{hidden}")
    return DocumentRefused.exit_code if bad else 0


def _ended_badly(bad: Sequence[Result]) -> str:
    """'refused', or 'without text' where any of them is something else: stopped, needing OCR."""
    return "refused" if all(one.state == "refused" for one in bad) else "without text"


def _read(kit: Kit, added: Sequence[DocumentRecord], results: dict[str, Result]) -> None:
    waiting = [record.id for record in added if record.state in BUSY_STATES]
    if not waiting:
        return
    num_read = 0
    with meter() as shown:
        shown.show("reading", 0, len(waiting))

        def on_change(record: DocumentRecord) -> None:
            nonlocal num_read
            num_read += 1
            results[record.id] = _result(record)
            shown.show(f"reading ({record.name})", num_read, len(waiting))

        try:
            while waiting:
                kit.read_documents(waiting, on_change)
                shown.show("reading", num_read, num_read)
                waiting = _unpacked(kit, results)
        except EmbedError as problem:
            say(f"note: stored, and read as soon as this is cured: {problem.message}")
            if problem.hint:
                say(f"hint: {problem.hint}")


def _unpacked(kit: Kit, results: dict[str, Result]) -> list[str]:
    """The ids of what came out of archives among the results and waits to be read; all that came
    out is among the results from now on."""
    archives = {id for id, result in results.items() if result.state == "unpacked"}
    if not archives:
        return []
    members = [r for r in kit.documents() if r.archive_id in archives and r.id not in results]
    results |= {record.id: _result(record) for record in members}
    return [record.id for record in members if record.state in BUSY_STATES]


def _result(record: DocumentRecord) -> Result:
    return Result(
        name=record.name,
        state=record.state,
        id=record.id,
        num_pages=record.num_pages,
        num_chunks=record.num_chunks,
        error=record.error,
        hint=record.hint,
        notes=(*record.notes, *(("it was already there",) if record.is_duplicate else ())),
    )


def _result_json(result: Result) -> dict[str, Any]:
    return {**vars(result), "notes": list(result.notes)}


def _print(results: Sequence[Result]) -> None:
    rows = [
        (r.state, r.num_pages, r.num_chunks, r.name, "; ".join(filter(None, _remarks(r))))
        for r in results
    ]
    table(rows, ("STATE", "PAGES", "PASSAGES", "NAME", "REASON"))


def _remarks(result: Result) -> list[str | None]:
    notes = (note for note in result.notes if note != result.error)
    return [result.error, result.hint if result.is_bad else None, *notes]
