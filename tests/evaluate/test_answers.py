"""Questions with known answers: read or refused line by line, judged, compared with before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kit.answer.events import DIFFERS, Answer, Citation, Sentence, Timings
from kit.errors import UsageError
from kit.evaluate.answers import (
    AnswersReport,
    find_before,
    find_lost,
    find_worse,
    measure_answers,
    write_answers_report,
)
from kit.evaluate.asked import QuestionSet, read_question_set

LINES = [
    {"question": "How much a day?", "expected": ["R585"], "document": "travel.pdf", "page": 2},
    {"question": "And abroad?", "follow_up": True, "expected": [["$85", "USD 85"]]},
    {"question": "Which form?", "document": "forms.pdf"},
    {"question": "Who won the match?", "unanswerable": True},
    {"question": "Who is the dean?", "unanswerable": True},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "office"
    (data / "documents" / ".git").mkdir(parents=True)
    (data / "documents" / "travel.pdf").write_bytes(b"%PDF")
    (data / "documents" / ".git" / "hidden").write_bytes(b"x")
    (data / "questions.jsonl").write_text("\n\n".join(map(json.dumps, LINES)))
    return data


def test_the_layout_is_read(folder: Path) -> None:
    """Questions in their conversations, files by name, hidden ones left out."""
    data = read_question_set(folder)
    assert (data.name, list(data.files)) == ("office", ["travel.pdf"])
    assert [len(conversation) for conversation in data.conversations] == [2, 1, 1, 1]
    assert data.questions[1].expected == (("$85", "USD 85"),)
    (folder / "documents" / "travel.pdf").write_bytes(b"%PDF-1.7")
    assert read_question_set(folder).sha256 != data.sha256


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[]", "one JSON object"),
        ('{"question": "", "expected": "x"}', "question: a text"),
        ('{"question": "a", "expct": "x"}', "unknown field 'expct'"),
        ('{"question": "a", "expected": [[]]}', "expected: texts"),
        ('{"question": "a", "expected": [3]}', "expected: texts"),
        ('{"question": "a", "expected": 3}', "expected: a text or a list"),
        ('{"question": "a"}', "what would a right answer hold"),
        ('{"question": "a", "expected": "x", "page": 2}', "beside the document"),
        ('{"question": "a", "document": "d", "page": true}', "page: a number"),
        ('{"question": "a", "document": ["d"]}', "document: the name"),
        ('{"question": "a", "unanswerable": true, "document": "d"}', "leave one of them out"),
        ('{"question": "a", "unanswerable": 1}', "true or false expected"),
        ('{"question": "a", "expected": "x", "follow_up": true}', "no question before it"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, line: str, words: str) -> None:
    """File, line and what was expected."""
    (folder / "questions.jsonl").write_text(line + "\n")
    with pytest.raises(UsageError) as caught:
        read_question_set(folder)
    told = "\n".join(caught.value.lines())
    assert "questions.jsonl:1" in told
    assert words in told


def test_no_questions_and_no_files_are_errors(folder: Path) -> None:
    (folder / "documents" / "travel.pdf").unlink()
    with pytest.raises(UsageError, match="holds no file"):
        read_question_set(folder)
    (folder / "questions.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="holds no question"):
        read_question_set(folder)
    (folder / "questions.jsonl").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        read_question_set(folder)


QUOTED = Answer(
    text="“A day is  R585.” [1]\n\nIt is R585 [1] It is USD 85. [1] (only partly)",
    is_supported=True,
    quote=1,
    sentences=(
        Sentence("It is R585.", "supported", (1,)),
        Sentence("It is USD 85.", "partly", (1,)),
        Sentence("It is $85.", "unsupported"),
    ),
    citations=(Citation(1, "travel.pdf", "d1", 2, "page 2", 0, 16, "A day is  R585."),),
    timings=Timings(0.1, 0.2, 3.0),
)
ABSENT = replace(
    QUOTED,
    text="Not in your documents.",
    is_supported=False,
    quote=None,
    sentences=(),
    citations=(),
)


def test_only_what_the_program_vouches_for_is_vouched() -> None:
    """The quotations and the supported sentences; not what is partly backed, or left out."""
    assert QUOTED.vouched_text == "“A day is  R585.” [1]\nIt is R585."
    other = replace(QUOTED, text=f"“A.” [1]\n\n{DIFFERS} “B.” [2]\n\nIt is USD 85.")
    assert other.vouched_text == f"“A.” [1]\n{DIFFERS} “B.” [2]\nIt is R585."
    assert ABSENT.vouched_text == ""


def report_of(data: QuestionSet, made_at: str, answers: Sequence[Answer]) -> AnswersReport:
    left = list(answers)
    return measure_answers(
        data,
        lambda questions: [left.pop(0) for _ in questions],
        made_at=made_at,
        conditions={"kit": "0.1.0"},
    )


def test_outcomes_are_counted(folder: Path) -> None:
    """A partly backed answer is not right; a refusal and an invented answer are told apart."""
    report = report_of(
        read_question_set(folder), "2026-11-26T10:00:00Z", [QUOTED, QUOTED, ABSENT, QUOTED, ABSENT]
    )
    outcomes = [judged.outcome for judged in report.judged]
    assert outcomes == ["right", "other", "refused", "false", "left"]
    figures = report.figures
    assert (figures.num_answerable, figures.num_unanswerable) == (3, 2)
    assert (figures.right, figures.false_refusals) == (1 / 3, 1 / 3)
    assert figures.false_answers == 0.5
    assert (figures.right_document, figures.right_page) == (0.5, 1.0)
    assert (figures.supported, figures.partly, figures.unsupported) == (1 / 3, 1 / 3, 1 / 3)
    assert (figures.ttft_median_s, figures.total_median_s) == (0.2, 3.0)


def test_an_upgrade_that_makes_it_worse_is_told(folder: Path, tmp_path: Path) -> None:
    """By figure and by question; the newest report of the same data counts, another's does not."""
    data, reports = read_question_set(folder), tmp_path / "reports"
    first = report_of(data, "2026-11-26T10:00:00Z", [QUOTED, QUOTED, ABSENT, ABSENT, ABSENT])
    write_answers_report(first, reports / "answers-office-1")
    second = report_of(data, "2026-11-27T10:00:00Z", [ABSENT, QUOTED, ABSENT, QUOTED, ABSENT])
    before = find_before(reports, second)
    worse = find_worse(second, before)
    assert [line.split()[0] for line in worse] == [
        *("right", "right_document", "right_page", "false_refusals", "false_answers"),
    ]
    assert "right 0.000, it was 0.333" in worse
    lost = find_lost(second, before)
    assert lost == ["How much a day?", "Who won the match?"]
    write_answers_report(second, reports / "answers-office-2", worse=worse, lost=lost)
    text = (reports / "answers-office-2" / "report.md").read_text()
    assert "WORSE than before: right 0.000" in text
    assert "No longer answered well: Who won the match?" in text
    assert find_worse(first, before) == []
    assert find_before(reports, replace(second, data_sha256="another")) is None
    assert find_worse(second, None) == []
    assert find_lost(second, None) == []


def test_a_document_cannot_draw_into_the_report(folder: Path, tmp_path: Path) -> None:
    """Its words stay in their cell: no column, link or image of its own."""
    nasty = replace(QUOTED.citations[0], text="| ![x](https://evil.example/x) <b> |")
    data = read_question_set(folder)
    answers = [replace(QUOTED, citations=(nasty,)), *[ABSENT] * 4]
    write_answers_report(report_of(data, "2026-11-27T10:00:00Z", answers), tmp_path / "r")
    row = next(
        line
        for line in (tmp_path / "r" / "report.md").read_text().splitlines()
        if line.startswith("| How much")
    )
    assert r"\| \!\[x\](https://evil.example/x) \<b\> \|" in row
