"""The real page, shell, library and chat, with a scripted answer instead of a model.

    python -m tests.e2e.page_server HOME PORT [people]

With `people` it is a kit for a network, where ana (staff) and boss (administrator) sign in.
The question says what happens: "slow …" waits until it is stopped, "fail …" has an engine that
fails, "absent …" is not in the documents; any other is answered from the best passage. Each stream
that is closed early leaves a line in HOME/closed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn

from kit.answer import chat as chat_module
from kit.answer.answer import CLOSEST, NOT_FOUND
from kit.answer.conversations.conversations import Conversations
from kit.answer.events import (
    Answer,
    Draft,
    Event,
    Finished,
    ReasoningDelta,
    Retrieved,
    Sentence,
    Timings,
    Waiting,
)
from kit.answer.evidence.cite import citation, compose, quoted
from kit.answer.modes.modes import Modes
from kit.answer.retrieve import Searcher
from kit.config import Config, WebSettings
from kit.database import Database
from kit.errors import EngineUnavailable
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.people.sign_in import SignIn
from kit.people.throttle import Throttle
from kit.testing import FakeEmbedder, FakeEngine
from kit.web.services import Services, open_people
from kit.web.shell import build_shell, mount_gradio

PASSWORD = "four quiet green herons"
STEP_S = 0.15
MAX_UPLOAD_MB = 1
TIMINGS = Timings(0.1, 0.2, 0.9)


def scripted(home: Path) -> Any:
    """Stands in for `answer_question`."""

    async def answer(
        question: str, *, reader: str, searcher: Searcher, collection: str | None = None,
        document_id: str | None = None, **_: Any
    ) -> AsyncIterator[Event]:  # fmt: skip
        is_whole = False
        try:
            async for event in _events(question, reader, searcher, collection, document_id):
                yield event
            is_whole = True
        finally:
            if not is_whole and not question.startswith("fail"):
                with (home / "closed").open("a") as out:
                    out.write(question + "\n")

    return answer


async def _events(
    question: str,
    reader: str,
    searcher: Searcher,
    collection: str | None,
    document_id: str | None,
) -> AsyncIterator[Event]:
    if document_id is None:
        found = await searcher.search(question, reader=reader, top_k=3, collection=collection)
        hits = found.hits
    else:
        one = await searcher.search_document(question, reader=reader, document_id=document_id)
        hits = one.hits
    passages = tuple(citation(hit, n=n) for n, hit in enumerate(hits, start=1))
    yield Retrieved(passages)
    await asyncio.sleep(STEP_S)
    yield Waiting(1)
    await asyncio.sleep(STEP_S)
    if question.startswith("fail"):
        raise EngineUnavailable("the engine is restarting", hint="ask again in a moment")
    if question.startswith("absent") or not passages:
        text = f"{NOT_FOUND} {CLOSEST}"
        yield Finished(Answer(text, False, None, (), (), TIMINGS, closest=passages))
        return
    yield ReasoningDelta("The first passage says it.")
    quote = quoted(passages[0].text[:90], 1)
    yield Draft(quote, passages[:1])
    if question.startswith("slow"):
        await asyncio.sleep(600)
    sentences: list[Sentence] = []
    for text, support in (
        ("The documents **say** so. <img src=https://evil.example/x>", "supported"),
        ("![x](https://evil.example/y) They say it in part.", "partly"),
        ("Everybody knows it.", "unsupported"),
    ):
        await asyncio.sleep(STEP_S)
        sentences.append(Sentence(text, support, () if support == "unsupported" else (1,)))  # type: ignore[arg-type]
        shown = tuple(s for s in sentences if s.support != "unsupported")
        yield Draft(compose(quote, sentences), passages[:1], sentences=shown)
    yield Finished(
        Answer(
            compose(quote, sentences), True, 1, tuple(sentences), passages[:1], TIMINGS,
            reasoning="The first passage says it.",
        )
    )  # fmt: skip


class NoIndex:
    """A dense index that is never ready: search goes by words."""

    is_ready, state = False, "waiting"

    def search(self, *_: object) -> list[tuple[int, float]]:
        return []

    def wake(self) -> None:
        pass


def ingest(library: Library, config: Config) -> None:
    """Read what is queued, for as long as the process lives."""
    ingestor = Ingestor(library, FakeEmbedder(), config.library)
    while True:
        if not ingestor.run_next():
            time.sleep(0.2)


def main(home: Path, port: int, *, has_people: bool = False) -> None:
    host = "10.0.0.1" if has_people else "127.0.0.1"
    config = Config(home=home, web=WebSettings(host=host, max_upload_mb=MAX_UPLOAD_MB))
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    database = Database(home / "kit.db")
    library, conversations = Library(home, database), Conversations(database)
    conversations.repair()
    index = NoIndex()
    searcher = Searcher(library, database, index, FakeEmbedder())
    accounts, sessions = open_people(config, database)
    if has_people and not accounts.has_passwords():
        accounts.add("ana", PASSWORD)
        accounts.add("boss", PASSWORD, role="admin")
    chat_module.answer_question = scripted(home)  # type: ignore[assignment]
    engine = FakeEngine()
    services = Services(
        config=config,
        database=database,
        library=library,
        index=index,  # type: ignore[arg-type]
        searcher=searcher,
        engine=engine,
        conversations=conversations,
        chat=chat_module.Chat(
            conversations,
            searcher,
            engine,
            config.answer,
            modes=Modes(library, searcher, engine, config.answer),
        ),
        accounts=accounts,
        sessions=sessions,
        sign_in=SignIn(database, accounts, sessions, Throttle(database)),
    )
    threading.Thread(target=ingest, args=(library, config), daemon=True).start()
    uvicorn.run(build_shell(services, mount_gradio(services)), port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), has_people=sys.argv[3:] == ["people"])
