"""Answers measured on questions whose right answers are known, and compared with the time before.

Knows finished answers, not how they are made: what answers is given. Invariants: what is counted
right stands in the quotation or in a sentence that the program found supported; two reports are
compared only if they are of the same data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from kit.answer.events import Answer
from kit.evaluate.asked import Asked, QuestionSet
from kit.files import write_atomic

Outcome = Literal["right", "other", "refused", "left", "false"]
MEANINGS: dict[Outcome, str] = {
    "right": "the quotation or a supported sentence holds what was expected",
    "other": "answered, without what was expected",
    "refused": "false refusal: not answered, though the documents answer it",
    "left": "rightly not answered",
    "false": "false answer: answered, though the documents do not",
}
WORSE_BY = 0.01  # of a share
WORSE_SUPPORT_BY = 0.05  # of the model's sentences: another machine may round otherwise
REPORT = "answers.json"
NO_MODEL = "none was asked"  # the condition of a report whose language model was left out
Converse = Callable[[Sequence[str]], list[Answer]]
"""The questions of one conversation -> the answers to them, in order."""


@dataclass(frozen=True)
class Judged:
    """One question and what became of it. None where the question names no document or page."""

    question: str
    outcome: Outcome
    cites_document: bool | None
    cites_page: bool | None
    quote: str
    num_supported: int
    num_partly: int
    num_unsupported: int
    ttft_s: float
    total_s: float
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """Shares of 1, None where nothing was asked that they could count; times in seconds."""

    num_answerable: int
    num_unanswerable: int
    right: float | None
    right_document: float | None
    right_page: float | None
    false_refusals: float | None
    false_answers: float | None
    supported: float | None
    """Of the sentences that the model wrote; those that are not are marked or left out."""
    partly: float | None
    unsupported: float | None
    ttft_median_s: float
    total_median_s: float


@dataclass(frozen=True)
class AnswersReport:
    """A whole measurement. `conditions` are versions, models and the machine."""

    data: str
    data_sha256: str
    made_at: str
    figures: Figures
    judged: tuple[Judged, ...]
    conditions: Mapping[str, str]

    def as_json(self, *, with_questions: bool = True) -> dict[str, Any]:
        """Everything; without the questions it is short enough for a terminal."""
        whole = asdict(self)
        if not with_questions:
            del whole["judged"]
        return whole


def measure_answers(
    data: QuestionSet,
    converse: Converse,
    *,
    made_at: str,
    conditions: Mapping[str, str],
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> AnswersReport:
    """Every question asked and judged."""
    judged: list[Judged] = []
    for conversation in data.conversations:
        answers = converse([asked.question for asked in conversation])
        judged += [
            judge(asked, answer) for asked, answer in zip(conversation, answers, strict=True)
        ]
        on_progress("asking", len(judged), len(data.questions))
    figures = figures_of(judged)
    return AnswersReport(data.name, data.sha256, made_at, figures, tuple(judged), conditions)


def judge(asked: Asked, answer: Answer) -> Judged:
    """What became of one question."""
    support = [sentence.support for sentence in answer.sentences]
    pages = {(citation.document, citation.page) for citation in answer.citations}
    quote = next((c.text for c in answer.citations if c.n == answer.quote), "")
    return Judged(
        question=asked.question,
        outcome=_outcome(asked, answer),
        cites_document=None if asked.document is None else asked.document in dict(pages),
        cites_page=None if asked.page is None else (asked.document, asked.page) in pages,
        quote=" ".join(quote.split()),
        num_supported=support.count("supported"),
        num_partly=support.count("partly"),
        num_unsupported=support.count("unsupported"),
        ttft_s=answer.timings.ttft_s,
        total_s=answer.timings.total_s,
        notices=answer.notices,
    )


def _outcome(asked: Asked, answer: Answer) -> Outcome:
    if asked.is_unanswerable:
        return "false" if answer.is_supported else "left"
    if not answer.is_supported:
        return "refused"
    if not asked.expected:
        documents = {citation.document for citation in answer.citations}
        return "right" if asked.document in documents else "other"
    said = _plain(answer.vouched_text)
    has_all = all(any(_plain(text) in said for text in group) for group in asked.expected)
    return "right" if has_all else "other"


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def figures_of(judged: Sequence[Judged]) -> Figures:
    """The figures of these questions."""
    answerable = [j.outcome for j in judged if j.outcome not in ("left", "false")]
    unanswerable = [j.outcome for j in judged if j.outcome in ("left", "false")]
    written = sum(j.num_supported + j.num_partly + j.num_unsupported for j in judged)
    return Figures(
        num_answerable=len(answerable),
        num_unanswerable=len(unanswerable),
        right=_share(answerable.count("right"), len(answerable)),
        right_document=_share_of([j.cites_document for j in judged]),
        right_page=_share_of([j.cites_page for j in judged]),
        false_refusals=_share(answerable.count("refused"), len(answerable)),
        false_answers=_share(unanswerable.count("false"), len(unanswerable)),
        supported=_share(sum(j.num_supported for j in judged), written),
        partly=_share(sum(j.num_partly for j in judged), written),
        unsupported=_share(sum(j.num_unsupported for j in judged), written),
        ttft_median_s=median([j.ttft_s for j in judged] or [0.0]),
        total_median_s=median([j.total_s for j in judged] or [0.0]),
    )


def _share(count: int, total: int) -> float | None:
    return count / total if total else None


def _share_of(flags: Sequence[bool | None]) -> float | None:
    known = [flag for flag in flags if flag is not None]
    return _share(sum(known), len(known))


# -- compared with the time before --------------------------------------------------------------


def find_before(reports: Path, report: AnswersReport) -> dict[str, Any] | None:
    """The newest report of the same data in a folder of reports; None if there is none."""
    found: list[dict[str, Any]] = []
    for path in reports.glob(f"answers-*/{REPORT}"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        is_same = isinstance(record, dict) and record.get("data_sha256") == report.data_sha256
        is_same = is_same and _is_without_model(record) == _is_without_model(report.as_json())
        if is_same and str(record.get("made_at", "")) < report.made_at:
            found.append(record)
    return max(found, key=lambda record: str(record["made_at"]), default=None)


def _is_without_model(record: Mapping[str, Any]) -> bool:
    return bool(record.get("conditions", {}).get("language model") == NO_MODEL)


# (figure, whether more of it is better, by how much it may move)
_WATCHED = (
    ("right", True, WORSE_BY),
    ("right_document", True, WORSE_BY),
    ("right_page", True, WORSE_BY),
    ("false_refusals", False, WORSE_BY),
    ("false_answers", False, WORSE_BY),
    ("supported", True, WORSE_SUPPORT_BY),
)


def find_worse(report: AnswersReport, before: Mapping[str, Any] | None) -> list[str]:
    """What became worse since then, in words. Seconds are shown, not judged: machines differ."""
    old, new = (before or {}).get("figures", {}), asdict(report.figures)
    worse: list[str] = []
    for name, is_more_better, by in _WATCHED:
        was, now = old.get(name), new[name]
        if isinstance(was, float) and isinstance(now, float):
            fallen = was - now if is_more_better else now - was
            if fallen > by:
                worse.append(f"{name} {now:.3f}, it was {was:.3f}")
    return worse


def find_lost(report: AnswersReport, before: Mapping[str, Any] | None) -> list[str]:
    """The questions that were judged well then and are not now."""
    good = ("right", "left")
    was = [
        str(record.get("question"))
        for record in (before or {}).get("judged", ())
        if record.get("outcome") in good
    ]
    return [j.question for j in report.judged if j.outcome not in good and j.question in was]


# -- the report ---------------------------------------------------------------------------------


def write_answers_report(
    report: AnswersReport,
    folder: Path,
    *,
    worse: Sequence[str] = (),
    lost: Sequence[str] = (),
    plots: Sequence[str] = (),
) -> None:
    """answers.json for programs and report.md for people are in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.as_json(), indent=1, ensure_ascii=False)
    write_atomic(folder / REPORT, text.encode())
    lines = _markdown(report, worse, lost, plots)
    write_atomic(folder / "report.md", ("\n".join(lines) + "\n").encode())


def _markdown(
    report: AnswersReport, worse: Sequence[str], lost: Sequence[str], plots: Sequence[str]
) -> list[str]:
    figures = report.figures
    return [
        f"# Answers to {report.data}",
        "",
        f"{figures.num_answerable} questions that the documents answer,"
        f" {figures.num_unanswerable} that they do not, {report.made_at}.",
        "",
        *(f"- WORSE than before: {line}" for line in worse),
        *(f"- No longer answered well: {question}" for question in lost),
        *([""] if worse or lost else []),
        "| figure | |",
        "|---|---:|",
        *(f"| {name} | {shown} |" for name, shown in headlines(figures)),
        "",
        *(f"![{Path(plot).stem}]({plot})\n" for plot in plots),
        *(f"- {key}: {value}" for key, value in report.conditions.items()),
        "",
        "| question | outcome | document | page | quoted | supported, partly, left out | s |",
        "|---|---|---|---|---|---|---:|",
        *(_row(judged) for judged in report.judged),
        "",
        *(f"- `{outcome}`: {meaning}" for outcome, meaning in MEANINGS.items()),
    ]


def headlines(figures: Figures) -> list[tuple[str, str]]:
    """(figure, as it is shown) of what a person looks at first."""
    shares = (
        ("answered right", figures.right),
        ("right document cited", figures.right_document),
        ("right page cited", figures.right_page),
        ("false refusals", figures.false_refusals),
        ("false answers", figures.false_answers),
        ("model's sentences supported", figures.supported),
        ("model's sentences partly supported, marked", figures.partly),
        ("model's sentences unsupported, left out", figures.unsupported),
    )
    shown = [(name, "-" if share is None else f"{share:.3f}") for name, share in shares]
    shown.append(("first piece, median s", f"{figures.ttft_median_s:.2f}"))
    shown.append(("whole answer, median s", f"{figures.total_median_s:.2f}"))
    return shown


def _row(judged: Judged) -> str:
    marks = {None: "-", True: "yes", False: "no"}
    counts = f"{judged.num_supported}, {judged.num_partly}, {judged.num_unsupported}"
    quote = judged.quote if len(judged.quote) <= 120 else judged.quote[:120] + " …"
    cites = marks[judged.cites_document], marks[judged.cites_page]
    cells = (judged.question, judged.outcome, *cites, quote, counts, f"{judged.total_s:.1f}")
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Threat: a document's own '|' or markup that takes the table apart or draws a link."""
    return "".join(f"\\{c}" if c in "|[]<>`*_!\\" else c for c in " ".join(text.split()))
