"""The promise of the answer room with the real starter models on a tiny library."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kit.answer.answer import NOT_FOUND, answer_question
from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.events import Answer, Draft, Finished
from kit.answer.retrieve import Searcher
from kit.config import AnswerSettings, LibrarySettings
from kit.database import Database
from kit.engine.client import EngineClient
from kit.library.index.embed import LocalEmbedder
from kit.library.index.vectors import VectorIndex
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from tests.e2e.test_engine_server import EngineProcess

pytestmark = pytest.mark.e2e

T = TypeVar("T")
RULES = """# Rules of the ethics committee

## Meetings
The ethics committee meets on the first Tuesday of each month at 14:00 in room 214. It has nine
members. Applications must arrive ten working days before a meeting.

## Fees
Students pay nothing. A company pays R2 500 for each application.
"""
TRAVEL = """# Travel rules

## Daily allowance
The daily allowance for a full day in the country is R585. Alcohol is not refunded.

## 假期
员工每年有二十四天年假。
"""


@pytest.fixture(scope="module")
def engine(quick_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(
        quick_model, tmp_path_factory.mktemp("engine"), "--parallel", "1", "--ctx", "2048"
    )
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def searcher(embedding_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    home = tmp_path_factory.mktemp("home")
    database = Database(home / "kit.db")
    library, embedder = Library(home, database), LocalEmbedder(embedding_model)
    for name, text in (("ethics-rules.md", RULES), ("travel-rules.md", TRAVEL)):
        library.add(io.BytesIO(text.encode()), name, added_by="local")
    ingestor = Ingestor(library, embedder, LibrarySettings())
    while ingestor.run_next():
        pass
    index = VectorIndex(home, database, model=embedder.model, dim=embedder.dim)
    index.follow()
    try:
        yield Searcher(library, database, index, embedder)
    finally:
        index.close()
        database.close()


def with_client(url: str, use: Callable[[EngineClient], Awaitable[T]]) -> T:
    async def run() -> T:
        client = EngineClient(f"{url}/v1")
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.fixture
def ask(engine: EngineProcess, searcher: Searcher) -> Callable[[str], Answer]:
    def run(question: str) -> Answer:
        async def use(client: EngineClient) -> Answer:
            stream = answer_question(
                question, history=(), reader="local", searcher=searcher, engine=client,
                settings=AnswerSettings(max_answer_tokens=80),
            )  # fmt: skip
            events = [event async for event in stream]
            assert isinstance(events[-1], Finished)
            return events[-1].answer

        return with_client(engine.root, use)

    return run


def test_what_the_documents_say_is_quoted_first(ask, searcher) -> None:
    """'When does the committee meet' opens with the sentence that says it, and its exact span."""
    answer = ask("When does the ethics committee meet?")
    assert answer.is_supported
    assert answer.text.startswith("“The ethics committee meets on the first Tuesday of each month")
    citation = answer.citations[0]
    assert citation.document == "ethics-rules.md"
    text = RULES[citation.start : citation.end]
    assert text == citation.text
    assert not answer.notices


def test_the_president_of_france_is_not_invented(ask) -> None:
    """A question the documents do not answer gets the plain statement and no model text."""
    answer = ask("Who is the president of France?")
    assert not answer.is_supported
    assert answer.text.startswith(NOT_FOUND)
    assert answer.sentences == ()


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("How much does a company pay for an application?", "R2 500"),
        ("How high is the daily allowance?", "R585"),
        ("Is alcohol refunded?", "not refunded"),
        ("员工每年有多少天年假？", "二十四天"),
    ],
)
def test_whatever_the_model_adds_is_in_the_documents(ask, question: str, part: str) -> None:
    """Quotes hold the answer, and every number shown stands in the documents."""
    answer = ask(question)
    assert part in answer.text
    shown = re.sub(r"\[\d+\]", "", answer.text)
    assert {*re.findall(r"\d+", shown)} <= {*re.findall(r"\d+", RULES + TRAVEL)}


@pytest.mark.parametrize(
    "question",
    ["What is the phone number of the ethics committee?", "How tall is Mount Kilimanjaro?"],
)
def test_near_and_far_misses_are_refused(ask, question: str) -> None:
    """Neither a fact missing from the right document nor general knowledge is made up."""
    assert not ask(question).is_supported


def test_stopping_stores_the_quote_and_frees_the_engine(
    engine: EngineProcess, searcher: Searcher
) -> None:
    """A reader who stops at the first draft finds the quote in the conversation, as stopped."""
    conversations = Conversations(searcher._database)  # where its documents are
    made = conversations.create("local")

    async def use(client: EngineClient) -> None:
        no_modes: Any = None  # nothing but a question is asked
        chat = Chat(conversations, searcher, client, AnswerSettings(), modes=no_modes)
        question = "When does the ethics committee meet?"
        stream = chat.ask(question, owner_id="local", conversation_id=made.id)
        async for event in stream:
            if isinstance(event, Draft):
                break
        await stream.aclose()  # type: ignore[attr-defined]

    with_client(engine.root, use)
    asked, answered = conversations.messages(made.id, "local")
    assert (asked.state, answered.state) == ("complete", "stopped")
    assert "first Tuesday" in answered.text
