"""Retrieval measured on judged questions, and compared with the time before.

Knows rankings, not how they are made: what ranks is given. Invariant: two reports are compared
only if they are of the same data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.evaluate.beir import Judged
from kit.evaluate.ranking import Difference, Figures, compare, judge
from kit.files import write_atomic

WORSE_BY = 0.01  # of nDCG@10: less is within what ties and rounding do
MODES = ("lexical", "dense", "hybrid", "reranked")
COMPARED = (("hybrid", "lexical"), ("hybrid", "dense"), ("reranked", "hybrid"))
Rank = Callable[[str], Mapping[str, Sequence[str]]]
"""A question -> mode -> document ids, best first."""
REPORT = "retrieval.json"


@dataclass(frozen=True)
class RetrievalReport:
    """Figures by mode. `conditions` are versions, models and the machine."""

    data: str
    data_sha256: str
    made_at: str
    num_documents: int
    figures: Mapping[str, Figures]
    conditions: Mapping[str, str]
    gains: Mapping[tuple[str, str], Difference] = field(default_factory=dict)
    """(mode, other mode) -> how much better the first is on these questions."""

    def as_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "made_at": self.made_at,
            "num_documents": self.num_documents,
            "conditions": dict(self.conditions),
            **{mode: figures.as_json() for mode, figures in self.figures.items()},
            "gains": {f"{a} - {b}": gain.as_json() for (a, b), gain in self.gains.items()},
        }


def measure(
    judged: Judged,
    rank: Rank,
    *,
    made_at: str,
    conditions: Mapping[str, str],
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> RetrievalReport:
    """The figures of every mode that `rank` gives."""
    rankings: dict[str, dict[str, Sequence[str]]] = {}
    for done, (query, text) in enumerate(sorted(judged.queries.items()), start=1):
        for mode, ranked in rank(text).items():
            rankings.setdefault(mode, {})[query] = ranked
        on_progress("asking", done, len(judged.queries))
    figures = {mode: judge(found, judged.relevant) for mode, found in rankings.items()}
    ordered = {mode: figures[mode] for mode in MODES if mode in figures}
    gains = {
        (a, b): compare(rankings[a], rankings[b], judged.relevant)
        for a, b in COMPARED
        if a in rankings and b in rankings
    }
    return RetrievalReport(
        judged.name, judged.sha256, made_at, len(judged.corpus), ordered, conditions, gains
    )


def write_report(
    report: RetrievalReport, folder: Path, worse: Sequence[str], plot: str = ""
) -> None:
    """retrieval.json for programs and report.md for people are in that folder, beside the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
    write_atomic(folder / REPORT, text.encode())
    page = render(report, worse) + (f"\n![{plot}]({plot})\n" if plot else "")
    write_atomic(folder / "report.md", page.encode())


def render(report: RetrievalReport, worse: Sequence[str]) -> str:
    """The report as Markdown."""
    queries = next(iter(report.figures.values())).num_queries if report.figures else 0
    lines = [
        f"# Retrieval on {report.data}",
        "",
        f"{report.num_documents} documents, {queries} questions, {report.made_at}.",
        "",
        "| | nDCG@10 | recall@100 | MRR@10 |",
        "|---|---:|---:|---:|",
        *(
            f"| {mode} | {f.ndcg_10:.3f} | {f.recall_100:.3f} | {f.mrr_10:.3f} |"
            for mode, f in report.figures.items()
        ),
        "",
        *(f"- {line}" for line in gain_lines(report)),
        *(f"- {key}: {value}" for key, value in report.conditions.items()),
    ]
    return "\n".join([*lines, *(f"- WORSE than before: {line}" for line in worse)]) + "\n"


def gain_lines(report: RetrievalReport) -> list[str]:
    """Which search is better, by how much, and whether these questions are enough to say."""
    return [
        f"{a} - {b}: nDCG@10 {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        + ("" if gain.low > 0 or gain.high < 0 else ", which may be chance")
        for (a, b), gain in report.gains.items()
    ]


def find_before(reports: Path, report: RetrievalReport) -> dict[str, Any] | None:
    """The newest report of the same data in a folder of reports; None if there is none."""
    found: list[dict[str, Any]] = []
    for path in reports.glob(f"retrieval-*/{REPORT}"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        is_same = isinstance(record, dict) and record.get("data_sha256") == report.data_sha256
        if is_same and str(record.get("made_at", "")) < report.made_at:
            found.append(record)
    return max(found, key=lambda record: str(record["made_at"]), default=None)


def find_worse(report: RetrievalReport, before: Mapping[str, Any] | None) -> list[str]:
    """What fell by more than WORSE_BY since then, in words."""
    worse: list[str] = []
    for mode, figures in report.figures.items():
        old = (before or {}).get(mode, {}).get("ndcg@10")
        if isinstance(old, float) and old - figures.ndcg_10 > WORSE_BY:
            worse.append(f"{mode} nDCG@10 {figures.ndcg_10:.3f}, it was {old:.3f}")
    return worse
