"""How the command line speaks: answers to stdout, progress and status to stderr.

Knows terminals, nothing of what is said. Invariant: with --json, stdout holds one JSON document
and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from kit.errors import UsageError

LINE_EVERY_S = 5.0
MAX_PADDED = 60  # one very long name must not push every other line's last column off the screen


def emit(document: Any) -> None:
    """The one JSON document of a command."""
    print(json.dumps(document, ensure_ascii=False, indent=2))


def say(text: str) -> None:
    """A line of status for people."""
    print(text, file=sys.stderr, flush=True)


def require_words(text: str, what: str, hint: str) -> None:
    """Raises: UsageError if nothing was typed, before any kit is opened for it."""
    if not text.strip():
        raise UsageError(f"{what} is empty", hint=hint)


def plain(text: str) -> str:
    """Text safe for a terminal.

    Threat: a document, its name or a model that writes escape sequences to move the cursor,
    retitle the window or hide text.
    """
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> None:
    """Aligned columns on stdout, never cut or wrapped, so that they can be piped; None is '-'."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        min(max(map(len, column)), MAX_PADDED) for column in zip(headers, *cells, strict=True)
    ]
    for row in [list(headers), *cells]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _cell(value: object) -> str:
    return "-" if value is None else plain(" ".join(str(value).split("\n")))


class Meter:
    """Progress on stderr: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0
        self._what = ""

    def show(self, what: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes or files; None = not known."""
        if sys.stderr.isatty():
            self._draw(what, done, total)
        elif time.monotonic() - self._last > LINE_EVERY_S:
            self._last = time.monotonic()
            say(f"{what}: {self._amount(done, total)}")

    def _amount(self, done: int, total: int | None) -> str:
        from kit.files import format_bytes

        if total is not None and total < 100_000:
            return f"{done} of {total}"
        return format_bytes(done) + (f" of {format_bytes(total)}" if total else "")

    def _draw(self, what: str, done: int, total: int | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=total, amount="")
            self._bar.start()
        amount = self._amount(done, total)
        self._bar.update(self._task, description=what, completed=done, total=total, amount=amount)

    def close(self) -> None:
        """The bar is gone from the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def meter() -> Iterator[Meter]:
    """A meter for the length of the block."""
    shown = Meter()
    try:
        yield shown
    finally:
        shown.close()
