"""kit eval answers: an administrator's own questions, asked as people ask them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.open_kit import open_kit
from kit.cli.output import Meter, emit, meter, say, table
from kit.cli.session import Kit
from kit.config import Config, load_config
from kit.errors import EngineUnavailable, KitError, Problem, UsageError

if TYPE_CHECKING:
    from kit.answer.events import Answer
    from kit.engine.client import ChatDelta, ChatMessage, Engine
    from kit.evaluate.answers import AnswersReport
    from kit.evaluate.asked import QuestionSet
    from kit.library.documents import DocumentRecord

COLLECTION = "measured"
MAX_TOLD = 10  # questions that were answered well before, on the terminal


def answers(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Holds questions.jsonl, and in documents/ the files they are about;"
            " without files the library of this kit is asked.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="The sample documents and their questions instead.")
    ] = False,
    without_model: Annotated[
        bool,
        typer.Option(
            "--without-model",
            help="Ask no language model: quotations and refusals are the program's own, and"
            " measured in a minute.",
        ),
    ] = False,
    collection: options.CollectionOption = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Draw no plots.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FOLDER", help="Where the dated folder goes."),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Measure answers to your own questions: right, wrongly answered, wrongly refused, how fast.

    What became worse since the last report of the same data is said, and the exit code is 1.
    """
    from datetime import UTC, datetime

    from kit.evaluate.answers import find_before, find_lost, find_worse, measure_answers
    from kit.evaluate.plots import require_plots
    from kit.files import require_writable_folder

    config = load_config(home=home)
    data = _question_set(folder, is_samples=samples)
    if data.files and collection is not None:
        raise UsageError(
            "--collection chooses in the library, and the documents to ask are given",
            hint="leave out --collection, or the folder documents",
        )
    if not no_plots:
        require_plots()
    now = datetime.now(UTC)
    reports = output or config.home / "reports"
    place = reports / f"answers-{data.name}-{now:%Y-%m-%dT%H%M%SZ}"
    require_writable_folder(place)
    with _kit_to_ask(config, data, without_model=without_model) as kit, meter() as shown:
        _load(kit, data.files, shown)
        report = measure_answers(
            data,
            lambda questions: _converse(kit, questions, COLLECTION if data.files else collection),
            made_at=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            conditions=_conditions(config, kit, data, without_model=without_model),
            on_progress=shown.show,
        )
    before = find_before(reports, report)
    worse, lost = find_worse(report, before), find_lost(report, before)
    _write(report, place, worse, lost, with_plots=not no_plots)
    if is_json:
        shown_report = report.as_json(with_questions=False)
        emit({"folder": str(place), "worse": worse, "lost": lost, **shown_report})
    else:
        _tell(report, worse, lost)
        print(f"report: {place / 'report.md'}")
    raise typer.Exit(1 if worse else 0)


def _question_set(folder: Path | None, *, is_samples: bool) -> QuestionSet:
    from kit.evaluate.asked import read_question_set

    if is_samples != (folder is None):
        raise UsageError(
            "the questions are missing" if folder is None else "--samples and a folder were given",
            hint="kit eval answers DIR, or: kit eval answers --samples",
        )
    return sample_question_set() if folder is None else read_question_set(folder)


def sample_question_set() -> QuestionSet:
    """The sample documents and the questions about them that are shipped."""
    import tomllib

    from kit.evaluate.asked import Asked, question_set
    from kit.samples import QUESTIONS, sample_paths

    entries = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    questions = [
        Asked(
            question=entry["question"],
            expected=tuple((text,) for text in entry.get("must_contain", ())),
            document=entry.get("document"),
            page=entry.get("page"),
            is_unanswerable=entry["kind"] == "no_answer",
            is_follow_up=entry["kind"] == "follow-up",
        )
        for entry in entries
    ]
    return question_set("samples", questions, {path.name: path for path in sample_paths()})


@contextlib.contextmanager
def _kit_to_ask(config: Config, data: QuestionSet, *, without_model: bool) -> Iterator[Kit]:
    """The kit of this home; or, for files of their own, a library that is gone afterwards, with
    the models of this home."""
    import os
    import tempfile

    from kit.cli.local import LocalKit
    from kit.files import make_private_folder
    from kit.instance import find_instance
    from kit.library.index.embed import LocalEmbedder
    from kit.silence import quiet_environment
    from kit.supply.catalog import STARTER_EMBEDDING
    from kit.supply.runnable import find_embedding_folder

    if not data.files:
        if not without_model:
            with open_kit(config, say) as kit:
                yield kit
            return
        if find_instance(config.home):
            raise UsageError(
                "--without-model asks the library itself, and the running kit has it",
                hint="stop the kit, or put copies of the files into the folder documents",
            )
        with contextlib.closing(LocalKit(config, say, engine=_NoModel())) as local:
            yield local
        return
    name = config.library.embedding_model or STARTER_EMBEDDING
    embedding = find_embedding_folder(config.home, name)
    make_private_folder(config.home)
    with contextlib.ExitStack() as stack:
        passing = stack.enter_context(tempfile.TemporaryDirectory(prefix="kit-eval-"))
        engine = _NoModel() if without_model else _engine(config, stack)
        say(f"loading {name}")
        os.environ.update(quiet_environment(os.environ) | {"TQDM_DISABLE": "1"})
        trial = replace(config, home=Path(passing) / "home")
        make_private_folder(trial.home)
        trial_kit = LocalKit(trial, say, embedder=LocalEmbedder(embedding), engine=engine)
        yield stack.enter_context(contextlib.closing(trial_kit))


class _NoModel:
    """Stands where a language model would: it is not asked."""

    async def stream_chat(
        self, messages: Sequence[ChatMessage], **_settings: object
    ) -> AsyncIterator[ChatDelta]:
        del messages
        raise EngineUnavailable("it was not asked")
        yield  # an iterator, like any other engine's

    async def count_tokens(self, text: str) -> int:
        """About as many as most models count."""
        return len(text) // 4 + 1

    async def context_tokens(self) -> int:
        return 4096


def _engine(config: Config, stack: contextlib.ExitStack) -> Engine:
    """The engine that answers here: one elsewhere, the running kit's, or one for this command."""
    from kit.engine.client import EngineClient
    from kit.instance import find_instance
    from kit.ops.passing_engine import passing_engine

    settings, instance = config.engine, find_instance(config.home)
    if settings.url:
        return EngineClient(settings.url, api_key=settings.api_key, model=settings.model)
    url = instance.engine_url if instance else stack.enter_context(passing_engine(config, say))
    return EngineClient(url)


def _load(kit: Kit, files: Mapping[str, Path], shown: Meter) -> None:
    """The files are read. Raises: KitError naming those that are not: questions about them would
    count against the answers."""
    added = []
    for name, path in files.items():
        with path.open("rb") as stream:
            added.append(kit.add(stream, name, COLLECTION).id)
    read: list[str] = []

    def on_change(record: DocumentRecord) -> None:
        read.append(record.id)
        shown.show("reading", len(read), len(added))

    kit.read_documents(added, on_change)
    found = [kit.document(document_id) for document_id in added]
    unread = [
        Problem(record.name, record.error or f"is {record.state}")
        for record in found
        if not (record.is_read or record.state == "duplicate")
    ]
    if unread:
        raise KitError(
            f"{len(unread)} of {len(added)} documents cannot be asked",
            problems=unread,
            hint="mend them or take them out of the folder documents",
        )


def _converse(kit: Kit, questions: Sequence[str], collection: str | None) -> list[Answer]:
    """The answers to the questions of one conversation; it is forgotten afterwards."""
    conversation = kit.new_conversation() if len(questions) > 1 else None
    try:
        return [_answer(kit, text, collection, conversation) for text in questions]
    finally:
        if conversation is not None:
            kit.forget_conversation(conversation)


def _answer(kit: Kit, question: str, collection: str | None, conversation: str | None) -> Answer:
    from kit.answer.events import Finished

    events = kit.ask(question, collection=collection, conversation_id=conversation)
    with closing(events) as stream:  # type: ignore[type-var]
        for event in stream:
            if isinstance(event, Finished):
                return event.answer
    raise KitError("an answer ended too early", hint="the reason is in logs/web.log")


def _conditions(
    config: Config, kit: Kit, data: QuestionSet, *, without_model: bool
) -> dict[str, str]:
    from kit import __version__
    from kit.engine.cpu.machine import cpu_name, usable_cores
    from kit.evaluate.answers import NO_MODEL
    from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING

    documents = kit.documents() if not data.files else list(data.files)
    model = config.engine.model or config.engine.url or STARTER_CHAT
    return {
        "kit": __version__,
        "machine": f"{cpu_name()}, {usable_cores()} cores",
        "language model": NO_MODEL if without_model else model,
        "embedding model": config.library.embedding_model or STARTER_EMBEDDING,
        "documents": str(len(documents)),
        "questions": "their own library" if data.files else "the library of this kit",
    }


def _write(
    report: AnswersReport,
    folder: Path,
    worse: Sequence[str],
    lost: Sequence[str],
    *,
    with_plots: bool,
) -> None:
    from kit.evaluate.answers import write_answers_report
    from kit.evaluate.plots import draw_answers

    plots = draw_answers(report, folder) if with_plots else []
    write_answers_report(report, folder, worse=worse, lost=lost, plots=plots)


def _tell(report: AnswersReport, worse: Sequence[str], lost: Sequence[str]) -> None:
    from kit.evaluate.answers import headlines

    table(headlines(report.figures), ("FIGURE", report.data.upper()))
    for line in worse:
        say(f"worse than before: {line}")
    for question in lost[:MAX_TOLD]:
        say(f"no longer answered well: {question}")
    if len(lost) > MAX_TOLD:
        say(f"and {len(lost) - MAX_TOLD} more, in the report")
