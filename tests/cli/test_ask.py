"""kit ask and kit chat: the answer, its evidence, and stopping."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kit.answer.events import Finished
from kit.cli.output import plain
from kit.errors import EngineUnavailable
from kit.library.dates import Dated
from tests.cli.conftest import RunKit
from tests.cli.fake_kit import DRAFTS, FakeKit, an_answer


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> FakeKit:
    fake = FakeKit()

    @contextlib.contextmanager
    def open_fake(*_: object) -> Iterator[FakeKit]:
        yield fake

    monkeypatch.setattr("kit.cli.ask.open_kit", open_fake)
    return fake


def test_an_answer_shows_its_evidence(run_kit: RunKit, kit: FakeKit) -> None:
    """The answer stands on stdout, then each citation with document, place and passage."""
    kit.events = [*DRAFTS, Finished(an_answer(notices=("words only", "the answer is short")))]
    result = run_kit("ask", "How much a day?", "--collection", "office")
    assert result.code == 0
    assert result.out.splitlines() == [
        "“Staff receive R 650 a day.” [1]",
        "",
        "[1] policy.pdf, page 3",
        "    Staff receive R 650 a day. The form is T-4.",
    ]
    assert result.err.count("note: words only") == 1
    assert "note: the answer is short" in result.err
    assert kit.asked == [("How much a day?", "office", None)]


def test_evidence_says_of_when_it_is(run_kit: RunKit, kit: FakeKit) -> None:
    """Beside the place of each citation, and of what only came closest."""
    cited = tuple(replace(c, dated=Dated("2025", "name")) for c in an_answer().citations)
    kit.events = [Finished(an_answer(citations=cited))]
    assert "[1] policy.pdf, page 3, 2025 by its name\n" in run_kit("ask", "How much?").out
    kit.events = [Finished(an_answer(citations=(), closest=cited))]
    assert "  - policy.pdf, page 3, 2025 by its name\n" in run_kit("ask", "How much?").out


def test_json_has_the_promised_shape(run_kit: RunKit, kit: FakeKit) -> None:
    """`kit ask --json` has exactly the promised keys where they are promised, and more beside."""
    result = run_kit("ask", "How much?", "--json")
    answer = result.json()
    assert {"answer", "supported", "citations", "timings"} <= set(answer)
    (citation,) = answer["citations"]
    promised = {"n", "document", "document_id", "page", "start", "end", "text"}
    assert promised <= set(citation)
    assert set(answer["timings"]) == {"retrieve_s", "ttft_s", "total_s"}


def test_no_answer_shows_what_came_closest(run_kit: RunKit, kit: FakeKit) -> None:
    """Without support the plain statement stands first, then the closest passages by name."""
    closest = an_answer().citations
    told = an_answer(
        text="That is not in your documents.", is_supported=False, citations=(), closest=closest
    )
    kit.events = [Finished(told)]
    result = run_kit("ask", "Who is president?")
    assert result.code == 0
    assert result.out.splitlines()[0] == "That is not in your documents."
    assert "policy.pdf, page 3" in result.out


def test_an_engine_that_fails_is_an_error(run_kit: RunKit, kit: FakeKit) -> None:
    """If the answer cannot be made the command ends with that error."""
    kit.events = [EngineUnavailable("the model is loading", hint="ask again in a moment")]
    assert run_kit("ask", "x").code == EngineUnavailable.exit_code


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_chat_keeps_one_conversation(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question of a chat goes to the same conversation, until /quit or the end of input."""
    typed(monkeypatch, "First?", "", "Second?", "/quit", "Third?")
    result = run_kit("chat", "--json")
    assert result.code == 0
    assert kit.asked == [("First?", None, "c1"), ("Second?", None, "c1")]
    assert [a["question"] for a in result.json()["answers"]] == ["First?", "Second?"]
    assert result.json()["conversation_id"] == "c1"


def test_ctrl_c_stops_the_answer_not_the_chat(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in mid-answer closes that answer's stream; the next question is answered."""
    typed(monkeypatch, "First?", "Second?")
    whole = [Finished(an_answer())]
    kit.events = [*DRAFTS, KeyboardInterrupt()]
    real_ask = kit.ask

    def ask(question: str, **rest: str | None) -> object:
        kit.events = kit.events if question == "First?" else whole
        return real_ask(question, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(kit, "ask", ask)
    result = run_kit("chat")
    assert result.code == 0
    assert "stopped" in result.err
    assert result.out.startswith("“Staff receive R 650 a day.” [1]")
    assert kit.num_closed == 2


def test_a_restarting_engine_does_not_end_the_chat(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is away for one question is said to be; the chat goes on."""
    typed(monkeypatch, "First?", "Second?")
    kit.events = [EngineUnavailable("the model is restarting")]
    result = run_kit("chat")
    assert result.code == 0
    assert result.err.count("the model is restarting") == 2


def test_nothing_from_documents_or_model_steers_the_terminal() -> None:
    """Escape sequences, bells and direction overrides of a text never reach the terminal."""
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\u202ed\x9be\rf\ng\th"
    assert plain(hostile) == "a]0;titleb[2Jcdef\ng\th"


def test_one_document_is_asked_by_name_or_id(run_kit: RunKit, kit: FakeKit) -> None:
    """`--document` finds it, every question of a chat is of it, and a wrong name is an error."""
    record = kit.add(io.BytesIO(b"text"), "travel policy.pdf", "office")
    for wanted in ("travel policy.pdf", record.id):
        assert run_kit("ask", "How much a day?", "--document", wanted).code == 0
    assert kit.asked_of == [record.id] * 2
    result = run_kit("ask", "How much?", "--document", "absent.pdf")
    assert (result.code, result.out) == (22, "")
    assert "no document 'absent.pdf'" in result.err
    result = run_kit("ask", "How much?", "--document", record.id, "--collection", "office")
    assert result.code == 2
    assert "exclude each other" in result.err
    assert len(kit.asked_of) == 2


def test_a_chat_about_one_document(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question of the conversation is of the document that was named."""
    record = kit.add(io.BytesIO(b"text"), "policy.pdf", "office")
    monkeypatch.setattr("sys.stdin", io.StringIO("First?\nSecond?\n"))
    assert run_kit("chat", "--document", "policy.pdf").code == 0
    assert kit.asked_of == [record.id] * 2
