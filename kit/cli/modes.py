"""kit summarise, compare, extract: what an office does with documents beside asking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import options
from kit.cli.answers import check_output, finish
from kit.cli.open_kit import open_kit
from kit.cli.output import say
from kit.cli.session import Kit, find_document, unread
from kit.config import load_config
from kit.errors import UsageError

DocumentArgument = Annotated[str, typer.Argument(help="Id or name.", metavar="DOCUMENT")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Also write it to this file, ending in .docx, .md, .xlsx or .csv.",
        show_default=False,
    ),
]


def summarise(
    document: DocumentArgument,
    output: OutputOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Summarise a document; each sentence shows its place."""
    from kit.answer.modes.task import Task

    check_output(output)
    with open_kit(load_config(home=home), say) as kit:
        record = find_document(kit, document)
        events = kit.do(Task("summarise", (record.id,)))
        finish(events, f"Summarise {record.name}", output, is_json=is_json)


def compare(
    old: DocumentArgument,
    new: DocumentArgument,
    output: OutputOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Compare two documents, the older first: what is the same, what differs, what is new."""
    from kit.answer.modes.task import Task

    check_output(output)
    with open_kit(load_config(home=home), say) as kit:
        records = [find_document(kit, wanted) for wanted in (old, new)]
        events = kit.do(Task("compare", tuple(record.id for record in records)))
        title = f"Compare {' with '.join(record.name for record in records)}"
        finish(events, title, output, is_json=is_json)


def extract(
    fields: Annotated[
        list[str],
        typer.Option(
            "--field",
            "-f",
            metavar="NAME[: WHAT]",
            help="A column, and what to look for; may be given several times.",
        ),
    ],
    documents: Annotated[
        list[str] | None,
        typer.Argument(help="Ids or names; none = all.", metavar="[DOCUMENT]…", show_default=False),
    ] = None,
    collection: options.CollectionOption = None,
    output: OutputOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Fill a table from many documents: a row each, a column per field, with the places."""
    from kit.answer.modes.task import Task, read_field

    check_output(output)
    wanted = tuple(read_field(line) for line in fields)
    Task("extract", fields=wanted)  # a field that cannot be is told before a kit is opened
    with open_kit(load_config(home=home), say) as kit:
        ids = _ids(kit, documents or (), collection)
        for notice in unread(kit):
            say(f"note: {notice}")
        events = kit.do(Task("extract", ids, collection, wanted))
        title = f"Table of {', '.join(field.name for field in wanted)}"
        finish(events, title, output, is_json=is_json)


def _ids(kit: Kit, documents: Sequence[str], collection: str | None) -> tuple[str, ...]:
    if documents and collection is not None:
        raise UsageError(
            "documents and --collection exclude each other",
            hint="leave out --collection: documents are found wherever they are",
        )
    return tuple(find_document(kit, wanted).id for wanted in documents)
