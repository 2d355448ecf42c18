"""One document on the real engine: read once for everybody, also over a restart, and then gone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from kit.answer.answer import answer_question
from kit.answer.conversations.forget import forget_removed
from kit.answer.events import Answer, Finished
from kit.answer.retrieve import Searcher
from kit.config import AnswerSettings, LibrarySettings
from kit.database import Database
from kit.engine.client import EngineClient
from kit.engine.pins import pinned
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.samples import sample_paths
from kit.testing import FakeEmbedder
from tests.e2e.drive import RunningKit, link_models, run_kit, start_kit, wait_until, wait_until_warm
from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.e2e

FLAGS = ("--parallel", "2", "--ctx", "4096")
BIRDS = (
    "heron gannet curlew plover petrel osprey bittern avocet dunlin godwit ibis jacana kittiwake"
    " loon merlin noddy oystercatcher pelican quail razorbill shoveler tern egret whimbrel"
)
MANUAL = "\n\n".join(
    f"# The {bird} berth\n\nThe fee of the {bird} berth is R {310 + n} a month. Boats of up to"
    f" {n % 7 + 4} metres may lie there. The key of the {bird} berth is kept by the warden of pier"
    f" {n % 5 + 1}, who opens at seven."
    for n, bird in enumerate(BIRDS.split())
)
NUM_OWN = 60  # tokens at most that a question of its own costs: itself, and the template's end


class Office:
    """A library of two people over a real engine that can be started anew."""

    def __init__(self, chat_model: Path, folder: Path) -> None:
        self._model, self.folder = chat_model, folder
        self.database = Database(folder / "kit.db")
        with self.database.write() as connection:
            for name, role in (("ann", "admin"), ("bob", "staff")):
                connection.execute(
                    "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (name, name, role)
                )
        self.library = Library(folder, self.database)
        index: Any = None  # one document is scored without it
        self.searcher = Searcher(self.library, self.database, index, FakeEmbedder())
        self.engine = self._start()

    def _start(self) -> EngineProcess:
        return EngineProcess(self._model, self.folder, *FLAGS).wait_until_ready()

    def restart(self) -> None:
        assert self.engine.stop() == 0
        self.engine = self._start()

    def add(self, name: str, text: str = MANUAL, **options: Any) -> str:
        record = self.library.add(io.BytesIO(text.encode()), name, added_by="ann", **options)
        ingestor = Ingestor(self.library, FakeEmbedder(), LibrarySettings())
        while ingestor.run_next():
            pass
        return record.id

    def ask(self, document_id: str, reader: str, question: str) -> tuple[Answer, int, int]:
        """The answer, and how many tokens of its prompt were computed and reused."""
        names = ("prompt_tokens_total", "cached_tokens_total")
        before = [self.engine.metric(name) for name in names]

        async def run() -> Answer:
            client = EngineClient(f"{self.engine.root}/v1")
            stream = answer_question(
                question, history=(), reader=reader, searcher=self.searcher, engine=client,
                settings=AnswerSettings(max_answer_tokens=24), document_id=document_id,
            )  # fmt: skip
            async with aclosing(cast("AsyncIterator[Any]", stream)) as events:  # type: ignore[type-var]
                last = [event async for event in events][-1]
            await client.close()
            assert isinstance(last, Finished)
            return last.answer

        answer = asyncio.run(run())
        self.engine.wait_for_metric("requests_running", 0)
        computed, cached = (
            int(self.engine.metric(name) - count) for name, count in zip(names, before, strict=True)
        )
        return answer, computed, cached

    def forget_removed(self) -> int:
        async def run() -> int:
            client = EngineClient(f"{self.engine.root}/v1")
            try:
                return await forget_removed(client, self.database)
            finally:
                await client.close()

        return asyncio.run(run())

    def pins(self) -> dict[Path, str]:
        return pinned(self.folder / "prefixes")


@pytest.fixture
def office(quick_model: Path, tmp_path: Path) -> Iterator[Office]:
    made = Office(quick_model, tmp_path)
    yield made
    made.engine.stop()
    made.database.close()


def test_everybody_who_asks_reads_it_once(office: Office) -> None:
    """The second person's question costs its own tokens only, so does the first after a restart;
    when the document is removed nothing of it is left on disk."""
    document_id = office.add("berths.md")
    prefix = office.library.whole(document_id, "ann").prefix
    answer, computed, cached = office.ask(
        document_id, "ann", "What is the fee of the pelican berth a month?"
    )
    assert answer.is_supported
    assert not answer.notices
    assert "R 327" in answer.text
    assert computed > 1000
    assert cached == 0
    num_document = computed

    _, computed, cached = office.ask(
        document_id, "bob", "What is the fee of the curlew berth a month?"
    )
    assert computed < NUM_OWN
    assert cached > num_document - NUM_OWN

    wait_until(lambda: list(office.pins().values()) == [prefix], what="the pin on disk")
    office.restart()
    answer, computed, cached = office.ask(
        document_id, "bob", "What is the fee of the tern berth a month?"
    )
    assert "R 331" in answer.text
    assert computed < NUM_OWN
    assert cached > num_document - NUM_OWN

    other = office.add("second.md", MANUAL.replace("berth", "mooring"))
    office.ask(other, "ann", "What is the fee of the ibis mooring a month?")
    wait_until(lambda: len(office.pins()) == 2, what="the second pin")
    office.library.remove(document_id, "ann")
    assert office.forget_removed() == 1
    wait_until(lambda: prefix not in office.pins().values(), what="the forgotten pin")
    assert len(list((office.folder / "prefixes").iterdir())) == 1

    office.library.remove(other, "ann")  # while no engine runs that could be told
    assert office.engine.stop() == 0
    office.engine = office._start()
    assert office.forget_removed() == 1
    wait_until(lambda: not office.pins(), what="the last pin")
    assert list((office.folder / "prefixes").iterdir()) == []


def test_a_private_document_is_computed_for_its_owner_alone(office: Office) -> None:
    """Its owner's next question reuses it; the same text of another person does not, and nothing
    of either is on disk."""
    mine = office.add("mine.md", is_private=True)
    _, first, _ = office.ask(mine, "ann", "What is the fee of the pelican berth a month?")
    _, again, cached = office.ask(mine, "ann", "What is the fee of the curlew berth a month?")
    assert again < NUM_OWN
    assert cached > first - NUM_OWN
    shared = office.add("mine.md", is_private=False)  # the same file, for everybody
    _, computed, cached = office.ask(shared, "bob", "What is the fee of the pelican berth a month?")
    assert (computed, cached) == (first, 0)
    wait_until(lambda: len(office.pins()) == 1, what="the pin of the shared one")
    assert list(office.pins().values()) == [office.library.whole(shared, "bob").prefix]


def engine_metric(kit: RunningKit, name: str) -> float:
    root = kit.instance.engine_url.removesuffix("/v1")
    with urllib.request.urlopen(f"{root}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return next(float(s.split()[1]) for s in lines if s.startswith(f"kit_engine_{name} "))


def test_the_running_kit_keeps_it_over_a_crash_and_loses_it_when_removed(
    ready_models: Path, tmp_path: Path
) -> None:
    """`kit ask --document` on a running kit whose engine is killed, then `kit docs rm`."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    name, folder = "travel-policy-2025.pdf", home / "prefixes"
    (policy,) = (path for path in sample_paths() if path.name == name)
    kit = start_kit(home, "--no-samples")
    assert run_kit(home, "docs", "add", str(policy)).code == 0
    wait_until_warm(kit)
    questions = (
        "What is the daily allowance for a full day in South Africa?",
        "Within how many days is a claim submitted?",
    )
    first = run_kit(home, "ask", questions[0], "--document", name, "--json").json()
    assert first["supported"]
    assert {citation["document"] for citation in first["citations"]} == {name}
    assert not first["notices"]
    wait_until(lambda: len(pinned(folder)) == 1, what="the pin on disk")
    os.kill(kit.child_pid("kit.engine.server"), signal.SIGKILL)
    wait_until(lambda: kit.health()["engine"] != "ready", what="the killed engine")
    wait_until(lambda: kit.health()["engine"] == "ready", what="the engine again")
    second = run_kit(home, "ask", questions[1], "--document", name, "--json").json()
    assert second["supported"]
    # The answer is here before it is counted.
    wait_until(lambda: engine_metric(kit, "cached_tokens_total") > 1000, what="the reused tokens")
    assert engine_metric(kit, "prompt_tokens_total") < NUM_OWN
    assert run_kit(home, "docs", "rm", name).code == 0
    wait_until(lambda: list(folder.iterdir()) == [], what="the empty folder")
    gone = run_kit(home, "ask", questions[0], "--document", name)
    assert (gone.code, gone.out) == (22, "")
    assert kit.stop() == 0
    assert json.loads(json.dumps(first["answer"]))


def test_without_a_running_kit_removing_takes_the_pin_too(
    ready_models: Path, tmp_path: Path
) -> None:
    """`kit ask --document` on the folder pins as well; `kit docs rm` then leaves nothing."""
    home, note = tmp_path / "home", tmp_path / "berths.md"
    link_models(ready_models, home)
    note.write_text(MANUAL)
    assert run_kit(home, "docs", "add", str(note)).code == 0
    asked = run_kit(
        home,
        "ask",
        "What is the fee of the pelican berth a month?",
        "--document",
        "berths.md",
        "--json",
    )
    assert "R 327" in asked.json()["answer"], asked.err
    assert len(pinned(home / "prefixes")) == 1
    assert run_kit(home, "docs", "rm", "berths.md").code == 0
    assert list((home / "prefixes").iterdir()) == []
