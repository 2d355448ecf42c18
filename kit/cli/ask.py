"""kit ask, kit chat: answers with their evidence in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.answers import check_output, finish, print_answer, show_answer
from kit.cli.modes import OutputOption
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, require_words, say
from kit.cli.session import find_document, unread
from kit.config import load_config
from kit.errors import EngineError, UsageError

if TYPE_CHECKING:
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
    output: OutputOption = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Answer one question from your documents, with the passages that say so."""
    check_output(output)
    require_words(question, "the question", "write what you want to know")
    with open_kit(load_config(home=home), say) as kit:
        document_id = _document_id(kit, document, collection)
        _say_unread(kit)
        events = kit.ask(question, collection=collection, document_id=document_id)
        finish(events, question, output, is_json=is_json)


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
