"""kit docs: the library."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli import options
from kit.cli.add import add
from kit.cli.output import emit, plain, require_words, say, table
from kit.cli.session import find_document, open_kit, unread
from kit.config import load_config

app = typer.Typer(help="The library: add documents, see what became of them, search.")
app.command("add")(add)

Document = Annotated[str, typer.Argument(help="Id or name of a document.", metavar="DOCUMENT")]


@app.command("list")
def list_documents(
    collection: options.CollectionOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """List the documents and what became of each."""
    with open_kit(load_config(home=home), say) as kit:
        records = kit.documents(collection)
    if is_json:
        emit({"documents": [document_json(record) for record in records]})
        return
    rows = [
        (r.id, r.state, r.num_pages, r.num_chunks, r.collection, r.name, r.error or "")
        for r in records
    ]
    table(rows, ("ID", "STATE", "PAGES", "PASSAGES", "COLLECTION", "NAME", "REASON"))


@app.command()
def show(
    document: Document, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Show everything known about one document."""
    with open_kit(load_config(home=home), say) as kit:
        record = document_json(find_document(kit, document))
    if is_json:
        emit({"document": record})
        return
    width = max(map(len, record))
    for name, value in record.items():
        shown = "; ".join(value) if isinstance(value, list) else value
        print(f"{name.ljust(width)}  {'-' if shown in (None, '') else plain(str(shown))}")


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
        place = f", {plain(hit.place)}" if hit.place else ""
        print(f"{hit.rank}. {plain(hit.document)}{place}  (score {hit.score:.3f})")
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


@app.command()
def retry(
    document: Document, home: options.HomeOption = None, is_json: options.JsonOption = False
) -> None:
    """Read a document once more, for instance after an update of the kit."""
    from kit.cli.add import read_and_report

    with open_kit(load_config(home=home), say) as kit:
        record = find_document(kit, document)
        kit.retry(record.id)
        code = read_and_report(kit, [kit.document(record.id)], is_json=is_json)
    raise typer.Exit(code)


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
        "is_private": record.owner_id is not None,
        "title": record.title,
        "size_bytes": record.size_bytes,
        "sha256": record.sha256,
        "created_at": record.created_at,
    }


def hit_json(hit: Any) -> dict[str, Any]:
    """A passage as `kit docs search --json` prints it."""
    names = ("rank", "document", "document_id", "page", "place", "start", "end", "score", "text")
    return {name: getattr(hit, name) for name in names}
