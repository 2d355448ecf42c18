"""Judged questions: read or refused line by line, measured, and compared with the time before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import UsageError
from kit.evaluate.beir import read_judged
from kit.evaluate.retrieval import (
    RetrievalReport,
    find_before,
    find_worse,
    measure,
    render,
    write_report,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents, two questions, one judgement each."""
    data = tmp_path / "office"
    (data / "qrels").mkdir(parents=True)
    corpus = [{"_id": "d1", "title": "Leave", "text": "Leave is 20 days."},
              {"_id": "d2", "title": "", "text": "The rate is 40."}]  # fmt: skip
    queries = [{"_id": "q1", "text": "How long is leave?"}, {"_id": "q2", "text": "Which rate?"}]
    for name, records in (("corpus", corpus), ("queries", queries)):
        text = "\n".join(json.dumps(record) for record in records)
        (data / f"{name}.jsonl").write_text(text + "\n\n")
    judged = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td2\t2\n"
    (data / "qrels" / "test.tsv").write_text(judged)
    return data


def test_the_layout_is_read(folder: Path) -> None:
    """Texts, questions and grades above 0; a head line and empty lines are no data."""
    judged = read_judged(folder)
    assert judged.name == "office"
    assert [text.title for text in judged.corpus] == ["Leave", ""]
    assert judged.relevant == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    assert judged.queries["q2"] == "Which rate?"


def drop_corpus(folder: Path) -> str:
    (folder / "corpus.jsonl").unlink()
    return "corpus.jsonl cannot be read"


def break_a_line(folder: Path) -> str:
    with (folder / "queries.jsonl").open("a") as out:
        out.write('{"_id": \n{"text": "nobody"}\n')
    return "queries.jsonl:4"


def judge_a_stranger(folder: Path) -> str:
    with (folder / "qrels" / "test.tsv").open("a") as out:
        out.write("q9\td1\t1\nq1\td9\t1\nq1\td1\tyes\n")
    return "test.tsv:5"


def judge_nothing(folder: Path) -> str:
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n")
    return "judges no document"


def drop_judgements(folder: Path) -> str:
    (folder / "qrels" / "test.tsv").unlink()
    return "none observed"


SPOILERS = [drop_corpus, break_a_line, judge_a_stranger, judge_nothing, drop_judgements]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_named(folder: Path, spoil: Callable[[Path], str]) -> None:
    """File and line, every one at once."""
    expected = spoil(folder)
    with pytest.raises(UsageError) as caught:
        read_judged(folder)
    assert expected in "\n".join(caught.value.lines())


def report_of(folder: Path, made_at: str, *, is_good: bool) -> RetrievalReport:
    order = ["d1", "d2"]

    def rank(question: str) -> dict[str, list[str]]:
        right = order if "leave" in question else order[::-1]
        return {"hybrid": right if is_good else right[::-1], "lexical": right}

    return measure(read_judged(folder), rank, made_at=made_at, conditions={"kit": "0.1.0"})


def test_an_upgrade_that_makes_it_worse_is_told(folder: Path, tmp_path: Path) -> None:
    """The newest report of the same data counts; another data set's does not."""
    reports = tmp_path / "reports"
    first = report_of(folder, "2026-11-26T10:00:00Z", is_good=True)
    assert first.figures["hybrid"].ndcg_10 == 1.0
    assert list(first.figures) == ["lexical", "hybrid"]
    write_report(first, reports / "retrieval-office-1", [])
    second = report_of(folder, "2026-11-27T10:00:00Z", is_good=False)
    before = find_before(reports, second)
    assert before is not None
    (line,) = find_worse(second, before)
    assert line.startswith("hybrid nDCG@10 0.631, it was 1.000")
    assert "WORSE" in render(second, [line])
    assert first.gains[("hybrid", "lexical")].mean == 0.0
    assert second.as_json()["gains"]["hybrid - lexical"]["high"] == pytest.approx(-0.3691)
    assert "hybrid - lexical: nDCG@10 -0.369 (-0.369 to -0.369)\n" in render(second, [])
    assert "hybrid - lexical: nDCG@10 +0.000 (+0.000 to +0.000), which may be chance" in render(
        first, []
    )
    assert find_worse(first, before) == []
    (folder / "corpus.jsonl").write_text(
        (folder / "corpus.jsonl").read_text() + json.dumps({"_id": "d3", "text": "More."})
    )
    other = report_of(folder, "2026-11-28T10:00:00Z", is_good=False)
    assert find_before(reports, other) is None
    assert find_worse(other, None) == []
