"""Summaries, comparisons, tables of fields: every sentence and cell is backed by an exact span."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.events import Answer, Draft, Event, Finished, Progress
from kit.answer.evidence.align import align, differences, differing_facts
from kit.answer.evidence.passages import cut_passages
from kit.answer.evidence.values import kind_of, value_span
from kit.answer.modes.background import BackgroundEngine
from kit.answer.modes.compare import BY_WORDS
from kit.answer.modes.modes import Modes
from kit.answer.modes.summarise import ALL_VERBATIM, SOME_VERBATIM
from kit.answer.modes.task import Field, Task, read_field, task_from_json, task_to_json
from kit.answer.retrieve import DocumentSearch, SearchResult
from kit.config import AnswerSettings
from kit.database import Database
from kit.engine.client import ChatMessage, Reuse
from kit.errors import DocumentRefused, EmbedError, NotFound, UsageError
from kit.library.documents import (
    DocumentRecord,
    Hit,
    ParsedDocument,
    Section,
    WholeDocument,
    require_read,
)
from kit.testing import FakeEmbedder, FakeEngine

OLD = """# Allowance
Staff receive R450 a day for meals.
The form must reach the office 15 working days before departure.
# Cars
Vehicles are booked with Transport Services.
The university refunds R4.18 per kilometre."""
NEW = """# Allowance
Staff receive R585 a day for meals.
The form must reach the office 10 working days before departure.
# Cars
Vehicles are booked with Transport Services.
Nobody drives after dark outside towns."""
CALL = """The fund supports research on water.
Applications close on 31 March 2027; awards are announced on 15 June 2027.
Award: up to R1 500 000; Contact: Ms Thandi Nkosi; E-mail: fund@karoo.example"""


class Shelf:
    """Documents in memory, a passage per line that is no heading. Ann reads all, others none."""

    embedder = FakeEmbedder()

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.states: dict[str, Any] = {}

    def get(self, document_id: str, reader: str) -> DocumentRecord:
        if document_id not in self.texts or reader != "ann":
            raise NotFound(f"there is no document {document_id}")
        is_read = bool(self.texts[document_id])
        state = self.states.get(document_id) or ("indexed" if is_read else "no_text")
        return DocumentRecord(
            document_id, f"{document_id}.md", "library", None, "", 1,
            state, None if is_read else "it is a scan", None, (), None, 1, None, "",
        )  # fmt: skip

    def list(self, reader: str, collection: str | None = None) -> list[DocumentRecord]:
        return [self.get(name, reader) for name in self.texts] if reader == "ann" else []

    def whole(self, document_id: str, reader: str) -> WholeDocument:
        record = self.get(document_id, reader)
        require_read(record)
        hits: list[Hit] = []
        start, place = 0, ""
        for line in self.texts[document_id].split("\n"):
            if line.startswith("# "):
                place = line[2:]
            else:
                rank, end = len(hits) + 1, start + len(line)
                hits.append(
                    Hit(rank, 1.0, rank, document_id, record.name, None, place, start, end, line, 9)
                )
            start += len(line) + 1
        return WholeDocument(record, tuple(hits), "")

    def text(self, document_id: str, reader: str) -> ParsedDocument:
        self.get(document_id, reader)
        text, sections, start = self.texts[document_id], [], 0
        for part in text.split("# "):
            end = start + len(part)
            label = part.partition("\n")[0]
            sections.append(Section("heading", label, start, end))
            start = end + 2
        return ParsedDocument(text, tuple(sections))

    async def search(self, *_: Any, **__: Any) -> SearchResult:
        raise AssertionError("no mode searches the library")

    async def beside(self, *_: Any, **__: Any) -> tuple[Hit, ...]:
        return ()

    async def search_document(self, query: str, *, reader: str, document_id: str) -> DocumentSearch:
        whole = self.whole(document_id, reader)
        return DocumentSearch(whole, whole.hits)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(old=OLD, new=NEW, call=CALL, scan="")


def modes_of(shelf: Shelf, engine: Any = None, **changes: Any) -> Modes:
    return Modes(shelf, shelf, engine or FakeEngine(), AnswerSettings(**changes))


@pytest.fixture
def do(shelf: Shelf, collect: Callable[..., list[Event]]) -> Callable[..., Answer]:
    """The answer of a task; everything it cites is checked against the documents."""

    def run(task: Task, engine: Any = None, **changes: Any) -> Answer:
        events = collect(modes_of(shelf, engine, **changes).run(task, "ann"))
        assert isinstance(events[-1], Finished)
        steps = [event for event in events if isinstance(event, Progress)]
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        assert steps[-1].done == steps[-1].total
        answer = events[-1].answer
        for citation in answer.citations:
            text = shelf.texts[citation.document_id]
            assert text[citation.start : citation.end] == citation.text
        known = {citation.n for citation in answer.citations}
        for table in answer.tables:
            for row in table.rows:
                assert len(row) == len(table.columns)
                assert {n for cell in row for n in cell.citations} <= known
        return answer

    return run


# Summaries --------------------------------------------------------------------------------------


def by_part(messages: Sequence[ChatMessage]) -> str:
    """A model that repeats the last passage it is given, and invents a sentence."""
    if "notes on one document" in messages[-1].content:
        return "Staff receive R585 a day for meals."
    passage = messages[-1].content.rpartition("</passage")[0].rpartition(">\n")[2].strip()
    return f"{passage} The moon is made of green cheese."


def test_a_summary_is_supported_sentence_by_sentence(do: Any) -> None:
    """What the document backs is shown with its place; what is invented is left out."""
    answer = do(Task("summarise", ("new",)), FakeEngine(by_part))
    assert answer.is_supported
    assert answer.text == "Nobody drives after dark outside towns. [1]"
    assert [(s.text, s.support) for s in answer.sentences] == [
        ("Nobody drives after dark outside towns.", "supported"),
        ("The moon is made of green cheese.", "unsupported"),
    ]
    assert answer.notices == ()


def test_a_long_document_is_read_in_parts(do: Any) -> None:
    """Each part fits its budget and is summarised; the points follow the document."""
    engine = FakeEngine(by_part)
    answer = do(Task("summarise", ("new",)), engine, max_prompt_tokens=40)
    assert len(engine.seen) == 4
    assert [s.text for s in answer.sentences if s.support == "supported"] == [
        "Staff receive R585 a day for meals.",
        "The form must reach the office 10 working days before departure.",
        "Vehicles are booked with Transport Services.",
        "Nobody drives after dark outside towns.",
    ]


def test_many_points_are_merged_and_checked_again(collect: Any) -> None:
    """The model merges its notes; a merged sentence without support is left out, and sentences of
    the parts stand in for what it left out."""
    birds = "heron gannet curlew plover petrel osprey bittern avocet dunlin"
    names = birds.split()
    text = "\n".join(f"The {bird} berth costs R{300 + n} a month." for n, bird in enumerate(names))
    shelf = Shelf(berths=text)

    def script(messages: Sequence[ChatMessage]) -> str:
        if "notes on one document" in messages[-1].content:
            return "The gannet berth costs R301 a month. The gannet berth costs R999 a month."
        return by_part(messages)

    engine = FakeEngine(script)
    modes = modes_of(shelf, engine, max_prompt_tokens=40)
    answer = collect(modes.run(Task("summarise", ("berths",)), "ann"))[-1].answer
    shown = [s.text for s in answer.sentences if s.support == "supported"]
    assert len(engine.seen) == len(names) + 1
    assert "The gannet berth costs R301 a month." in shown
    assert 5 <= len(shown) <= 8
    assert "R999" not in answer.text


@pytest.mark.parametrize("engine", [FakeEngine("Cheese is green."), FakeEngine(fails=True)])
def test_without_a_supported_sentence_the_documents_own_stand_in(do: Any, engine: Any) -> None:
    """They are quoted word for word, and said to be that; a failing engine is told."""
    answer = do(Task("summarise", ("old",)), engine)
    assert answer.is_supported
    assert answer.text.startswith("- “")
    assert answer.citations[0].text in OLD
    assert ALL_VERBATIM in answer.notices
    assert any("restarting" in notice for notice in answer.notices) == engine.fails


def test_a_part_of_which_nothing_is_supported_is_told(do: Any) -> None:
    """The reader sees which sentences are the document's own."""

    def script(messages: Sequence[ChatMessage]) -> str:
        return "" if "Transport" in messages[-1].content else by_part(messages)

    answer = do(Task("summarise", ("new",)), FakeEngine(script), max_prompt_tokens=40)
    assert "- “Vehicles are booked with Transport Services.” [" in answer.text
    assert answer.notices == (SOME_VERBATIM,)


class Cold(FakeEmbedder):
    """The worker before it is warm: every question to it fails."""

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> Any:
        raise EmbedError("the embedding model is loading")

    @property
    def dim(self) -> int:  # type: ignore[override]
        raise EmbedError("the embedding model is loading")


@pytest.mark.parametrize(
    "task",
    [
        Task("summarise", ("new",)),
        Task("compare", ("old", "new")),
        Task("extract", ("call",), None, (read_field("Deadline: when do applications close?"),)),
    ],
    ids=lambda task: task.kind,
)
def test_every_mode_goes_by_words_until_the_embedding_model_is_there(
    shelf: Shelf, do: Any, task: Task
) -> None:
    """Each has its evidence all the same; a comparison says that meanings were not compared."""
    shelf.embedder = Cold()
    answer = do(task, FakeEngine(by_part))
    assert answer.citations
    assert (BY_WORDS in answer.notices) == (task.kind == "compare")


def test_long_work_leaves_the_engine_to_those_who_chat() -> None:
    """Of all long work one step at a time is with the engine, in a line of its own; closing a step
    lets the next begin."""

    class Counting(FakeEngine):
        num_running = most_running = 0

        async def stream_chat(self, *args: Any, **options: Any) -> Any:
            self.num_running += 1
            self.most_running = max(self.most_running, self.num_running)
            try:
                async for delta in super().stream_chat(*args, **options):
                    yield delta
            finally:
                self.num_running -= 1

    engine = Counting("one two three", delay_s=0)
    background = BackgroundEngine(engine)

    async def step(is_stopped: bool) -> None:
        stream = background.stream_chat([], max_tokens=9, reuse=Reuse("ann"))
        async with aclosing(stream) as deltas:  # type: ignore[type-var]
            async for _ in deltas:
                if is_stopped:
                    break

    async def go() -> None:
        await asyncio.gather(*(step(is_stopped=n % 2 == 0) for n in range(6)))

    asyncio.run(go())
    assert (len(engine.seen), engine.most_running, engine.num_running) == (6, 1, 0)
    assert {reuse.person for reuse in engine.reused if reuse} == {"ann (long work)"}


# Comparisons ------------------------------------------------------------------------------------


def test_two_versions_side_by_side(do: Any) -> None:
    """What differs in a figure shows both sentences and the figures; what only one says is told."""
    answer = do(Task("compare", ("old", "new")))
    tables = {
        table.title: [[cell.text for cell in row] for row in table.rows] for table in answer.tables
    }
    assert tables["Figures, dates and names that differ"] == [
        [
            "Staff receive R450 a day for meals.",
            "Staff receive R585 a day for meals.",
            "R450 → R585",
        ],
        [
            "The form must reach the office 15 working days before departure.",
            "The form must reach the office 10 working days before departure.",
            "15 → 10",
        ],
    ]
    assert tables["Only in old.md"] == [["The university refunds R4.18 per kilometre."]]
    assert tables["Only in new.md"] == [["Nobody drives after dark outside towns."]]
    assert tables["The same"] == [["Vehicles are booked with Transport Services."] * 2]
    assert "The same in both: **1**" in answer.text


def test_an_earlier_version_is_compared_too(shelf: Shelf, collect: Any) -> None:
    """A document that was superseded answers no question and has no row, and is still compared."""
    shelf.states["old"] = "superseded"
    modes = modes_of(shelf)
    [*_, last] = collect(modes.run(Task("compare", ("old", "new")), "ann"))
    assert last.answer.tables[0].rows[0][2].text == "R450 → R585"
    with pytest.raises(DocumentRefused):
        modes.title(Task("summarise", ("old",)), "ann")
    [*_, last] = collect(modes.run(Task("extract", fields=(Field("Award"),)), "ann"))
    assert [row[0].text for row in last.answer.tables[0].rows] == ["call.md", "new.md", "scan.md"]


def test_a_document_that_goes_meanwhile_is_not_shown(
    shelf: Shelf, database: Database, collect: Any, plant: Any
) -> None:
    """Nothing that was read of it is kept."""
    with database.write() as connection:
        connection.execute("INSERT INTO users VALUES ('ann', 'ann', 'staff', NULL, 0, '')")
    plant("call", "new")
    kept, fields = Conversations(database), (Field("Award"),)
    chat = Chat(kept, shelf, FakeEngine(), AnswerSettings(), modes=modes_of(shelf))
    conversation_id = kept.create("ann").id
    stream = chat.do(
        Task("extract", ("call", "new"), None, fields),
        owner_id="ann",
        conversation_id=conversation_id,
    )

    def remove(event: Event) -> bool:
        if isinstance(event, Draft):
            shelf.texts.pop("call", None)
        return False

    with pytest.raises(NotFound):
        collect(stream, until=remove)
    answered = kept.messages(conversation_id, "ann")[-1]
    assert (answered.state, answered.text) == ("failed", "")
    assert answered.answer is not None
    assert answered.answer.tables == ()


def test_a_document_equals_itself(shelf: Shelf) -> None:
    """Nothing changed and nothing is alone, also where numbering and line breaks differ."""
    units = cut_passages(shelf.whole("old", "ann").hits)
    moved = Shelf(old=OLD.replace("The form must", "3.1 The form\tmust"))
    aligned = align(units, cut_passages(moved.whole("old", "ann").hits), None)
    assert len(aligned.same) == 4
    assert (aligned.changed, aligned.only_old, aligned.only_new) == ((), (), ())


WORD = st.sampled_from(
    ["staff", "car", "fee", "R10", "R20", "day", "form", "office", "pays", "the", "of"]
)
LINES = st.lists(st.lists(WORD, min_size=2, max_size=6).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=40)
@given(LINES, LINES)
def test_every_sentence_is_in_one_group(old: list[str], new: list[str]) -> None:
    """Whatever the documents: none is lost, none is paired twice."""
    shelf = Shelf(old=".\n".join(old) + ".", new=".\n".join(new) + ".")
    mine, theirs = (cut_passages(shelf.whole(name, "ann").hits) for name in ("old", "new"))
    aligned = align(mine, theirs, shelf.embedder)
    pairs = [*aligned.same, *aligned.changed]
    for units, placed in (
        (mine, [*(pair.old for pair in pairs), *aligned.only_old]),
        (theirs, [*(pair.new for pair in pairs), *aligned.only_new]),
    ):
        stating = [unit for unit in units if unit.stems and not unit.is_lead]
        assert sorted(map(id, placed)) == sorted(map(id, stating))


def test_differences_are_named_whole() -> None:
    """A sum of several groups is one; words without a figure or a name are no fact."""
    old = "Staff get R1 500 a day, paid by Harbour Travel within 60 days"
    new = "Staff get R1 800 a day, paid by Acacia Tours inside 30 days"
    assert differences(old, new)[0] == ("R1 500", "R1 800")
    assert differing_facts(old, new) == [
        ("R1 500", "R1 800"), ("Harbour Travel within 60", "Acacia Tours inside 30"),
    ]  # fmt: skip
    assert differing_facts("they pay", "they will pay") == []


def test_rows_differ_in_their_cells() -> None:
    """Names of columns and words that open a sentence are no facts; stops are not shown."""
    old = "Destination: Peru | Allowance: R450 | Limit: R1 150"
    new = "Group: Domestic | Destinations: Peru | Allowance: R585 | Limit: R1 450"
    assert differing_facts(old, new) == [("R450", "R585"), ("R1 150", "R1 450")]
    old = "For flights of eight hours, ask."
    new = "Subject: Flights of eight hours | Policy: Ask"
    assert differing_facts(old, new) == []
    assert differing_facts("More than R100.", "More than R150.") == [("R100", "R150")]


# Fields -----------------------------------------------------------------------------------------


def test_fields_become_a_table(do: Any) -> None:
    """A value is an exact span; what a document does not say is not found; a scan says so."""
    fields = ("Deadline: when do applications close?", "Award", "E-mail", "Meal rate per day")
    answer = do(Task("extract", ("call", "old", "scan"), None, tuple(map(read_field, fields))))
    [table] = answer.tables
    assert table.columns == ("Document", "Deadline", "Award", "E-mail", "Meal rate per day")
    call, old, scan = ([cell.text for cell in row] for row in table.rows)
    assert call[:4] == ["call.md", "31 March 2027", "R1 500 000", "fund@karoo.example"]
    assert old[1:4] == ["not found"] * 3
    assert scan[1:] == ["not read: it is a scan"] * 4
    deadline = table.rows[0][1]
    assert deadline.span is not None
    assert CALL[slice(*deadline.span)] == "31 March 2027"
    assert "Applications close" in answer.citations[deadline.citations[0] - 1].text


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Applications close on 31 March 2027; awards follow on 1 May.", "closing date", "31 March 2027"),  # noqa: E501
        ("Fee: R 1,500; Chair: Prof. A. Moyo; Room: 12", "chair", "Prof. A. Moyo"),
        ("| Chair | Prof. A. Moyo |", "Chair", "Prof. A. Moyo"),
        ("Chair Prof. A. Moyo, Biology", "chair", "Prof. A. Moyo, Biology"),
        ("Chairs are elected.", "chair", None),
        ("The budget is R2.5 million over 3 years.", "budget", "R2.5 million"),
        ("Claims are submitted within 30 calendar days.", "deadline of claims", "30 calendar days"),
        ("Ask the desk, telephone extension 4471.", "phone", "extension 4471"),
        ("The chair is elected by the members.", "chair", None),
    ],
)  # fmt: skip
def test_a_value_is_found_in_its_sentence(text: str, name: str, value: str | None) -> None:
    """By its label, or as the kind of thing that the name asks for, nearest to the words asked."""
    asked = name.lower().replace("closing", "clos").split()
    span = value_span(text, name, kind_of(name, "any"), asked)
    assert (None if span is None else text[slice(*span)]) == value


@given(st.text(max_size=60), st.sampled_from(["deadline", "budget", "e-mail", "phone", "chair"]))
def test_a_value_lies_in_its_text(text: str, name: str) -> None:
    """Whatever the text, a span is inside it and not empty."""
    span = value_span(text, name, kind_of(name, "any"), [name])
    assert span is None or 0 <= span[0] < span[1] <= len(text)


def test_a_sentence_about_a_date_is_no_date(collect: Any) -> None:
    """Where a date is asked for, a sentence without one is not the answer; the name alone is asked
    when what is described is not found."""
    shelf = Shelf(call="Applications close when the system closes.\nDeadline: 7 May 2027")
    field = Field("Deadline", "When do applications close?")
    events = collect(modes_of(shelf).run(Task("extract", ("call",), None, (field,)), "ann"))
    assert events[-1].answer.tables[0].rows[0][1].text == "7 May 2027"


# Tasks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "summarise"},
        {"kind": "compare", "document_ids": ("a",)},
        {"kind": "compare", "document_ids": ("a", "a")},
        {"kind": "extract"},
        {"kind": "extract", "fields": (Field(" "),)},
        {"kind": "extract", "fields": (Field("A"), Field("a"))},
        {"kind": "extract", "fields": (Field("A" * 81),)},
        {"kind": "extract", "fields": (Field("A"),), "document_ids": ("a",), "collection": "c"},
    ],
)
def test_what_no_task_is_is_refused(fields: dict[str, Any]) -> None:
    """In words, before any work."""
    with pytest.raises(UsageError):
        Task(**fields)


def test_a_task_survives_json() -> None:
    """It equals what comes back."""
    task = Task("extract", ("a", "b"), None, (Field("Deadline", "when?"),))
    assert task_from_json(task_to_json(task)) == task


def test_what_a_reader_may_not_see_is_not_there(shelf: Shelf, collect: Any) -> None:
    """Another reader finds no document, in any mode; a scan cannot be summarised, and says why."""
    modes = modes_of(shelf)
    for task in (
        Task("summarise", ("old",)),
        Task("compare", ("old", "new")),
        Task("extract", ("old",), None, (Field("A"),)),
        Task("extract", fields=(Field("A"),)),
    ):
        with pytest.raises(NotFound):
            modes.title(task, "bob")
        with pytest.raises(NotFound):
            collect(modes.run(task, "bob"))
    with pytest.raises(DocumentRefused, match="scan"):
        modes.title(Task("summarise", ("scan",)), "ann")


def test_a_conversation_keeps_tasks(
    shelf: Shelf, database: Database, collect: Any, plant: Any
) -> None:
    """The task is stored as a question, its answer with its tables; it can be done again; what was
    shown of one that is stopped is kept."""
    with database.write() as connection:
        connection.execute("INSERT INTO users VALUES ('ann', 'ann', 'staff', NULL, 0, '')")
    plant("call", "old", "new")
    kept = Conversations(database)
    engine = FakeEngine()
    chat = Chat(kept, shelf, engine, AnswerSettings(), modes=modes_of(shelf, engine))
    conversation_id = kept.create("ann").id
    names = {"owner_id": "ann", "conversation_id": conversation_id}
    task = Task("compare", ("old", "new"))
    collect(chat.do(task, **names))
    collect(chat.regenerate(conversation_id, "ann"))
    question, answered = kept.messages(conversation_id, "ann")
    assert (question.text, question.task) == ("Compare old.md with new.md", task)
    assert answered.answer is not None
    assert len(answered.answer.tables) == 4
    fields = Task("extract", ("call", "old"), None, (Field("Award"),))
    collect(chat.do(fields, **names), until=lambda event: isinstance(event, Draft))
    stopped = kept.messages(conversation_id, "ann")[-1]
    assert stopped.state == "stopped"
    assert stopped.answer is not None
    assert len(stopped.answer.tables[0].rows) == 1
