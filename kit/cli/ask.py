"""kit ask, kit chat: answers with their evidence in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.output import emit, plain, require_words, say
from kit.cli.session import find_document, open_kit, unread
from kit.config import load_config
from kit.errors import EngineError, KitError, UsageError

if TYPE_CHECKING:
    from kit.answer.events import Answer, Event
    from kit.cli.session import Kit

WELCOME = "Ask about your documents. Ctrl-C stops an answer, Ctrl-D leaves."
DocumentOption = Annotated[
    str | None,
    typer.Option(
        "--document", metavar="NAME|ID", help="Ask this document alone.", show_default=False
    ),
]


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.", metavar="QUESTION")],
    collection: options.CollectionOption = None,
    document: DocumentOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Answer one question from your documents, with the passages that say so."""
    from kit.answer.events import answer_to_json

    require_words(question, "the question", "write what you want to know")
    with open_kit(load_config(home=home), say) as kit:
        document_id = _document_id(kit, document, collection)
        _say_unread(kit)
        events = kit.ask(question, collection=collection, document_id=document_id)
        answer = show_answer(events, is_live=not is_json)
    if is_json:
        emit(answer_to_json(answer))
    else:
        print_answer(answer)


def chat(
    collection: options.CollectionOption = None,
    document: DocumentOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """A conversation in the terminal; it is kept, and the page lists it too."""
    from kit.answer.events import answer_to_json

    answers: list[dict[str, Any]] = []
    with open_kit(load_config(home=home), say) as kit:
        document_id = _document_id(kit, document, collection)
        conversation_id = kit.new_conversation()
        _say_unread(kit)
        say(WELCOME)
        for question in _questions():
            try:
                events = kit.ask(
                    question,
                    collection=collection,
                    conversation_id=conversation_id,
                    document_id=document_id,
                )
                answer = show_answer(events, is_live=not is_json)
            except KeyboardInterrupt:
                say("stopped")
                continue
            except EngineError as problem:  # the next question may find it again
                say("\n".join(problem.lines()))
                continue
            answers.append({"question": question, **answer_to_json(answer)})
            if not is_json:
                print_answer(answer)
                sys.stdout.flush()
    if is_json:
        emit({"conversation_id": conversation_id, "answers": answers})


def _say_unread(kit: Kit) -> None:
    """An answer rests on what has been read: what has not is said before it."""
    for notice in unread(kit):
        say(f"note: {notice}")


def _document_id(kit: Kit, document: str | None, collection: str | None) -> str | None:
    """The id of the document that was named. Raises: NotFound, UsageError."""
    if document is None:
        return None
    if collection is not None:
        raise UsageError(
            "--document and --collection exclude each other",
            hint="leave out --collection: one document is asked, wherever it is",
        )
    return find_document(kit, document).id


def _questions() -> Iterator[str]:
    """Lines a person types, until Ctrl-D; Ctrl-C clears the line."""
    import readline  # noqa: F401 - gives input() its line editing

    while True:
        try:
            if sys.stdin.isatty():
                sys.stderr.write("\n")
                line = input("> ")
            else:
                line = input()
        except EOFError:
            return
        except KeyboardInterrupt:
            say("(Ctrl-D leaves)")
            continue
        if line.strip() in ("/quit", "/exit"):
            return
        if line.strip():
            yield line.strip()


def show_answer(events: Iterable[Event], *, is_live: bool) -> Answer:
    """Consume the events, the growing answer drawn on a terminal; returns the finished one.

    Closing the events, also on Ctrl-C, stops the engine's work on them.
    """
    from kit.answer.events import Draft, Finished, Notice, Waiting

    live = _Live() if is_live and sys.stdout.isatty() else None
    told: set[str] = set()
    try:
        with closing(events) as stream:  # type: ignore[type-var]
            for event in stream:
                if isinstance(event, Finished):
                    for notice in event.answer.notices:
                        _note(notice, told)
                    return event.answer
                if isinstance(event, Notice):
                    _note(event.text, told)
                elif isinstance(event, Waiting) and event.ahead:
                    say(f"waiting: {event.ahead} before this question")
                elif isinstance(event, Draft) and live:
                    live.show(event.text)
    finally:
        if live:
            live.close()
    raise KitError("the answer ended too early", hint="ask again; the reason is in logs/web.log")


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
    for citation in answer.citations:
        place = f", {plain(citation.place)}" if citation.place else ""
        print(f"\n[{citation.n}] {plain(citation.document)}{place}")
        print(f"    {plain(' '.join(citation.text.split()))}")
    if answer.closest:
        print("\nThe passages that came closest:")
        for citation in answer.closest:
            place = f", {plain(citation.place)}" if citation.place else ""
            print(f"  - {plain(citation.document)}{place}")
