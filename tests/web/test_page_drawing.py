"""Answers, turns, evidence and lists as HTML: what a reader must see, and what must not get in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from kit.answer.answer import NOT_FOUND, NOT_IN_DOCUMENT, NOT_IN_PASSAGES
from kit.answer.cite import PARTLY_MARK, compose, quoted
from kit.answer.conversations import Conversation, Message
from kit.answer.events import (
    Answer,
    Citation,
    Draft,
    Event,
    Finished,
    Notice,
    ReasoningDelta,
    Retrieved,
    Sentence,
    Timings,
    Waiting,
)
from kit.library.documents import DocumentRecord, Hit
from kit.web.page import frame
from kit.web.page.answers import answer_html, evidence_html, text_html
from kit.web.page.lists import (
    conversations_html,
    day_group,
    documents_html,
    excerpt,
    hits_html,
    is_settled,
    marked_words,
    uploaded_html,
)
from kit.web.page.render import (
    Asking,
    Live,
    live_html,
    question_html,
    thread_html,
    welcome_html,
)

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


def test_what_is_backed_in_part_is_marked() -> None:
    """The program's words for partial support become a mark that explains itself."""
    page = answer_html(ANSWER)
    assert PARTLY_MARK not in page
    assert page.count('class="partly"') == 1
    assert page.index("It was less before.") < page.index('class="partly"')


def test_what_is_not_backed_is_folded_away_and_named() -> None:
    """A sentence without support is not in the text, and the reader can see what was left out."""
    page = answer_html(ANSWER)
    prose = page[page.index('<div class="prose copyable') :]
    prose = prose[: prose.index("</div>")]
    assert "All universities" not in prose
    assert "1 sentence of the model left out" in page
    assert "All universities pay it." in page[page.index("<details class=") :]


def test_a_draft_looks_like_the_finished_answer() -> None:
    """The same text is drawn the same way while it streams, so nothing jumps at the end."""
    draft = text_html(ANSWER.text, ANSWER.citations)
    assert draft in answer_html(ANSWER)


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
    images = [a["src"] for tag, a in Tags(page).found if tag == "img"]
    assert images == ["/api/v1/documents/d1/pages/3.png?start=10&end=40&scale=0.5"]
    assert page.count("Open passage") == page.count(">Original<") == 2
    assert "Per diem is R 850." in page
    assert 'data-message="7"' in page


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
        ("no_text", "No text", True),
        ("refused", "Refused", True),
    ],
)
def test_each_state_has_a_word(state: str, word: str, settled: bool) -> None:
    """The state is said in words, not by colour alone; the table refreshes only while one works."""
    documents = [document(state)]
    page = documents_html(documents, "ana", is_admin=False)
    assert_sound(page)
    assert f">{word}</span>" in page
    assert is_settled(documents) is settled
    assert ('role="progressbar"' in page) is not settled


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ("1 page", "1 passage")), (1234, ("1,234 pages", "1,234 passages"))]
)
def test_what_is_counted_is_named_in_the_right_number(
    count: int, expected: tuple[str, str]
) -> None:
    """One page is no "1 pages", where the table shows the words."""
    page = documents_html([document(num_pages=count, num_chunks=count)], "ana", is_admin=False)
    shown = re.findall(r'>([\d,]+)<span class="unit">( [a-z]+)</span>', page)
    assert tuple("".join(parts) for parts in shown) == expected


@pytest.mark.parametrize("state", ["queued", "indexed", "refused"])
def test_a_document_that_is_ready_can_be_asked(state: str) -> None:
    """Anybody who sees it may ask it alone; one without text cannot be asked."""
    page = documents_html([document(state, name=EVIL)], "ana", is_admin=False)
    assert_sound(page)
    buttons = [a for tag, a in Tags(page).found if a.get("data-do") == "ask-document"]
    assert len(buttons) == (state == "indexed")
    for button in buttons:
        assert button["data-document"] == "d1"
        assert button["aria-label"] == f"Ask this document: {EVIL}"


def test_a_refused_file_says_why_and_what_to_do() -> None:
    """Reason and hint stand under the name, and it can be tried again."""
    refused = document("refused", error="the PDF is encrypted", hint="save it without a password")
    page = documents_html([refused], "boss", is_admin=True)
    assert "The PDF is encrypted." in page
    assert "Save it without a password" in page
    assert 'data-do="retry"' in page


@pytest.mark.parametrize(
    ("owner", "user", "is_admin", "may"),
    [
        (None, "ana", False, False),
        (None, "boss", True, True),
        ("ana", "ana", False, True),
        ("ben", "ana", True, False),
    ],
)
def test_only_those_who_may_see_a_remove_button(
    owner: str | None, user: str, is_admin: bool, may: bool
) -> None:
    """Shared documents are an administrator's to remove, private ones their owner's."""
    page = documents_html([document(owner_id=owner)], user, is_admin=is_admin)
    assert ('data-do="remove"' in page) is may


def test_documents_with_hostile_names_and_reasons() -> None:
    """A file name is letters, in the table and in every label."""
    hostile = document(
        "refused", name=EVIL, id=EVIL, collection=EVIL, error=EVIL, hint=EVIL, notes=(EVIL,)
    )
    assert_sound(documents_html([hostile], "boss", is_admin=True))
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
