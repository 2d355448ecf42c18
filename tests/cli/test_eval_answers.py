"""kit eval answers: what is wrong is said first, what became worse ends with exit code 1."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.answer.events import Finished
from kit.cli.eval_answers import sample_question_set
from kit.errors import KitError, UsageError
from kit.samples import sample_paths
from tests.cli.conftest import RunKit
from tests.cli.fake_kit import FakeKit, an_answer

LINES: list[dict[str, Any]] = [
    {"question": "How much a day?", "expected": "R 650", "document": "policy.pdf", "page": 3},
    {"question": "And abroad?", "follow_up": True, "expected": "USD 85"},
    {"question": "Who won the match?", "unanswerable": True},
]


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> FakeKit:
    fake = FakeKit()

    @contextlib.contextmanager
    def open_fake(*_: object) -> Iterator[FakeKit]:
        yield fake

    monkeypatch.setattr("kit.cli.eval_answers.open_kit", open_fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "office"
    data.mkdir()
    (data / "questions.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    return data


def test_the_library_is_measured(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """Follow-ups in one conversation, which is forgotten; report, plots and figures."""
    result = run_kit("eval", "answers", str(folder), "--collection", "office", "--json")
    assert result.code == 0, result.err
    assert kit.asked == [
        ("How much a day?", "office", "c1"),
        ("And abroad?", "office", "c1"),
        ("Who won the match?", "office", None),
    ]
    assert kit.forgotten == ["c1"]
    found = result.json()
    assert found["figures"]["right"] == 0.5
    assert found["figures"]["right_page"] == 1.0
    assert found["figures"]["false_answers"] == 1.0
    place = Path(found["folder"])
    report = (place / "report.md").read_text()
    for plot in ("outcomes.svg", "seconds.svg"):
        assert plot in report
        assert (place / plot).read_text().startswith("<?xml")
    assert len(json.loads((place / "answers.json").read_text())["judged"]) == 3


def test_worse_than_before_is_exit_code_1(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """The figure and the question that was lost are named; the same again is no worse."""
    given = ("eval", "answers", str(folder), "--no-plots")
    assert run_kit(*given).code == 0
    reports = next(folder.parent.rglob("answers-office-*"))
    earlier = reports / "answers.json"
    record = json.loads(earlier.read_text())
    earlier.write_text(json.dumps(record | {"made_at": "2020-01-01T00:00:00Z"}))
    reports.rename(reports.with_name("answers-office-2020"))
    kit.events = [Finished(an_answer(is_supported=False, text="Not in your documents."))]
    result = run_kit(*given)
    assert result.code == 1
    assert "worse than before: right 0.000, it was 0.500" in result.err
    assert "no longer answered well: How much a day?" in result.err
    assert "false answers" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the questions are missing"),
        (["{folder}", "--samples"], "--samples and a folder were given"),
        (["{folder}/nothing"], "cannot be read"),
        (["--samples", "--collection", "office"], "--collection chooses in the library"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    run_kit: RunKit, folder: Path, arguments: list[str], words: str
) -> None:
    """Before a model is loaded."""
    given = [argument.format(folder=folder) for argument in arguments]
    result = run_kit("eval", "answers", *given)
    assert (result.code, result.out) == (UsageError.exit_code, "")
    assert words in result.err


def test_an_answer_that_ends_early_leaves_no_conversation(
    run_kit: RunKit, kit: FakeKit, folder: Path
) -> None:
    """The error is told, and the conversation of the follow-ups is gone all the same."""
    kit.events = []
    result = run_kit("eval", "answers", str(folder), "--no-plots")
    assert result.code == KitError.exit_code
    assert "an answer ended too early" in result.err
    assert kit.forgotten == ["c1"]


def test_the_samples_are_a_question_set() -> None:
    """Every kind of question is there, about every sample document."""
    data = sample_question_set()
    assert set(data.files) == {path.name for path in sample_paths()}
    assert any(asked.is_follow_up for asked in data.questions)
    assert sum(asked.is_unanswerable for asked in data.questions) >= 20
    assert {asked.document for asked in data.questions if asked.document} <= set(data.files)
