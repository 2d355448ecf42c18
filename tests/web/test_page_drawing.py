"""Answers, turns, evidence and lists as HTML: what a reader must see, and what must not get in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kit.answer.answer import CLOSEST, NOT_FOUND, NOT_IN_DOCUMENT, NOT_IN_PASSAGES
from kit.answer.conversations.conversations import Conversation, Message
from kit.answer.events import (
    DIFFERS,
    Answer,
    Cell,
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    Progress,
    ReasoningDelta,
    Retrieved,
    Sentence,
    Table,
    Timings,
    Waiting,
)
from kit.answer.evidence.cite import PARTLY_MARK, compose, quoted
from kit.answer.modes.compare import SAME
from kit.library.collections import Collection, Grant, Grantee
from kit.library.dates import Dated
from kit.library.documents import DocumentRecord, Hit, Page
from kit.library.folders import Folder
from kit.library.progress import Progress as ReadingProgress
from kit.library.progress import Reading
from kit.people.accounts import User
from kit.web.page import frame
from kit.web.page.answers import answer_html, evidence_html, text_html
from kit.web.page.lists import (
    change_html,
    conversations_html,
    day_group,
    documents_html,
    excerpt,
    hits_html,
    is_settled,
    marked_words,
    uploaded_html,
)
from kit.web.page.places import PRIVATE, Place
from kit.web.page.reading import folders_html, pages_html, reading_html
from kit.web.page.render import (
    Asking,
    Live,
    live_html,
    question_html,
    thread_html,
    welcome_html,
)
from kit.web.page.sharing import sharing_html
from kit.web.page.task_form import task_form_html
from tests.web.test_page_text import PAYLOADS, TAGS, Found

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>"
PDF = Citation(1, "Travel policy.pdf", "d1", 3, "page 3", 10, 40, "Per diem is R 850.")
DOCX = Citation(2, "Minutes.docx", "d2", None, "Item 4 > Travel", 0, 9, "It was R 720.")
HOSTILE = Citation(3, EVIL + ".pdf", EVIL, 1, EVIL, 0, 9, EVIL)
SENTENCES = (
    Sentence("The per diem is R 850.", "supported", (1,)),
    Sentence("It was less before.", "partly", (2,)),
    Sentence("All universities pay it.", "unsupported"),
)
ANSWER = Answer(
    text=compose(quoted(PDF.text, 1), SENTENCES),
    is_supported=True,
    quote=1,
    sentences=SENTENCES,
    citations=(PDF, DOCX),
    timings=Timings(0.1, 0.2, 1.5),
    reasoning="The sum is on page 3.",
    notices=("search was lexical only",),
)
ABSENT = replace(
    ANSWER,
    text=f"{NOT_FOUND} The closest passages are shown below; they do not answer the question.",
    is_supported=False,
    quote=None,
    sentences=(),
    citations=(),
    closest=(DOCX, PDF),
    reasoning="",
)


def message(role: str, text: str = "", *, number: int = 1, **rest: Any) -> Message:
    fields: dict[str, Any] = {"state": "complete", "answer": None, "feedback": 0} | rest
    return Message(
        id=number,
        conversation_id="c1",
        role=role,  # type: ignore[arg-type]
        text=text,
        created_at="2026-11-21T10:00:00Z",
        **fields,
    )


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("br", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_sound(page: str) -> None:
    """Well nested, no script, no event attribute, and every address is a path of ours."""
    tags = Tags(page)
    assert not tags.open
    for tag, attributes in tags.found:
        assert tag not in ("script", "iframe", "object", "style", "link", "base", "meta")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "action"):
            value = attributes.get(name)
            assert value is None or (value.startswith("/") and not value.startswith("//"))


# Modes beside asking ----------------------------------------------------------------------------


def test_a_table_shows_its_evidence_and_is_only_text() -> None:
    """Cells carry the chips of their citations, also beyond the ninety-ninth; what is the same is
    folded; hostile names, titles and cells stay letters."""
    many = tuple(replace(PDF, n=n) for n in range(1, 121))
    row = (Cell(EVIL, (3,)), Cell("not found"), Cell("R 850", (120,)))
    tables = (Table(EVIL, ("a", EVIL, "c"), (row,)), Table(SAME, ("a",), ((Cell("b", (1,)),),)))
    page = answer_html(replace(ANSWER, citations=(HOSTILE, *many), tables=tables))
    assert_sound(page)
    assert page.count('<details class="made" open>') == 1
    assert 'class="missing"' in page
    assert 'data-n="120"' in page
    live = Live("q").after(Progress(2, 12, "reading page 4", 130.0))
    live = live.after(Draft("so far", (PDF,), tables))
    assert "3 of 12: reading page 4, about 2 minutes…" in live_html(live)
    assert '<details class="made"' in live_html(live)


@pytest.mark.parametrize("kind", ["summarise", "compare", "extract"])
def test_the_form_of_a_mode_is_only_text(kind: Any) -> None:
    """Names of documents and collections stay letters; without documents nothing can be begun."""
    listed = [document("indexed", name=EVIL, id="a"), document("indexed", name="b.pdf", id="b")]
    page = task_form_html(kind, listed, [(EVIL, False, 2)], "b")
    assert_sound(page)
    assert EVIL not in page
    assert "disabled" not in page
    assert "disabled" in task_form_html(kind, [], [])


def test_a_comparison_proposes_two_versions() -> None:
    """The two whose names are most alike, the older first; one that was chosen is among them."""
    names = ("policy-2025.pdf", "minutes.docx", "policy-2023.pdf", "call-2027.pdf")
    listed = [document("indexed", name=name, id=name.partition(".")[0]) for name in names]
    page = task_form_html("compare", listed, [])
    assert re.findall(r'value="([^"]+)" selected', page) == ["policy-2023", "policy-2025"]
    page = task_form_html("compare", listed, [], "call-2027")
    assert "call-2027" in re.findall(r'value="([^"]+)" selected', page)


# Answers ---------------------------------------------------------------------------------------


def test_an_answer_opens_with_the_quotation_and_its_source() -> None:
    """The words of the document stand first, as a quotation, with document and place under them."""
    page = answer_html(ANSWER)
    assert_sound(page)
    figure = page[page.index("<figure") : page.index("</figure>")]
    assert "Per diem is R 850." in figure
    assert "Travel policy.pdf" in figure
    assert "page 3" in figure
    assert page.index("</figure>") < page.index("The per diem is R 850.")


def test_every_sentence_has_its_badge() -> None:
    """Each sentence of the model carries a drawing and a word right after it, and its evidence."""
    page = answer_html(ANSWER)
    assert_sound(page)
    assert PARTLY_MARK not in page
    badges = re.findall(r'<span class="badge (\w+)"[^>]*><svg.*?</svg>(\w+)</span>', page)
    assert badges == [
        *(("supported", "Supported"), ("partly", "Partly"), ("unsupported", "Unsupported")),
    ]
    for sentence in ANSWER.sentences:
        (item,) = (i for i in re.findall(r"<li.*?</li>", page) if sentence.text in i)
        assert f'class="badge {sentence.support}"' in item
        chips = re.findall(r'class="cite" [^>]*data-n="(\d+)"', item)
        assert chips == [str(n) for n in sentence.citations]


def test_an_answer_without_its_sentences_is_still_marked() -> None:
    """One that was stopped before sentences were kept shows the program's words as a badge."""
    page = text_html(ANSWER.text, ANSWER.citations)
    assert PARTLY_MARK not in page
    assert page.index("It was less before.") < page.index('class="badge partly"')


def test_two_versions_are_two_quotations() -> None:
    """What another document says otherwise is set as a quotation too, under those words."""
    other = f"{DIFFERS} {quoted(DOCX.text, 2)}"
    text = f"{quoted(PDF.text, 1)}\n\n{other}"
    page = text_html(text, (PDF, DOCX))
    assert_sound(page)
    assert page.count('<figure class="quotation') == 2
    assert page.index("</figure>") < page.index(DIFFERS) < page.index(DOCX.text)
    assert "“" not in page


def test_evidence_is_an_exact_span() -> None:
    """The card says document, page and characters, and holds the words themselves."""
    card = evidence_html((replace(PDF, start=1204, end=1222),))
    assert "page 3 · characters 1,204–1,222" in card
    assert "start=1204&amp;end=1222" in card
    assert PDF.text in card


def test_what_is_not_backed_is_folded_away_and_named() -> None:
    """A sentence without support is not in the text, and the reader can see what was left out."""
    page = answer_html(ANSWER)
    prose = page[page.index('<ul class="prose judged copyable') :]
    prose = prose[: prose.index("</ul>")]
    assert "All universities" not in prose
    assert "1 sentence of the model left out" in page
    assert "All universities pay it." in page[page.index("<details class=") :]


def test_a_draft_looks_like_the_finished_answer() -> None:
    """The same text is drawn the same way while it streams, so nothing jumps at the end."""
    draft = text_html(ANSWER.text, ANSWER.citations, SENTENCES[:2])
    assert draft in answer_html(ANSWER)


def test_quotations_after_the_sentences_are_drawn() -> None:
    """A summary in the model's words and the document's own: neither hides the other."""
    text = f"{SENTENCES[0].text} [1]\n\n- “Tolls are refunded.” [2]\n- “Fines never are.” [2]"
    page = text_html(text, ANSWER.citations, SENTENCES[:1])
    assert page.count("<li") == 3
    assert page.index(SENTENCES[0].text[:12]) < page.index("Tolls are refunded")
    assert "Fines never are" in page
    assert SENTENCES[0].text not in page.replace(SENTENCES[0].text, "", 1)


def test_not_in_your_documents_is_said_with_what_came_closest() -> None:
    """The plain statement is a heading; the closest passages are linked, not cited."""
    page = answer_html(ABSENT)
    assert_sound(page)
    assert "Not in your documents</h3>" in page
    assert "Minutes.docx</b>" in page
    assert "Item 4 › Travel" in page
    assert 'class="cite"' not in page


@pytest.mark.parametrize("said", [NOT_IN_DOCUMENT, NOT_IN_PASSAGES])
def test_not_in_this_document_is_no_larger_than_what_was_read(said: str) -> None:
    """Where one document was asked, the heading speaks of that one, or of the part of it."""
    page = answer_html(replace(ABSENT, text=f"{said} The closest passages are shown below."))
    assert_sound(page)
    assert f"{said.rstrip('.')}</h3>" in page
    assert "The closest passages are shown below." in page
    assert "your documents" not in page


def test_a_greeting_is_not_called_missing() -> None:
    """A reply of the program that is no refusal is drawn as plain text."""
    page = answer_html(replace(ABSENT, text="You are welcome.", closest=()))
    assert "Not in your documents" not in page
    assert "You are welcome." in page


def test_reasoning_is_folded() -> None:
    """Reasoning stands in a closed section, never in the answer's text."""
    page = answer_html(ANSWER)
    assert "<details" in page
    assert "<details open" not in page
    assert "The sum is on page 3." not in text_html(ANSWER.text, ANSWER.citations)


@pytest.mark.parametrize("cut", range(0, 160, 7))
def test_hostile_answers_are_harmless_at_every_cut(cut: int) -> None:
    """Names, places, passages and model text are letters, wherever the stream stands."""
    text = f"{quoted(EVIL, 3)}\n\nIt says {EVIL} [3] {PARTLY_MARK} and [1]{EVIL}"[:cut]
    hostile = replace(
        ANSWER,
        text=text,
        citations=(PDF, HOSTILE),
        closest=(HOSTILE,),
        reasoning=EVIL,
        notices=(EVIL,),
        sentences=(Sentence(EVIL, "unsupported"),),
    )
    for answer in (hostile, replace(hostile, is_supported=False, text=NOT_FOUND + EVIL)):
        assert_sound(answer_html(answer))
        assert "<script" not in answer_html(answer)
    assert_sound(evidence_html(hostile.citations))


# Evidence --------------------------------------------------------------------------------------


def test_evidence_cards_show_document_place_span_and_page_image() -> None:
    """A PDF's card has the page with the span marked; every card opens passage and original."""
    page = evidence_html((PDF, DOCX), message_id=7)
    assert_sound(page)
    assert images_in(page) == ["/api/v1/documents/d1/pages/3.png?start=10&end=40&scale=0.5"]
    assert page.count("Open passage") == page.count(">Original<") == 2
    assert "Per diem is R 850." in page
    assert 'data-message="7"' in page


def images_in(page: str) -> list[str]:
    return [a["src"] for tag, a in Tags(page).found if tag == "img"]


def test_a_picture_is_its_page() -> None:
    """A scan that came as a picture is shown as a PDF's page is."""
    card = evidence_html((replace(PDF, document="Scan.TIFF", page=2),))
    assert images_in(card) == ["/api/v1/documents/d1/pages/2.png?start=10&end=40&scale=0.5"]


def test_without_evidence_there_is_no_panel() -> None:
    """Nothing to show draws nothing."""
    assert evidence_html(()) == ""


def test_what_came_close_has_no_numbers() -> None:
    """Passages that are no evidence do not look like it."""
    page = evidence_html((), (PDF,))
    assert "Closest passages" in page
    assert 'class="number"' not in page


# Turns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], "Searching your documents"),
        ([Retrieved((PDF, DOCX))], "Reading 2 passages"),
        ([Retrieved((PDF,))], "Reading 1 passage…"),
        ([Waiting(2)], "Waiting, 2 questions before yours"),
        ([Waiting(None)], "Waiting for the model"),
        ([Waiting(0, 2.0)], "Waiting, yours is next…"),
        ([Waiting(3, 23.0)], "Waiting, 3 questions before yours, about 25 seconds…"),
        ([Waiting(9, 130.0)], "Waiting, 9 questions before yours, about 2 minutes…"),
        ([ReasoningDelta("Hm")], "Thinking"),
        ([Draft("It is R 850 [1].", (PDF,))], "It is R 850"),
        ([Notice("the embedding model is loading")], "The embedding model is loading"),
        ([Finished(ANSWER)], "The per diem is R 850."),
    ],
)
def test_each_event_shows(events: list[Event], expected: str) -> None:
    """Whatever the answer room says is seen at once."""
    live = Live("What is the per diem?")
    for event in events:
        live = live.after(event)
    page = live_html(live)
    assert_sound(page)
    assert expected in page
    assert "What is the per diem?" in page


def test_a_finished_turn_has_no_status() -> None:
    """Nothing moves once the answer is there."""
    assert 'class="status"' not in live_html(Live("q").after(Finished(ANSWER)))


def test_notices_are_not_said_twice() -> None:
    """A notice that the finished answer carries is drawn once."""
    live = Live("q").after(Notice("search was lexical only")).after(Finished(ANSWER))
    assert live_html(live).count("Search was lexical only") == 1


def test_only_the_last_answer_can_be_had_again() -> None:
    """'Answer again' stands under the last answer alone."""
    turns = [
        message("user", "one", number=1),
        message("assistant", ANSWER.text, number=2, answer=ANSWER),
        message("user", "two", number=3),
        message("assistant", ANSWER.text, number=4, answer=ANSWER),
    ]
    page = thread_html("c1", turns)
    assert_sound(page)
    assert page.count('data-do="regenerate"') == 1
    assert page.index('data-do="regenerate"') > page.index(">two<")
    assert 'data-conversation="c1"' in page


@pytest.mark.parametrize(
    ("state", "words"),
    [("stopped", "This answer was stopped"), ("failed", "The engine is restarting")],
)
def test_an_answer_that_did_not_finish_says_so(state: str, words: str) -> None:
    """A stopped answer and a failed one say which they are; the failure says why."""
    turns = [message("assistant", "R 850 is", state=state)]
    page = thread_html("c1", turns, ("the engine is restarting", "ask again"))
    assert words in page
    assert "R 850 is" in page


def test_feedback_shows_and_can_be_taken_back() -> None:
    """The chosen thumb is pressed, and pressing it again sends 0."""
    page = thread_html("c1", [message("assistant", "x", answer=ANSWER, feedback=1)])
    (good,) = [a for t, a in Tags(page).found if a.get("aria-label") == "Good answer"]
    (bad,) = [a for t, a in Tags(page).found if a.get("aria-label") == "Bad answer"]
    assert (good["aria-pressed"], good["data-value"]) == ("true", "0")
    assert (bad["aria-pressed"], bad["data-value"]) == ("false", "-1")


def test_a_question_is_shown_as_written() -> None:
    """A person's own words are letters too."""
    page = question_html(EVIL, 4)
    assert_sound(page)
    assert "&lt;script&gt;" in page


def test_an_empty_chat_suggests_four_questions() -> None:
    """At most four, each a button that asks it."""
    page = welcome_html(["a?", "b?", EVIL, "d?", "e?"], "", 3)
    assert_sound(page)
    assert page.count('data-do="suggest"') == 4


def test_a_conversation_says_which_document_it_asks() -> None:
    """Id and name are there for the script, as letters; without a document neither is."""
    asking = Asking(EVIL, EVIL)
    for page in (thread_html("c1", [], asking=asking), welcome_html([], "", 3, asking)):
        assert_sound(page)
        attributes = next(a for tag, a in Tags(page).found if a.get("class") == "thread")
        assert attributes["data-document"] == attributes["data-document-name"] == EVIL
    assert "data-document" not in thread_html("c1", [])
    assert "is asked" not in welcome_html([], "", 3, Asking("d1", ""))


def test_an_empty_library_says_what_to_do_first() -> None:
    """Without documents the page leads to the documents page."""
    assert 'data-view="documents"' in welcome_html([], "", 0)
    assert 'data-view="documents"' not in welcome_html([], "", 1)


# Lists -----------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "group"),
    [
        ("2026-11-21T00:00:01Z", "Today"),
        ("2026-11-21T10:00:00.123456Z", "Today"),
        ("2026-11-20T23:59:59Z", "Yesterday"),
        ("2026-11-19T23:59:59Z", "Earlier"),
    ],
)
def test_conversations_are_grouped_by_day(moment: str, group: str) -> None:
    """Today, yesterday and earlier, in the machine's own time zone."""
    assert day_group(moment, NOW) == group


def test_the_list_of_conversations() -> None:
    """Each can be opened, renamed and deleted; the open one is marked; titles are letters."""
    chats = [Conversation(c, "u", EVIL + c, "", "2026-11-21T10:00:00Z") for c in ("a", "b")]
    page = conversations_html(chats, "b", "", NOW)
    assert_sound(page)
    for do in ("open-chat", "rename-chat", "delete-chat"):
        assert page.count(f'data-do="{do}"') == 2
    current = [a for t, a in Tags(page).found if t == "button" and "aria-current" in a]
    assert [a["data-conversation"] for a in current] == ["b"]


def document(state: str = "indexed", **rest: Any) -> DocumentRecord:
    fields: dict[str, Any] = {
        "id": "d1",
        "name": "Travel policy.pdf",
        "collection": "library",
        "owner_id": None,
        "sha256": "0" * 64,
        "size_bytes": 2048,
        "error": None,
        "hint": None,
        "notes": (),
        "num_pages": 12,
        "num_chunks": 48,
        "title": None,
        "created_at": "2026-11-21T10:00:00Z",
    } | rest
    return DocumentRecord(state=state, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "word", "settled"),
    [
        ("queued", "Waiting", False),
        ("parsing", "Reading", False),
        ("embedding", "Indexing", False),
        ("indexed", "Ready", True),
        ("partial", "Partly read", True),
        ("no_text", "No text", True),
        ("needs_ocr", "Needs OCR", True),
        ("refused", "Refused", True),
        ("stopped", "Stopped", True),
        ("duplicate", "Duplicate", True),
        ("superseded", "Replaced", True),
        ("unpacked", "Unpacked", True),
    ],
)
def test_each_state_has_a_word(state: str, word: str, settled: bool) -> None:
    """The state is said in words, not by colour alone; the table refreshes only while one works."""
    documents = [document(state)]
    page = documents_html(documents)
    assert_sound(page)
    assert f"</svg>{word}</span>" in page
    assert is_settled(documents) is settled


def a_progress(**changes: Any) -> ReadingProgress:
    now = Reading("d1", EVIL, "embedding", 3, 9, 4.0)
    return replace(ReadingProgress(False, 4, 6, 10, 12.0, 3.5, 90.0, (now,)), **changes)


def test_the_reading_is_said_in_words_with_buttons() -> None:
    """Done, speed, time left and what is read now; an administrator pauses, anybody tries again."""
    documents = [document("queued"), document("refused", may_change=True), document("duplicate")]
    page = reading_html(a_progress(), documents, is_admin=True)
    assert_sound(page)
    for said in ("<b>1</b> in work", "<b>1</b> without text", "4 of 10 read", "12 documents"):
        assert said in page
    assert "about 2 minutes left" in page
    assert "3 of 9 passages" in page
    scan = Reading("d1", "scan.pdf", "parsing", 11, 1300, 4.0)
    assert "Reading <bdi>scan.pdf</bdi>, scanned page 12 of 1,300<" in reading_html(
        a_progress(now=(scan,)), documents, is_admin=True
    )
    assert 'role="progressbar"' in page
    assert 'data-do="pause-reading"' in page
    assert 'data-do="retry-failed"' in page
    assert "pause-reading" not in reading_html(a_progress(), documents, is_admin=False)
    theirs = [document("refused")]  # nothing would be tried again for this person
    assert "retry-failed" not in reading_html(a_progress(), theirs, is_admin=False)
    assert 'aria-valuenow="40"' in reading_html(a_progress(now=()), documents, is_admin=False)
    assert 'aria-valuenow="46"' in page  # 4 of 10, and two thirds of one
    paused = reading_html(a_progress(is_paused=True), documents, is_admin=True)
    assert "paused" in paused
    assert 'data-do="resume-reading"' in paused
    done = reading_html(a_progress(num_waiting=0, now=()), [document("indexed")], is_admin=True)
    assert 'role="progressbar"' not in done
    assert "button" not in done


def test_of_many_that_are_read_those_that_tell_are_named() -> None:
    """Three at most, those first that say how far they are; the others are counted."""
    many = tuple(Reading(f"d{n}", f"{n}.md", "embedding", 0, 0, 1.0) for n in range(5))
    telling = Reading("x", "long.pdf", "embedding", 3, 9, 1.0)
    page = reading_html(a_progress(now=(*many, telling)), [document("queued")], is_admin=False)
    now = page.partition("<ul class=now>")[2]
    assert now.index("long.pdf") < now.index("0.md") < now.index("1.md")
    assert "2.md" not in now
    assert "and 3 more documents" in now


def test_many_uploaded_files_are_one_line_and_what_needs_a_look_stands_out() -> None:
    """Five that are well are counted, the one that is not is named with its reason."""
    well = [("ready", f"{n}.md", "is stored (9 bytes)") for n in range(5)]
    page = uploaded_html([*well, ("bad", EVIL, "is larger than 1 MB")])
    assert_sound(page)
    assert "<b>5 files</b> are stored" in page
    assert "0.md" not in page
    assert "is larger than 1 MB" in page
    assert "0.md" in uploaded_html(well[:4])


def test_a_new_chat_says_what_is_still_being_read() -> None:
    """Who asks while documents are read knows why an answer may be missing."""
    assert "2 documents are still being read" in welcome_html([], "", 3, num_busy=2)
    assert "being read" not in welcome_html([], "", 3)


def test_followed_folders_say_when_and_what_went_wrong() -> None:
    """Each folder with its files, when it was looked into and its problem; names are letters."""
    folder = Folder(
        1, Path("/srv") / EVIL, EVIL, "library", 1, "local", True, False, 100.0, {}, EVIL, 12
    )  # fmt: skip
    page = folders_html([folder, replace(folder, scanned_at=None)], now=700.0)
    assert_sound(page)
    assert "2 followed folders" in page
    assert "12 files · watched · looked into 10 minutes ago" in page
    assert "is looked into now" in page
    assert folders_html([], now=0.0) == ""


def test_pages_are_shown_with_their_state() -> None:
    """Each page with its state in words, its characters, and a link to it."""
    pages = (Page(1, "text", 1234), Page(2, "needs_ocr", 0, EVIL))
    page = pages_html(document("partial", name=EVIL), pages)
    assert_sound(page)
    assert "1,234" in page
    assert "Needs OCR" in page
    assert "page=2" in page
    assert "not known until it is read" in pages_html(document("queued"), ())


def test_what_waits_can_be_stopped_and_what_failed_tried_again() -> None:
    """The buttons of a row are those that do something for its state."""
    for state, button in (("queued", "stop-document"), ("stopped", "retry"), ("partial", "retry")):
        page = documents_html([document(state, may_change=True)])
        assert f'data-do="{button}"' in page
    assert "stop-document" not in documents_html([document("indexed")])
    double = documents_html([document("duplicate", related=EVIL)])
    assert_sound(double)
    assert "The same file as" in double


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ("1 page", "1 passage")), (1234, ("1,234 pages", "1,234 passages"))]
)
def test_what_is_counted_is_named_in_the_right_number(
    count: int, expected: tuple[str, str]
) -> None:
    """One page is no "1 pages", where the table shows the words."""
    page = documents_html([document(num_pages=count, num_chunks=count)])
    shown = re.findall(r'>([\d,]+)<span class="unit">( [a-z]+)</span>', page)
    assert tuple("".join(parts) for parts in shown) == expected


@pytest.mark.parametrize("state", ["queued", "indexed", "refused"])
def test_a_document_that_is_ready_can_be_asked(state: str) -> None:
    """Anybody who sees it may ask it alone; one without text cannot be asked."""
    page = documents_html([document(state, name=EVIL)])
    assert_sound(page)
    buttons = [a for tag, a in Tags(page).found if a.get("data-do") == "ask-document"]
    assert len(buttons) == (state == "indexed")
    for button in buttons:
        assert button["data-document"] == "d1"
        assert button["aria-label"] == f"Ask this document: {EVIL}"


def test_a_refused_file_says_why_and_what_to_do() -> None:
    """Reason and hint stand under the name, and it can be tried again."""
    refused = document(
        "refused", may_change=True, error="the PDF is encrypted", hint="save it without a password"
    )
    page = documents_html([refused])
    assert "The PDF is encrypted." in page
    assert "Save it without a password" in page
    assert 'data-do="retry"' in page


@pytest.mark.parametrize("may", [False, True])
def test_only_those_who_may_see_a_remove_button(may: bool) -> None:
    """What a person may not change has no button for it."""
    page = documents_html([document(may_change=may)])
    assert ('data-do="remove"' in page) is may


@pytest.mark.parametrize(
    ("changes", "may_move"),
    [
        ({}, True),
        ({"state": "refused"}, True),
        ({"may_change": False}, False),
        ({"state": "duplicate"}, False),
        ({"state": "superseded"}, False),
        ({"archive_id": "a"}, False),
    ],
)
def test_what_can_be_moved_has_a_button_and_places(changes: dict[str, Any], may_move: bool) -> None:
    """Where there is another place than its own, which the script leaves out of the choice."""
    state = changes.pop("state", "indexed")
    here, there = Place("7", EVIL, 7), Place(PRIVATE, "My documents (only you)")
    shown = document(state, **{"may_change": True, "collection_id": 7, "name": EVIL} | changes)
    page = documents_html([shown], [here, there])
    assert_sound(page)
    buttons = [a for tag, a in Tags(page).found if a.get("data-do") == "move"]
    assert [button["data-collection"] for button in buttons] == (["7"] if may_move else [])
    options = [a for tag, a in Tags(page).found if tag == "option"]
    assert [(a["value"], a["data-collection"]) for a in options] == [("7", "7"), (PRIVATE, "")]
    assert 'data-do="move"' not in documents_html([shown], [here])


@pytest.mark.parametrize(
    ("audience", "words"),
    [("owner", "Only you"), ("some", "Shared with some"), ("everyone", "Everyone here")],
)
def test_a_document_says_who_reads_it(audience: str, words: str) -> None:
    """Each document says whether one reads it alone."""
    assert words in documents_html([document(audience=audience)])


def test_the_form_that_shares_says_who_reads_and_takes_any_name() -> None:
    """Names of people, groups and collections are letters; whoever manages a collection without
    reading it is told so."""
    grants = (
        Grant(Grantee("group", "g", EVIL), "write"),
        Grant(Grantee("person", "p", "ben"), "read"),
    )
    one = Collection(7, EVIL, "x", EVIL, False, False, True, None, grants)
    page = sharing_html([one], User("boss", "boss", "admin"), [EVIL, "ben"], [EVIL])
    assert_sound(page)
    assert "You manage it, but do not read it." in page
    assert page.count('data-do="unshare"') == 2
    assert 'value="everyone"' in page
    plain = sharing_html([one], User("ana", "ana", "staff"), [EVIL, "ben"], [EVIL])
    assert 'value="everyone"' not in plain


def test_documents_with_hostile_names_and_reasons() -> None:
    """A file name is letters, in the table and in every label."""
    hostile = document(
        "refused", name=EVIL, id=EVIL, collection=EVIL, error=EVIL, hint=EVIL, notes=(EVIL,)
    )
    assert_sound(documents_html([hostile]))
    assert_sound(uploaded_html([("bad", EVIL, EVIL)]))


def hit(text: str, name: str = "a.pdf") -> Hit:
    return Hit(1, 0.5, 1, "d1", name, 2, "page 2", 10, 10 + len(text), text, 9)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("The rates of travel", "travel rate", ["rates", "travel"]),
        ("Travelling costs", "travel", ["Travelling"]),
        ("the sum of it", "what is the sum of it", ["sum"]),
        ("预算委员会", "预算", ["预", "算"]),
        ("per diem", "zebra", []),
        ("capital", "cap", []),
    ],
)
def test_the_words_of_the_query_are_marked(text: str, query: str, marked: list[str]) -> None:
    """Words and their inflections are marked; short words and mere beginnings are not."""
    page = marked_words(text, query)
    assert [p.split("</mark>")[0] for p in page.split("<mark>")[1:]] == marked


def test_an_excerpt_shows_the_place_of_the_first_word() -> None:
    """A long passage is cut around what was searched for."""
    cut = excerpt("filler " * 200 + "the per diem is R 850 " + "filler " * 200, "diem")
    assert "per diem is R 850" in cut
    assert len(cut) < 420


def test_hits_link_to_their_exact_span() -> None:
    """Each hit opens its passage; hostile names and texts are letters."""
    page = hits_html([hit("Per diem"), hit(EVIL, EVIL)], "per " + EVIL, [EVIL])
    assert_sound(page)
    assert "/passage?document=d1&amp;start=10&amp;end=18" in page


def test_dates_are_shown_with_what_says_so() -> None:
    """With a quotation, its evidence, what came closest, a hit and a document in the list."""
    dated = Dated("2025-03-04", "modified")
    source = replace(PDF, dated=dated)
    drawn = {
        "answer": answer_html(replace(ANSWER, citations=(source, DOCX))),
        "evidence": evidence_html((source,)),
        "closest": answer_html(
            replace(ANSWER, text=f"{NOT_FOUND} {CLOSEST}", is_supported=False, closest=(source,))
        ),
        "hits": hits_html([replace(hit("Per diem"), dated=dated)], "per diem", []),
        "list": documents_html([document(dated=dated)]),
    }
    for where, page in drawn.items():
        assert page.count("changed 4 March 2025") == 1, where
        assert_sound(page)
    assert "2025" not in documents_html([document(name="a.pdf")])


def test_no_hits_says_so() -> None:
    """An empty result is said in words, with the query as letters."""
    assert "Nothing found" in hits_html([], EVIL, [])
    assert_sound(hits_html([], EVIL, []))


def test_the_frame_holds_names_as_letters() -> None:
    """Account and collection names are letters in the fixed parts too."""
    assert_sound(frame.person_html(EVIL, may_sign_out=True))
    assert_sound(frame.scope_html("s", [(EVIL, False, 2)]))
    for part in (frame.side_html(), frame.top_html(), frame.composer_html(), frame.dialog_html()):
        assert_sound(part)


# Hostile answers --------------------------------------------------------------------------------

LIVE_TAGS = TAGS | {"svg", "path", "span", "div", "figure", "figcaption", "bdi", "article"}
LIVE_TAGS |= {"details", "summary", "section", "h2", "h3", "header", "button", "b", "small", "img"}


def assert_nothing_outside(page: str) -> None:
    """Well nested, only our tags, and no address but the kit's own."""
    found = Found(page)
    assert not found.open
    assert not found.others
    for tag, attributes in found.tags:
        assert tag in LIVE_TAGS, tag
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("href", "src", "action", "srcset", "data", "poster", "xlink:href"):
            address = attributes.get(name) or "/"
            assert address.startswith(("/passage?", "/api/v1/documents/")) or address == "/"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_prefix_of_a_hostile_answer_reaches_outside(payload: str) -> None:
    """A quotation, a supported and a withheld sentence, reasoning and evidence that are all the
    attack: at every cut of the stream no link, image or script of theirs is drawn."""
    text = f"R 850 {payload} [1]"
    for cut in range(0, len(text) + 1, 3):
        said = text[:cut]
        source = replace(PDF, text=said, document=f"{said}.pdf", place=said)
        sentences = (Sentence(said, "supported", (1,)), Sentence(said, "partly", (1, 9)))
        shown = compose(quoted(said, 1), sentences)
        live = Live("q", draft=shown, citations=(source,), sentences=sentences, reasoning=said)
        assert_nothing_outside(live_html(live))
    withheld = (*sentences, Sentence(payload, "unsupported"))
    answer = replace(ANSWER, text=shown, sentences=withheld, citations=(source,), reasoning=payload)
    assert_nothing_outside(answer_html(answer) + evidence_html((source,)))
    assert_nothing_outside(text_html(shown, (source,)))
    absent = replace(ABSENT, closest=(source,), notices=(payload,))
    assert_nothing_outside(answer_html(absent))


def test_a_change_of_the_embedding_model_is_told() -> None:
    """How far it is and what serves meanwhile, escaped; nothing where nothing changes."""
    change = {"old": "a<b", "new": "c&d", "num_done": 1200, "num_total": 40211}
    shown = change_html(change)
    assert "1,200 of 40,211" in shown
    assert "a&lt;b" in shown
    assert "c&amp;d" in shown
    assert change_html(None) == ""
