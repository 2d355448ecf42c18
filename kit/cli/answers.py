"""Answers in the terminal and in files: shown as they are made, printed with their evidence."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cli.output import Meter, emit, meter, plain, say, table
from kit.errors import KitError, UsageError
from kit.library.dates import words_of

if TYPE_CHECKING:
    from kit.answer.events import Answer, Cell, Citation, Event, Progress

MAX_CELL_CHARS = 60  # of a table on a terminal; the whole is in the citations and in a file


def finish(events: Iterable[Event], title: str, output: Path | None, *, is_json: bool) -> Answer:
    """The answer is printed, and written to `output` if one is named."""
    from kit.answer.events import answer_to_json

    answer = show_answer(events, is_live=not is_json)
    if output is not None:
        write_answer(answer, title, output)
    if is_json:
        emit(answer_to_json(answer))
    else:
        print_answer(answer)
    return answer


def check_output(output: Path | None) -> None:
    """Raises: UsageError for a file that is there or of a format that is none, before any work."""
    from kit.export.export import format_of

    if output is None:
        return
    format_of(output)
    if output.exists():
        raise UsageError(f"{output} exists already", hint="choose another name: --output FILE")


def write_answer(answer: Answer, title: str, output: Path) -> None:
    """The answer as a file. Raises: UsageError for a spreadsheet where there is no table."""
    from kit.export.export import export, format_of
    from kit.export.report import Report, Turn

    day = datetime.now(UTC).date().isoformat()
    made = export(Report(title, day, (Turn(title, answer),)), format_of(output))
    with output.open("xb") as stream:
        stream.write(made.data)
    say(f"wrote {output}")


def show_answer(events: Iterable[Event], *, is_live: bool) -> Answer:
    """Consume the events, the growing answer drawn on a terminal; returns the finished one.

    Closing the events, also on Ctrl-C, stops the engine's work on them.
    """
    from kit.answer.events import Draft, Finished, Notice, Progress, Waiting

    live = _Live() if is_live and sys.stdout.isatty() else None
    told: set[str] = set()
    try:
        with closing(events) as stream, meter() as progress:  # type: ignore[type-var]
            for event in stream:
                if isinstance(event, Finished):
                    for notice in event.answer.notices:
                        _note(notice, told)
                    return event.answer
                if isinstance(event, Notice):
                    _note(event.text, told)
                elif isinstance(event, Waiting) and event.ahead:
                    say(f"waiting: {event.ahead} before this question")
                elif isinstance(event, Progress):
                    _show_progress(progress, event)
                elif isinstance(event, Draft) and live and not event.tables:
                    live.show(event.text)
    finally:
        if live:
            live.close()
    raise KitError("the answer ended too early", hint="ask again; the reason is in logs/web.log")


def _show_progress(progress: Meter, at: Progress) -> None:
    left = "" if at.left_s is None or at.left_s < 1 else f", about {at.left_s:.0f} s left"
    progress.show(f"{plain(at.what)}{left}", at.done, at.total)


def _note(text: str, told: set[str]) -> None:
    """A notice, once: an answer that is finished carries those that came before it."""
    if text not in told:
        told.add(text)
        say(f"note: {text}")


class _Live:
    """The answer so far, redrawn in place and gone when it is finished."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), transient=True, refresh_per_second=8)
        self._live.start()

    def show(self, text: str) -> None:
        from rich.text import Text

        self._live.update(Text(plain(text)))

    def close(self) -> None:
        self._live.stop()


def print_answer(answer: Answer) -> None:
    """The answer, then each piece of evidence: document, place and the passage itself."""
    print(plain(answer.text))
    for made in answer.tables:
        print(f"\n{plain(made.title)}")
        table([[_cell_text(cell) for cell in row] for row in made.rows], made.columns)
    for citation in answer.citations:
        print(f"\n[{citation.n}] {_source(citation)}")
        print(f"    {plain(' '.join(citation.text.split()))}")
    if answer.closest:
        print("\nThe passages that came closest:")
        for citation in answer.closest:
            print(f"  - {_source(citation)}")


def _source(citation: Citation) -> str:
    """'policy.pdf, page 3, changed 4 March 2025'."""
    parts = (citation.document, citation.place, words_of(citation.dated))
    return plain(", ".join(filter(None, parts)))


def _cell_text(cell: Cell) -> str:
    text = " ".join(cell.text.split())
    text = text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 2].rstrip() + " …"
    return " ".join([text, *(f"[{n}]" for n in cell.citations)])
