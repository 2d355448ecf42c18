"""Of two versions of a rule the one of the time asked about is quoted, else the newer, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.answer import answer_question
from kit.answer.events import Finished, Notice, answer_from_json, answer_to_json
from kit.answer.evidence.evidence import Evidence, find_evidence
from kit.answer.evidence.newest import asked_days, explain, precedes, without_time
from kit.config import AnswerSettings
from kit.library.dates import Dated, date_of
from kit.library.documents import Hit
from kit.testing import FakeEngine

QUESTION = "How much is the crane fee?"
OLD, NEW = "The crane fee is R80 an hour.", "The crane fee is R95 an hour."


@pytest.fixture
def versions(make_hit: Callable[..., Hit]) -> Callable[..., list[Hit]]:
    """Hits of documents (name, text, own day, what says so), in that order."""

    def make(*documents: tuple[str, str, str, str]) -> list[Hit]:
        hits = []
        for number, (name, text, day, by) in enumerate(documents, start=1):
            own = Dated(day, by) if day else None  # type: ignore[arg-type]
            hits.append(
                make_hit(
                    text, document=name, document_id=f"d{number}", chunk_id=number, rank=number,
                    dated=date_of(name, own),
                )
            )  # fmt: skip
        return hits

    return make


def found(hits: list[Hit], question: str = QUESTION) -> Evidence:
    return find_evidence(question, hits, None)


@pytest.mark.parametrize("is_old_first", [True, False])
def test_the_newer_by_the_files_own_dates_is_quoted(versions: Any, is_old_first: bool) -> None:
    """Whichever was found first, and where no name has a date; the other is quoted as differing."""
    documents = [
        ("fees.docx", OLD, "2023-05-06", "modified"),
        ("fees-final.docx", NEW, "2025-03-04", "created"),
    ]
    evidence = found(versions(*(documents if is_old_first else documents[::-1])))
    assert [unit.text for unit in evidence.best] == [NEW]
    assert evidence.differing is not None
    assert (evidence.differing.text, evidence.ground) == (OLD, "date")
    said = explain(evidence.ground, evidence.best[-1].hit, evidence.differing.hit)
    assert said.startswith("fees-final.docx (created 4 March 2025) is quoted before fees.docx ")
    assert "(changed 6 May 2023)" in said
    assert "can be wrong" in said


def test_a_merely_different_document_does_not_win_by_its_date(versions: Any) -> None:
    """Newer by any date, and about something else: it neither answers nor contradicts."""
    for text in ("The slipway fee is R95 an hour.", "The crane was repaired for R95.", "R95."):
        evidence = found(
            versions(
                ("fees.docx", OLD, "2023-05-06", "modified"),
                ("other.docx", text, "2026-03-04", "modified"),
            )
        )
        assert [unit.text for unit in evidence.best] == [OLD]
        assert evidence.differing is None


def test_dates_in_the_names_come_first(versions: Any) -> None:
    """A copy of the old policy that was saved later is still the old one."""
    evidence = found(
        versions(
            ("fees-2023.docx", OLD, "2026-05-06", "modified"),
            ("rates-2025.docx", NEW, "2025-01-04", "modified"),
        )
    )
    assert [unit.text for unit in evidence.best] == [NEW]
    assert evidence.ground == "name"


def test_within_one_year_the_files_own_dates_decide(versions: Any) -> None:
    """Where they agree with the names, which say only the year."""
    evidence = found(
        versions(
            ("fees-2025-a.docx", OLD, "2025-01-06", "modified"),
            ("fees-2025-b.docx", NEW, "2025-07-04", "modified"),
        )
    )
    assert [unit.text for unit in evidence.best] == [NEW]
    assert evidence.ground == "date"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("fees.docx", "", ""), ("rates.docx", "", "")),
        (("fees.docx", "2025-03-04", "modified"), ("rates.docx", "2025-03-04", "created")),
        (("fees.docx", "2025-03-04", "modified"), ("rates.docx", "", "")),
        (("fees.docx", "2025-03-04", "modified"), ("crane.eml", "2026-03-04", "sent")),
        (("fees-2025.docx", "", ""), ("rates.docx", "2025-03-04", "modified")),
    ],
)
def test_where_no_date_tells_the_best_passage_stays(versions: Any, first: Any, second: Any) -> None:
    """No date, the same, one alone, or a message's: it is said that nothing tells."""
    evidence = found(versions((first[0], OLD, *first[1:]), (second[0], NEW, *second[1:])))
    assert [unit.text for unit in evidence.best] == [OLD]
    assert evidence.differing is not None
    assert evidence.ground is None
    said = explain(None, evidence.best[-1].hit, evidence.differing.hit)
    assert said.endswith("no date tells which of them is newer.")


def test_a_document_with_a_date_in_its_name_and_one_with_a_date_of_its_own(versions: Any) -> None:
    """'fees.docx' may well be newer than 'fees-2023.docx'; of unknown age it is not."""
    named, own = ("fees-2023.docx", OLD, "", ""), ("fees.docx", NEW, "2025-03-04", "modified")
    evidence = found(versions(named, own))
    assert ([unit.text for unit in evidence.best], evidence.ground) == ([NEW], "date")
    evidence = found(versions((own[0], NEW, "", ""), named))
    assert ([unit.text for unit in evidence.best], evidence.ground) == ([OLD], "name")


@pytest.mark.parametrize(
    "question",
    [
        "How much is the crane fee in the 2023 fees?",
        "How much was the crane fee in 2023?",
        "How much is the crane fee?\nAnd in 2023?",
        "How much is the crane fee in 2025?\nAnd in 2023?",
    ],
)
@pytest.mark.parametrize(
    "documents",
    [
        [("fees-2025.docx", NEW, "", ""), ("fees-2023.docx", OLD, "", "")],
        [("rates-2025.docx", NEW, "", ""), ("fees-2023.docx", OLD, "", "")],
        [("b.docx", NEW, "2025-03-04", "modified"), ("a.docx", OLD, "2023-05-06", "modified")],
    ],
)
def test_a_question_that_names_a_year_gets_the_document_of_it(
    versions: Any, documents: Any, question: str
) -> None:
    """By name or by the file's own date, in any order, and no newer one is said to contradict."""
    for ordered in (documents, documents[::-1]):
        evidence = found(versions(*ordered), question)
        assert [unit.text for unit in evidence.best] == [OLD], ordered
        assert evidence.differing is None


def test_a_question_that_names_a_day_gets_the_document_of_it(versions: Any) -> None:
    """A day in a name, however it is written, or the file's own."""
    for old in (("a-2023-05-06.docx", OLD, "", ""), ("a.docx", OLD, "2023-05-06", "modified")):
        hits = versions(("b.docx", NEW, "2025-03-04", "modified"), old)
        evidence = found(hits, "How much was the crane fee on 6 May 2023?")
        assert [unit.text for unit in evidence.best] == [OLD]


def test_what_was_in_force_is_the_latest_before(versions: Any) -> None:
    """No document is of 2024, so the rule of 2023 was in force; both are quoted, and why."""
    hits = versions(
        ("fees-2025.docx", NEW, "", ""),
        ("fees-2023.docx", OLD, "", ""),
        ("fees-2021.docx", "The crane fee is R70 an hour.", "", ""),
    )
    evidence = found(hits, "How much was the crane fee in force in 2024?")
    assert [unit.text for unit in evidence.best] == [OLD]
    assert evidence.differing is not None
    assert (evidence.differing.text, evidence.ground) == (NEW, "in force")
    assert "in force at the time" in explain("in force", hits[1], hits[0])


def test_a_year_in_the_sentence_is_not_the_documents(versions: Any) -> None:
    """A sentence that says its year itself is judged by that, whatever the file is called."""
    evidence = found(
        versions(
            ("notes-2025.docx", "The crane fee of 2023 was R80 an hour.", "", ""),
            ("fees-2023.docx", "The crane is painted for R95 an hour.", "", ""),
        ),
        "How much was the crane fee of 2023?",
    )
    assert evidence.best[0].hit.document == "notes-2025.docx"
    assert evidence.differing is None


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("What does the 2023 policy say?", {"2023"}),
        ("What was in force on 4 March 2024?", {"2024-03-04"}),
        ("Who gets R2000 or USD 2,024?", set()),
        ("What of 2023?\nAnd now?", {"2023"}),
        ("What of 2023?\nAnd in 2025?", {"2025"}),
    ],
)
def test_a_question_is_read_for_the_time_it_names(text: str, days: set[str]) -> None:
    """A sum of money is no year; a follow-up's own year counts before that of its question."""
    assert asked_days(text) == days


@pytest.mark.parametrize(
    ("question", "rest"),
    [
        ("What fee was in force in 2024?", "What fee was ?"),
        ("Which fee that was valid on 4 March 2024 is paid?", "Which fee  is paid?"),
        ("What was the fee in 2023?", "What was the fee in 2023?"),
        ("What is in policy 2023?\nAnd in 2025?", "What is in policy ?\nAnd in 2025?"),
        ("And the fee in 2023?\nAnd of slipways?", "And the fee in 2023?\nAnd of slipways?"),
        ("Is force used in 2024?", "Is force used in 2024?"),
    ],
)  # fmt: skip
def test_a_time_that_only_chooses_is_not_looked_for(question: str, rest: str) -> None:
    """No sentence says 'in force in 2024'; a year that is asked about has to be there."""
    assert without_time(question) == rest


DAYS = st.sampled_from(["2023", "2023-05", "2023-05-06", "2025", "2025-03-04", "2025-07-01"])
NAMES = st.sampled_from(
    ["fees.docx", "fees-2023.docx", "fees-2025.docx", "2025/fees.docx", "fees-2025-03-04.docx"]
)
OWN = st.none() | st.builds(Dated, DAYS, st.sampled_from(["modified", "created", "sent"]))


@given(st.frozensets(DAYS, max_size=2), st.tuples(NAMES, OWN), st.tuples(NAMES, OWN))
def test_of_two_at_most_one_precedes(days: frozenset[str], one: Any, other: Any) -> None:
    """Never each the other, or the order in which passages are found would decide."""
    hits = [
        Hit(1, 1.0, 1, "d", name, None, "", 0, 1, "x", 1, dated=date_of(name, own))
        for name, own in (one, other)
    ]
    assert not (precedes(days, *hits) and precedes(days, *reversed(hits)))


def test_the_answer_says_both_dates_and_what_decided(
    versions: Any, make_searcher: Any, collect: Any
) -> None:
    """In a notice; its citations carry the dates, through JSON and back."""
    hits = versions(
        ("fees.docx", OLD, "2023-05-06", "modified"),
        ("fees-final.docx", NEW, "2025-03-04", "created"),
    )
    events = collect(
        answer_question(
            QUESTION, history=[], reader="local", searcher=make_searcher(hits),
            engine=FakeEngine(fails=True), settings=AnswerSettings(),
        )
    )  # fmt: skip
    [notice, *_] = [event.text for event in events if isinstance(event, Notice)]
    assert "created 4 March 2025" in notice
    assert "changed 6 May 2023" in notice
    answer = next(event.answer for event in events if isinstance(event, Finished))
    assert notice in answer.notices
    assert [c.dated for c in answer.citations] == [
        Dated("2025-03-04", "created"), Dated("2023-05-06", "modified"),
    ]  # fmt: skip
    record = answer_to_json(answer)
    assert record["citations"][0]["dated"] == {"day": "2025-03-04", "by": "created"}
    assert answer_from_json(record) == answer
    for citation in record["citations"]:
        del citation["dated"]  # as answers were stored before there were dates
    assert [c.dated for c in answer_from_json(record).citations] == [None, None]
