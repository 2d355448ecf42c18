"""The page's handlers: each acts for the person of its request, and tells errors in plain words."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.answer.events import (
    Answer,
    Citation,
    Draft,
    Event,
    Finished,
    Retrieved,
    Timings,
)
from kit.errors import EngineUnavailable, UsageError
from kit.library.collections import find_collection
from kit.library.store import Library
from kit.web.page import asked
from kit.web.page.chat_tab import ChatTab
from kit.web.page.documents_tab import DocumentsTab
from kit.web.page.places import PRIVATE, SHARED, places_of
from kit.web.page.search_tab import SearchTab
from kit.web.page.widgets import gr
from kit.web.services import Services

PASSAGE = Citation(1, "policy.pdf", "d1", 2, "page 2", 26, 60, "Per diem is 80 euro")
ANSWER = Answer(
    "“Per diem is 80 euro” [1]", True, 1, (), (PASSAGE,), Timings(0.1, 0.2, 0.3)
)  # fmt: skip


def event(**data: Any) -> Any:
    return gr.EventData(None, data)


def of(name: str) -> Any:
    return SimpleNamespace(username=name)


def is_skipped(value: Any) -> bool:
    return value == gr.skip()


class Script:
    """Answers every question with the events given; hangs after them if asked to."""

    def __init__(self, *events: Event, hangs: bool = False, fails: Exception | None = None) -> None:
        self.events, self.hangs, self.fails = events, hangs, fails
        self.is_closed = False
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, question: str, **options: Any) -> AsyncIterator[Event]:
        self.asked.append(options)
        try:
            for item in self.events:
                yield item
            if self.fails:
                raise self.fails
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """What `Chat` hears instead of an answer; its storing is the real one."""
    made = Script(Retrieved((PASSAGE,)), Draft(ANSWER.text, (PASSAGE,)), Finished(ANSWER))
    monkeypatch.setattr("kit.answer.chat.answer_question", made)
    return made


@pytest.fixture
def chat(shared: Services) -> ChatTab:
    return ChatTab(shared, "")


@pytest.fixture
def ids(shared: Services) -> dict[str, str]:
    return {user.name: user.id for user in shared.accounts.list()}


async def ask(chat: ChatTab, who: str, question: str, conversation: str = "") -> list[Any]:
    asked_event = event(question=question, conversation=conversation, query="")
    return [drawing async for drawing in chat.ask(asked_event, of(who))]


# What the script may send ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [7, ["x"], {"a": 1}, True, "x" * 200])
def test_an_identifier_is_a_short_text(value: Any) -> None:
    """Anything else from a browser is refused before a room sees it."""
    with pytest.raises(UsageError):
        asked.id_of(event(conversation=value), "conversation")


@pytest.mark.parametrize(("value", "number"), [(7, 7), ("7", 7), ("-1", -1)])
def test_a_number_may_come_as_text(value: Any, number: int) -> None:
    """Data attributes are texts; digits are taken as the number they are."""
    assert asked.number_of(event(message=value), "message") == number


@pytest.mark.parametrize("value", ["", None, "seven", "1.5", [1]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    """No guess is made."""
    with pytest.raises(UsageError):
        asked.number_of(event(message=value), "message")


def test_an_event_without_data_is_empty() -> None:
    """A trigger without fields sends none."""
    assert asked.text_of(gr.EventData(None, None), "query") == ""


def test_nobody_is_refused(chat: ChatTab) -> None:
    """A request without a person gets a message and nothing else."""
    *drawn, toast = chat.open(event(), SimpleNamespace())
    assert all(map(is_skipped, drawn))
    assert "You are not signed in" in toast


def test_a_bug_is_told_without_its_traceback(
    chat: ChatTab, shared: Services, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The reader learns that it failed, the log learns why."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("secret path /srv/x")

    monkeypatch.setattr(shared.conversations, "list", broken)
    *_, toast = chat.find(event(query="x"), of("ana"))
    assert "Something went wrong inside the kit" in toast
    assert "secret path" not in toast
    assert "secret path" in caplog.text


# Chat ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_question_is_answered_and_stored(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """The turn is drawn at once, then as it grows, then as it is stored; the list has it."""
    shared.library.add(io.BytesIO(b"policy"), "policy.pdf", added_by="local")  # is d1
    drawings = await ask(chat, ids["ana"], "What is the per diem?")
    first, last = drawings[0], drawings[-1]
    assert "What is the per diem?" in first[1]
    assert "Searching your documents" in first[1]
    assert "Per diem is 80 euro" in last[0]
    assert last[1] == ""
    assert "policy.pdf" in last[2]
    assert "What is the per diem?" in last[3]
    (conversation,) = shared.conversations.list(ids["ana"])
    states = [m.state for m in shared.conversations.messages(conversation.id, ids["ana"])]
    assert states == ["complete", "complete"]


@pytest.mark.anyio
async def test_an_empty_question_is_not_asked(chat: ChatTab, shared: Services, ids: Any) -> None:
    """Nothing is stored for it."""
    ((*drawn, toast),) = await ask(chat, ids["ana"], "   ")
    assert all(map(is_skipped, drawn))
    assert "There is no question" in toast
    assert shared.conversations.list(ids["ana"]) == []


@pytest.mark.anyio
async def test_nobody_asks_in_anothers_conversation(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """Another's conversation is no conversation: nothing of it is drawn, nothing is added."""
    await ask(chat, ids["ana"], "private matter")
    (conversation,) = shared.conversations.list(ids["ana"])
    ((*drawn, toast),) = await ask(chat, ids["ben"], "and now?", conversation.id)
    assert all(map(is_skipped, drawn))
    assert "There is no such conversation" in toast
    assert len(shared.conversations.messages(conversation.id, ids["ana"])) == 2


@pytest.mark.anyio
async def test_nobody_sees_or_changes_anothers_conversation(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """Opening, renaming, deleting, judging and its evidence: all as if it did not exist."""
    await ask(chat, ids["ana"], "private matter")
    (mine,) = shared.conversations.list(ids["ana"])
    answer = shared.conversations.messages(mine.id, ids["ana"])[-1]
    ben = of(ids["ben"])
    thread, _, evidence, listing, _ = chat.open(event(conversation=mine.id), ben)
    assert "private matter" not in f"{thread}{evidence}{listing}"
    assert "no such" in chat.rename(event(target=mine.id, title="x"), ben)[-1]
    chat.delete(event(target=mine.id), ben)
    judged = event(conversation=mine.id, message=answer.id, value=1)
    assert "no such" in chat.feedback(judged, ben)[-1]
    assert "no such" in chat.evidence(event(message=answer.id), ben)[-1]
    assert shared.conversations.list(ids["ana"]) == [mine]
    assert shared.conversations.message(answer.id, ids["ana"]).feedback == 0


@pytest.mark.anyio
async def test_an_engine_that_fails_is_told_under_its_question(
    chat: ChatTab, script: Script, ids: dict[str, str]
) -> None:
    """The reason and the hint stand where the answer would."""
    script.events = (Retrieved((PASSAGE,)),)
    script.fails = EngineUnavailable("the engine is restarting", hint="ask again in a moment")
    last = (await ask(chat, ids["ana"], "q?"))[-1]
    assert "The engine is restarting" in last[0]
    assert "Ask again in a moment" in last[0]
    assert last[1] == ""


@pytest.mark.anyio
async def test_leaving_a_stream_closes_it_and_keeps_what_was_shown(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """A closed tab frees the engine; the answer is stored as stopped, with its draft."""
    script.events, script.hangs = (Draft(ANSWER.text, (PASSAGE,)),), True
    stream = chat.ask(event(question="q?"), of(ids["ana"]))
    async for drawing in stream:
        if "80 euro" in str(drawing[1]):
            break
    await stream.aclose()
    assert script.is_closed
    (conversation,) = shared.conversations.list(ids["ana"])
    message = shared.conversations.messages(conversation.id, ids["ana"])[-1]
    assert (message.state, message.text) == ("stopped", ANSWER.text)


@pytest.mark.anyio
async def test_stop_cancels_and_shows_what_is_stored(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """Gradio cancels the task of the stream; the page then draws the stopped answer."""
    script.events, script.hangs = (Draft(ANSWER.text, (PASSAGE,)),), True
    task = asyncio.create_task(ask(chat, ids["ana"], "q?"))
    await asyncio.sleep(0.2)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    (conversation,) = shared.conversations.list(ids["ana"])
    drawn = await chat.stopped(event(conversation=conversation.id), of(ids["ana"]))
    assert script.is_closed
    assert "This answer was stopped" in drawn[0]
    assert drawn[1] == ""


@pytest.mark.anyio
async def test_regenerate_and_edit_replace(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """Answering again keeps the question, editing replaces it; neither leaves the old turn."""
    ana = of(ids["ana"])
    await ask(chat, ids["ana"], "first?")
    (conversation,) = shared.conversations.list(ids["ana"])
    again = [d async for d in chat.regenerate(event(conversation=conversation.id), ana)]
    assert again[-1][0].count('class="turn mine"') == 1
    question = shared.conversations.messages(conversation.id, ids["ana"])[0]
    edited = event(conversation=conversation.id, message=question.id, question="second?")
    last = [d async for d in chat.edit(edited, ana)][-1]
    assert "second?" in last[0]
    assert "first?" not in last[0]
    assert len(shared.conversations.messages(conversation.id, ids["ana"])) == 2


@pytest.mark.anyio
async def test_rename_find_judge_delete(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str]
) -> None:
    """My own conversations are mine to name, find, judge and delete."""
    ana = of(ids["ana"])
    await ask(chat, ids["ana"], "per diem?")
    (conversation,) = shared.conversations.list(ids["ana"])
    listing, _ = chat.rename(event(target=conversation.id, title="Travel <b>"), ana)
    assert "Travel &lt;b&gt;" in listing
    assert "No conversation" in chat.find(event(query="zebra"), ana)[0]
    assert "Travel" in chat.find(event(query="per diem"), ana)[0]
    answer = shared.conversations.messages(conversation.id, ids["ana"])[-1]
    judged = event(conversation=conversation.id, message=str(answer.id), value="1")
    assert 'aria-pressed="true"' in chat.feedback(judged, ana)[0]
    both = event(target=conversation.id, conversation=conversation.id)
    assert "What would you like to know?" in chat.delete(both, ana)[0]
    assert shared.conversations.list(ids["ana"]) == []


# One document ----------------------------------------------------------------------------------


@pytest.fixture
def policy(shared: Services, ids: dict[str, str]) -> str:
    """The id of a private document of ana's."""
    add: Any = shared.library.add
    options = {"added_by": ids["ana"], "is_private": True}
    return str(add(io.BytesIO(b"%PDF"), "Policy <b>.pdf", **options).id)


@pytest.mark.anyio
async def test_a_new_chat_asks_the_document_it_was_opened_for(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str], policy: str
) -> None:
    """The page is told which it is, the first question stores it, and later drawings keep it."""
    ana, told = of(ids["ana"]), f'data-document="{policy}"'
    welcome, *_ = chat.open(event(document=policy), ana)
    assert told in welcome
    assert "Only <bdi>Policy &lt;b&gt;.pdf</bdi> is asked" in welcome
    first = event(question="per diem?", document=policy, query="")
    drawings = [drawing async for drawing in chat.ask(first, ana)]
    (conversation,) = shared.conversations.list(ids["ana"])
    assert conversation.document_id == policy
    assert told in drawings[0][0]
    assert told in drawings[-1][0]
    answer = shared.conversations.messages(conversation.id, ids["ana"])[-1]
    judged = event(conversation=conversation.id, message=answer.id, value=1)
    assert told in chat.feedback(judged, ana)[0]
    assert script.asked[-1]["document_id"] == policy


@pytest.mark.anyio
async def test_the_chip_takes_it_away_and_sets_another(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str], policy: str
) -> None:
    """Without the document all are asked again; asked of another, the conversation is of that."""
    ana = of(ids["ana"])
    async for _ in chat.ask(event(question="per diem?", document=policy), ana):
        pass
    (conversation,) = shared.conversations.list(ids["ana"])
    thread, *_ = chat.drop_document(event(conversation=conversation.id), ana)
    assert "data-document=" not in thread
    assert "per diem?" in thread
    assert shared.conversations.get(conversation.id, ids["ana"]).document_id is None
    assert "data-document=" not in chat.drop_document(event(), ana)[0]
    again = event(question="and?", conversation=conversation.id, document=policy)
    async for _ in chat.ask(again, ana):
        pass
    assert shared.conversations.get(conversation.id, ids["ana"]).document_id == policy


@pytest.mark.anyio
async def test_a_document_that_is_gone_is_missed(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str], policy: str
) -> None:
    """Its conversation still says that it asks one, and a question to it says that it is gone."""
    ana = of(ids["ana"])
    async for _ in chat.ask(event(question="per diem?", document=policy), ana):
        pass
    (conversation,) = shared.conversations.list(ids["ana"])
    shared.library.remove(policy, ids["ana"])
    thread, *_ = chat.open(event(conversation=conversation.id), ana)
    assert f'data-document="{policy}" data-document-name=""' in thread
    again = event(question="and?", conversation=conversation.id, document=policy)
    drawings = [drawing async for drawing in chat.ask(again, ana)]
    assert "There is no such document" in drawings[-1][-1]
    assert len(shared.conversations.messages(conversation.id, ids["ana"])) == 2


@pytest.mark.anyio
async def test_anothers_document_is_not_asked_and_not_named(
    chat: ChatTab, script: Script, shared: Services, ids: dict[str, str], policy: str
) -> None:
    """Ben sees of ana's document what he sees of one that does not exist."""
    ben, seen = of(ids["ben"]), []
    for document_id in (policy, "absent"):
        welcome, *_ = chat.open(event(document=document_id), ben)
        asked = event(question="per diem?", document=document_id)
        (drawing,) = [drawing async for drawing in chat.ask(asked, ben)]
        toast = re.sub(r'data-number="\d+"', "", drawing[-1])
        seen.append((welcome.replace(document_id, "X"), toast))
    assert seen[0] == seen[1]
    assert "Policy" not in str(seen)
    assert shared.conversations.list(ids["ben"]) == []


# Documents -------------------------------------------------------------------------------------


@pytest.fixture
def upload(tmp_path: Path) -> Any:
    """Makes a file where Gradio would have put it: in a folder named by its digest."""

    def make(name: str, data: bytes = b"text") -> Path:
        folder = tmp_path / "gradio" / f"{abs(hash((name, data))):x}"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(data)
        return folder / name

    return make


def test_uploads_move_into_the_library(shared: Services, ids: dict[str, str], upload: Any) -> None:
    """Each file is stored for its owner, and nothing of it is left in Gradio's cache."""
    tab, paths = DocumentsTab(shared), [upload("a.pdf"), upload("say %22b%22.pdf", b"other")]
    drawings = list(tab.upload([str(p) for p in paths], PRIVATE, of(ids["ana"])))
    names = {d.name for d in shared.library.list(ids["ana"])}
    assert names == {"a.pdf", 'say "b".pdf'}  # %22 is how a browser sends a quote
    assert shared.library.list(ids["ben"]) == []
    assert not any(path.parent.exists() for path in paths)
    assert drawings[0][0] is None  # the drop zone is free before the first file is taken in
    assert all(zone is not None for zone, *_ in drawings[1:])
    assert "a.pdf" in drawings[-1][1]
    assert [row[0] for row in shared.database.rows("SELECT action FROM audit")] == [
        "document.add",
        "document.add",
    ]


def test_the_same_file_twice_says_so(shared: Services, ids: dict[str, str], upload: Any) -> None:
    """A duplicate is no second document."""
    tab = DocumentsTab(shared)
    for _ in range(2):
        *_, last = tab.upload([str(upload("a.pdf"))], PRIVATE, of(ids["ana"]))
    assert "is already here" in last[1]
    assert len(shared.library.list(ids["ana"])) == 1


@pytest.mark.parametrize(("who", "is_allowed"), [("ana", False), ("boss", True)])
def test_only_an_administrator_shares(
    shared: Services, ids: dict[str, str], upload: Any, who: str, is_allowed: bool
) -> None:
    """The choice is checked where it counts, whatever the browser sends."""
    path = upload("a.pdf")
    *_, last = DocumentsTab(shared).upload([str(path)], SHARED, of(ids[who]))
    assert bool(shared.library.list(ids["ben"])) is is_allowed
    assert ("Only an administrator" in str(last[-1])) is not is_allowed
    assert not path.exists()


def test_a_refused_file_leaves_the_others(
    shared: Services, ids: dict[str, str], upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad file is named with its reason; the rest is stored; the cache is empty."""
    real = shared.library.add

    def add(stream: Any, name: str, **rest: Any) -> Any:
        if name == "bad.pdf":
            raise UsageError("this file is broken", hint="save it again")
        return real(stream, name, **rest)

    monkeypatch.setattr(shared.library, "add", add)
    paths = [upload("bad.pdf"), upload("good.pdf", b"2")]
    *_, last = DocumentsTab(shared).upload([str(p) for p in paths], PRIVATE, of(ids["ana"]))
    assert "This file is broken. Save it again" in last[1]
    assert [d.name for d in shared.library.list(ids["ana"])] == ["good.pdf"]
    assert not any(path.exists() for path in paths)


def test_the_choice_to_share_is_offered_to_administrators(
    shared: Services, ids: dict[str, str]
) -> None:
    """Staff add for themselves and see no choice."""
    tab = DocumentsTab(shared)
    staff, admin = (tab.open(of(ids[name]))[3] for name in ("ana", "boss"))
    assert staff.choices == [("My documents (only you)", PRIVATE)]
    assert [value for _, value in admin.choices] == [SHARED, PRIVATE]
    assert (staff.value, admin.value) == (PRIVATE, SHARED)


def test_removing_another_persons_document_is_not_possible(
    shared: Services, ids: dict[str, str], upload: Any
) -> None:
    """A private document of another does not exist, for the administrator neither."""
    tab = DocumentsTab(shared)
    list(tab.upload([str(upload("a.pdf"))], PRIVATE, of(ids["ana"])))
    (mine,) = shared.library.list(ids["ana"])
    assert "no such document" in tab.remove(event(document=mine.id), of(ids["boss"]))[-1]
    assert shared.library.list(ids["ana"]) == [mine]
    tab.remove(event(document=mine.id), of(ids["ana"]))
    assert shared.library.list(ids["ana"]) == []


def test_a_document_is_moved_between_places(
    shared: Services, ids: dict[str, str], home: Path
) -> None:
    """To a collection, and to one's own place, made for it; what is said names who reads it there;
    another's document and another's collection do not exist."""
    shared.library = library = Library(home, shared.database)
    tab, ana, ben = DocumentsTab(shared), of(ids["ana"]), of(ids["ben"])
    for name in ("plans", "notes"):
        tab.sharing.create(event(name=name), ana)
    plans, notes = (
        find_collection(shared.database, ids["ana"], name) for name in ("plans", "notes")
    )
    tab.sharing.share(event(collection=plans.id, to="person:ben", right="read"), ana)
    mine = library.add(io.BytesIO(b"x"), "a.md", added_by=ids["ana"], collection_id=notes.id)
    drawn = tab.move(event(document=mine.id, place=str(plans.id)), ana)
    assert "was moved to plans, which is read by: you, ben" in drawn[3]
    assert "plans" in drawn[1]
    assert library.get(mine.id, ids["ben"]).collection == "plans"
    assert "is changed by who added it" in str(
        tab.move(event(document=mine.id, place=PRIVATE), ben)
    )
    assert "is read by: only you" in tab.move(event(document=mine.id, place=PRIVATE), ana)[3]
    for wanted in ({"document": mine.id, "place": PRIVATE}, {"document": "x", "place": PRIVATE}):
        assert "no document" in str(tab.move(event(**wanted), ben)[-1])
    assert "no collection" in str(tab.move(event(document=mine.id, place="999"), ana)[-1])
    assert "choose where" in str(tab.move(event(document=mine.id), ana)[-1]).lower()
    assert library.get(mine.id, ids["ana"]).collection == "My documents"


def test_reading_is_paused_stopped_and_tried_again(
    shared: Services, ids: dict[str, str], home: Path
) -> None:
    """The administrator pauses; a person stops what is theirs and tries it again; others cannot."""
    shared.library = library = Library(home, shared.database)
    tab, ana, boss = DocumentsTab(shared), of(ids["ana"]), of(ids["boss"])
    mine = library.add(
        io.BytesIO(b"x"), "a.md", added_by=ids["ana"], collection="Mine", is_private=True
    )
    assert "Only an administrator" in str(tab.pause(ana)[-1])
    assert shared.ledger.is_paused is False
    assert "resume-reading" in tab.pause(boss)[0] or shared.ledger.is_paused
    tab.resume(boss)
    assert shared.ledger.is_paused is False
    assert "no document" in str(tab.stop(event(document=mine.id), boss)[-1])
    assert "Stopped" in tab.stop(event(document=mine.id), ana)[1]
    assert "Waiting" in tab.retry_failed(ana)[1]
    assert "not known until it is read" in tab.pages(event(document=mine.id), ana)[0]
    assert "Only an administrator" in str(tab.sync(event(folder="1"), ana)[-1])


# Search ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_search_shows_what_this_person_may_read(
    shared: Services, ids: dict[str, str], upload: Any
) -> None:
    """Hits come from the searcher for this reader; an empty query asks nothing."""
    list(DocumentsTab(shared).upload([str(upload("a.pdf"))], PRIVATE, of(ids["ana"])))
    search = SearchTab(shared)
    found, _ = await search.find(event(words="per diem"), of(ids["ana"]))
    assert "<mark>diem</mark>" in found
    assert "Nothing found" in (await search.find(event(words="per diem"), of(ids["ben"])))[0]
    assert (await search.find(event(words="  "), of(ids["ana"])))[0] == ""


# Modes beside asking ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_task_is_done_and_kept(shared: Services, ids: dict[str, str]) -> None:
    """The form names its documents; what comes of it is drawn with its table and a way to save it,
    and stored as a question that cannot be edited but done again."""
    chat, owner = ChatTab(shared, ""), ids["ana"]
    for name in ("old & <b>.txt", "new.txt"):
        shared.library.add(io.BytesIO(name.encode()), name, added_by=owner, is_private=True)
    (form, toast) = chat.open_task(event(mode="compare", document=""), of(owner))
    assert is_skipped(toast)
    assert "old &amp; &lt;b&gt;.txt" in form
    chosen = re.findall(r'<option value="(\w+)" selected', form)
    assert len(set(chosen)) == 2
    asked_for = event(mode="compare", documents=chosen, conversation="", query="")
    drawings = [drawing async for drawing in chat.do_task(asked_for, of(owner))]
    thread = drawings[-1][0]
    assert '<details class="made"' in thread
    assert "/export?format=xlsx&amp;message=" in thread
    assert 'data-do="edit-question"' not in thread
    assert 'data-do="regenerate"' in thread
    [conversation] = shared.conversations.list(owner)
    messages = shared.conversations.messages(conversation.id, owner)
    assert messages[0].task is not None
    assert messages[0].text.startswith("Compare ")
    again = event(conversation=conversation.id, query="")
    drawings = [drawing async for drawing in chat.regenerate(again, of(owner))]
    assert '<details class="made"' in drawings[-1][0]


@pytest.mark.parametrize(
    "data",
    [
        {"mode": "translate"},
        {"mode": "compare", "documents": "d1"},
        {"mode": "compare", "documents": [7, 8]},
        {"mode": "compare", "documents": ["d1"]},
        {"mode": "summarise", "documents": ["nobody's"]},
        {"mode": "extract", "fields": "\n"},
        {"mode": "extract", "fields": "A\na"},
    ],
)
@pytest.mark.anyio
async def test_an_odd_task_is_told(
    shared: Services, ids: dict[str, str], data: dict[str, Any]
) -> None:
    """In a message, and nothing is stored."""
    chat = ChatTab(shared, "")
    [drawing] = [d async for d in chat.do_task(event(**data), of(ids["ana"]))]
    assert 'class="toast"' in drawing[-1]
    assert shared.conversations.list(ids["ana"]) == []


def test_an_administrators_files_go_to_the_library_unless_they_choose() -> None:
    """'library' stands first among the collections of everyone, whether it is there yet or not."""
    from kit.library.collections import Collection, Grant, Grantee
    from kit.people.accounts import LOCAL_USER, User

    def everyones(id: int, name: str) -> Collection:
        to_all = (Grant(Grantee("everyone"), "read"),)
        return Collection(id, name, None, "", True, True, True, 3, to_all)

    samples, library = everyones(1, "samples"), everyones(2, "library")
    for found in ([samples], [samples, library]):
        assert places_of(found, LOCAL_USER)[0].value == SHARED
    staff = User("u", "ana", "staff")
    assert [place.value for place in places_of([], staff)] == [PRIVATE]
