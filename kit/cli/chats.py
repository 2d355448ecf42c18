"""kit chats: the conversations that are kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import options
from kit.cli.answers import check_output
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, say, table
from kit.config import load_config

app = typer.Typer(help="The conversations that are kept: list them, take one as a file.")


@app.command("list")
def list_chats(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """List your conversations, latest first."""
    with open_kit(load_config(home=home), say) as kit:
        found = kit.conversations()
    if is_json:
        emit({"conversations": [asdict(conversation) for conversation in found]})
        return
    table(
        [(c.id, c.updated_at[:16].replace("T", " "), c.title) for c in found],
        ("ID", "LAST", "TITLE"),
    )


@app.command()
def export(
    conversation: Annotated[str, typer.Argument(help="Its id.", metavar="CHAT")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Ending in .docx, .md, .xlsx or .csv."),
    ],
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Write a conversation to a file, its citations as footnotes."""
    from kit.export.export import format_of

    check_output(output)
    with open_kit(load_config(home=home), say) as kit:
        made = kit.export(conversation, format_of(output))
    with output.open("xb") as stream:
        stream.write(made.data)
    if is_json:
        emit({"path": str(output), "size_bytes": len(made.data)})
        return
    print(f"wrote {output}")
