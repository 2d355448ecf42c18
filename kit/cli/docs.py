"""kit docs: the library."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli import options, reading
from kit.cli.add import add
from kit.cli.follow import folders, forget, sync
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, plain, require_words, say, table
from kit.cli.session import find_document, unread
from kit.config import load_config
from kit.library.dates import dated_to_json, words_of
from kit.library.documents import states_named

app = typer.Typer(help="The library: add documents, see what became of them, search.")
app.command("add")(add)
app.command("sync")(sync)
app.command("folders")(folders)
app.command("forget")(forget)
app.command("progress")(reading.progress)
app.command("pause")(reading.pause)
app.command("resume")(reading.resume)
app.command("stop")(reading.stop)
app.command("retry")(reading.retry)

Document = Annotated[str, typer.Argument(help="Id or name of a document.", metavar="DOCUMENT")]


@app.command("list")
def list_documents(
    collection: options.CollectionOption = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", "-s", metavar="STATE", help="Only these: refused, partial, … busy, failed."
        ),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """List the documents and what became of each."""
    wanted = states_named(state) if state else None
    with open_kit(load_config(home=home), say) as kit:
        records = [r for r in kit.documents(collection) if wanted is None or r.state in wanted]
    if is_json:
        emit({"documents": [document_json(record) for record in records]})
        return
    rows = [
        (
            *(r.id, r.state, r.num_pages, r.num_chunks, r.collection, r.name),
            words_of(r.dated),
            why(r),
        )
        for r in records
    ]
    table(rows, ("ID", "STATE", "PAGES", "PASSAGES", "COLLECTION", "NAME", "DATED", "REASON"))


@app.command()
def show(
    document: Document, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Show everything known about one document and its pages."""
    with open_kit(load_config(home=home), say) as kit:
        found = find_document(kit, document)
        record, pages = document_json(found), kit.pages(found.id)
    if is_json:
        emit({"document": record, "pages": [vars(page) for page in pages]})
        return
    width = max(map(len, record))
    for name, value in (record | {"dated": words_of(found.dated)}).items():
        shown = "; ".join(value) if isinstance(value, list) else value
        print(f"{name.ljust(width)}  {'-' if shown in (None, '') else plain(str(shown))}")
    if pages:
        print()
        rows = [(page.page, page.state, page.num_chars, page.remark or "") for page in pages]
        table(rows, ("PAGE", "STATE", "CHARACTERS", "REMARK"))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.", metavar="QUERY")],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, max=50, help="How many.")] = 10,
    collection: options.CollectionOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Find passages, without the language model."""
    require_words(query, "the query", "write what to look for")
    with open_kit(load_config(home=home), say) as kit:
        found = kit.search(query, top_k=top_k, collection=collection)
        notices = [*found.notices, *unread(kit)]
    for notice in notices:
        say(f"note: {notice}")
    if is_json:
        emit({"hits": [hit_json(hit) for hit in found.hits], "notices": notices})
        return
    if not found.hits:
        say("nothing found")
    for hit in found.hits:
        source = ", ".join(filter(None, (hit.document, hit.place, words_of(hit.dated))))
        print(f"{hit.rank}. {plain(source)}  (score {hit.score:.3f})")
        print(f"   {plain(' '.join(hit.text.split()))}\n")


@app.command()
def rm(
    documents: Annotated[list[str], typer.Argument(help="Ids or names.", metavar="DOCUMENT…")],
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Remove documents with their text and passages."""
    with open_kit(load_config(home=home), say) as kit:
        records = [find_document(kit, wanted) for wanted in documents]  # all, before the first goes
        for record in records:
            kit.remove(record.id)
    if is_json:
        emit({"removed": [{"id": record.id, "name": record.name} for record in records]})
        return
    for record in records:
        print(f"removed {plain(record.name)}")


@app.command()
def purge(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """See that nothing of removed documents is left in any file, and say what is.

    What was removed is purged by itself within seconds; this waits until that is done, and has the
    index of meanings built anew without it. Exit status 1 if something is left.
    """
    with open_kit(load_config(home=home), say) as kit:
        done = kit.purge()
    for reason in done["pending"]:
        say(f"not done yet: {reason}")
    for copy in done["kept"]:
        say(f"not touched: {copy} is a copy from before; remove it if it must go, too")
    if is_json:
        emit(done)
    elif done["is_complete"]:
        print("purged: nothing of removed documents is left in this home")
    raise typer.Exit(0 if done["is_complete"] else 1)


@app.command()
def export(
    document: Document,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; '-' is stdout.")
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Write the original of a document, byte for byte as it was added."""
    from kit.errors import UsageError
    from kit.files import copy_hashing

    with open_kit(load_config(home=home), say) as kit:
        record = find_document(kit, document)
        with kit.original(record.id) as stream:
            if str(output) == "-" and not is_json:
                shutil.copyfileobj(stream, sys.stdout.buffer)
                return
            destination = output or Path(Path(record.name).name)
            if destination.exists():
                raise UsageError(
                    f"{destination} exists already", hint="choose another name: --output FILE"
                )
            digest, size_bytes = copy_hashing(stream, destination.absolute())
    if is_json:
        emit({"path": str(destination), "sha256": digest, "size_bytes": size_bytes})
        return
    print(f"wrote {destination}")


def why(record: Any) -> str:
    """In a few words why a document does not answer, or what stands for it."""
    if record.state == "duplicate" and record.related:
        return f"the same file as {record.related}"
    if record.state == "superseded":
        return "a newer version answers instead"
    if record.state in ("partial", "unpacked") and record.notes:
        return str(record.notes[0])
    return record.error or ""


def document_json(record: Any) -> dict[str, Any]:
    """A document as `kit docs list --json` prints it."""
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state,
        "num_pages": record.num_pages,
        "num_chunks": record.num_chunks,
        "error": record.error,
        "hint": record.hint,
        "notes": list(record.notes),
        "collection": record.collection,
        "is_private": record.audience == "owner",
        "audience": record.audience,
        "title": record.title,
        "size_bytes": record.size_bytes,
        "sha256": record.sha256,
        "dated": dated_to_json(record.dated),
        "created_at": record.created_at,
        "duplicate_of": record.duplicate_of,
        "superseded_by": record.superseded_by,
        "archive_id": record.archive_id,
        "related": record.related,
    }


def hit_json(hit: Any) -> dict[str, Any]:
    """A passage as `kit docs search --json` prints it."""
    names = ("rank", "document", "document_id", "page", "place", "start", "end", "score", "text")
    shown = {name: getattr(hit, name) for name in names}
    return shown | {"dated": dated_to_json(hit.dated)}
