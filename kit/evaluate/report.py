"""A measurement as a folder: report.md for people, results.json for programs, plots beside them.

Knows runs, figures and goals, no servers. Invariant: every number stands with its machine, model,
commits, command and date, and every failed run is named before any number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.evaluate.conditions import Conditions
from kit.evaluate.figures import BY_NAME, FIGURES, Figure, Spread, ratio, runs_of, spread
from kit.evaluate.goals import KIT, PEER, Judgement, judge
from kit.evaluate.loads import TITLES
from kit.evaluate.plan import Plan
from kit.evaluate.rounds import Run, turn_order
from kit.evaluate.servers import ServerSpec
from kit.files import write_atomic

MAX_TOKEN_DIFFERENCE = 0.02  # of the answers' tokens, before the report says so
NOISY_LOAD = 0.5  # runnable processes of others, before a server starts


@dataclass(frozen=True)
class Report:
    """A whole measurement."""

    conditions: Conditions
    plan: Plan
    specs: tuple[ServerSpec, ...]
    runs: tuple[Run, ...]

    @property
    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.failure]

    def judgements(self) -> list[Judgement]:
        threads = self.plan.threads
        return [j for n in threads for j in judge(self.runs, threads=n, loads=self.plan.loads)]

    def spread(self, server: str, load: str, threads: int, figure: str) -> Spread | None:
        return spread(runs_of(self.runs, server=server, load=load, threads=threads), figure)


@dataclass(frozen=True)
class FigureRow:
    """One figure of a load: each server's spread by its name, and the kit's median over the peer's.

    `ratio` is None where there is nothing to compare with.
    """

    load: str
    threads: int
    figure: str
    spreads: Mapping[str, Spread | None]

    @property
    def ratio(self) -> float | None:
        return ratio(self.spreads.get(KIT), self.spreads.get(PEER))


def figure_rows(report: Report) -> Iterator[FigureRow]:
    """Every figure that was observed."""
    for threads in report.plan.threads:
        for load in report.plan.loads:
            for figure in FIGURES:
                names = [spec.name for spec in report.specs]
                found = {n: report.spread(n, load, threads, figure.name) for n in names}
                if any(found.values()):
                    yield FigureRow(load, threads, figure.name, found)


def write_report(report: Report, folder: Path, plots: Sequence[str] = ()) -> Path:
    """report.md and results.json in `folder`; returns the path of the former."""
    path = folder / "report.md"
    write_atomic(path, "\n".join(markdown(report, plots)).encode())
    write_atomic(folder / "results.json", json.dumps(as_json(report), indent=1).encode())
    return path


# -- for programs ------------------------------------------------------------------------------


def as_json(report: Report, *, with_replies: bool = True) -> dict[str, Any]:
    """The whole measurement; without the replies it is short enough for a terminal."""
    return {
        "conditions": asdict(report.conditions),
        "servers": [asdict(spec) for spec in report.specs],
        "goals": [_judgement(judgement) for judgement in report.judgements()],
        "figures": [_figure_row(row) for row in figure_rows(report)],
        "runs": [_run(run, with_replies) for run in report.runs],
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "load": judgement.goal.load,
        "threads": judgement.threads,
        "goal": judgement.goal.words,
        "observed": judgement.observed,
        "verdict": judgement.verdict,
    }


def _figure_row(row: FigureRow) -> dict[str, Any]:
    whole: dict[str, Any] = {"load": row.load, "threads": row.threads, "figure": row.figure}
    whole |= {name: value and _spread(value) for name, value in row.spreads.items()}
    return whole | {"ratio": row.ratio}


def _spread(value: Spread) -> dict[str, Any]:
    return {
        "median": value.median,
        "least": value.least,
        "most": value.most,
        "rounds": value.values,
    }


def _run(run: Run, with_replies: bool) -> dict[str, Any]:
    whole = asdict(run)
    if not with_replies:
        del whole["replies"]
    return whole


# -- for people --------------------------------------------------------------------------------


def markdown(report: Report, plots: Sequence[str] = ()) -> Iterator[str]:
    """The lines of report.md. `plots` are names of files beside it."""
    yield f"# Serving, measured {report.conditions.date}"
    yield ""
    yield from _warnings(report)
    yield from _goals(report)
    yield from _conditions(report)
    for plot in plots:
        yield from (f"![{Path(plot).stem}]({plot})", "")
    for threads in report.plan.threads:
        for load in report.plan.loads:
            yield from _load(report, load, threads)
    yield from _meanings()


def _warnings(report: Report) -> Iterator[str]:
    lines = [
        f"Failed, and in no figure: load {r.load}, threads {r.threads}, round {r.round}, "
        f"{r.server}: {r.failure}"
        for r in report.failures
    ]
    if report.plan.is_quick:
        lines.append("A quick run: it shows that the instrument works, and measures nothing.")
    if report.plan.rounds % 2 and len(report.specs) > 1:
        lines.append("An odd number of rounds: one server went first more often.")
    if others := _busiest(report):
        lines.append(f"The machine did other work: a load average of {others:.1f} before a round.")
    lines += _token_differences(report)
    for line in lines:
        yield f"- {line}"
    if lines:
        yield ""


def _busiest(report: Report) -> float:
    """The load average before the very first server; later ones include our own."""
    first = report.runs[0].load_average if report.runs else 0.0
    return first if first > NOISY_LOAD else 0.0


def _token_differences(report: Report) -> Iterator[str]:
    """Answers of different length make speeds that cannot be compared."""
    for threads in report.plan.threads:
        for load in report.plan.loads:
            ours, theirs = (
                report.spread(name, load, threads, "answered_tokens") for name in (KIT, PEER)
            )
            found = ratio(ours, theirs)
            if load != "f" and found is not None and abs(found - 1) > MAX_TOKEN_DIFFERENCE:
                where = f"Load {load}, threads {threads}"
                yield f"{where}: the kit's answers have {found:.2f} × the peer's tokens."


def _goals(report: Report) -> Iterator[str]:
    yield "| load | threads | goal | observed | verdict |"
    yield "|---|---|---|---|---|"
    for judgement in report.judgements():
        goal = judgement.goal
        observed = "-" if judgement.observed is None else f"{judgement.observed:.2f}"
        row = (goal.load, str(judgement.threads), goal.words, observed, judgement.verdict)
        yield f"| {' | '.join(row)} |"
    yield ""


def _conditions(report: Report) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    rows = {"date": report.conditions.date, "command": f"`{report.conditions.command}`"}
    rows |= report.conditions.facts
    for spec in report.specs:
        rows[f"{spec.name}: command"] = f"`{' '.join(spec.command)}`"
        rows |= {f"{spec.name}: {key}": value for key, value in spec.facts.items()}
        says = next(
            (r.server_says for r in report.runs if r.server == spec.name and r.server_says), {}
        )
        rows |= (
            {f"{spec.name}: says": ", ".join(f"{k} {v}" for k, v in says.items())} if says else {}
        )
    rows["order of a load's rounds"] = " ".join(_order(report))
    for name, value in rows.items():
        yield f"| {name} | {value} |"
    yield ""


def _order(report: Report) -> list[str]:
    names = [spec.name for spec in report.specs]
    return [name for n in range(1, report.plan.rounds + 1) for name in turn_order(names, n)]


def _load(report: Report, load: str, threads: int) -> Iterator[str]:
    """One table: the median of the rounds, with the least and the most, and the ratio."""
    yield f"## Load {load}, {threads} thread{'s' if threads > 1 else ''}: {TITLES[load]}"
    yield ""
    sent = next(
        (r for r in report.runs if r.load == load and r.threads == threads and r.replies), None
    )
    if sent is not None and sent.arrivals_per_s:
        yield f"{len(sent.replies)} people, {sent.arrivals_per_s:.2f} a second."
        yield ""
    names = [spec.name for spec in report.specs]
    head = ["figure", *names, *(["kit / peer"] if len(names) > 1 else [])]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in figure_rows(report):
        if (row.load, row.threads) == (load, threads):
            yield _row(row)
    yield ""


def _row(row: FigureRow) -> str:
    figure = BY_NAME[row.figure]
    cells = [f"{figure.name} {figure.unit}".strip()]
    cells += [shown(value, figure) for value in row.spreads.values()]
    if len(row.spreads) > 1:
        cells.append("-" if row.ratio is None else f"{row.ratio:.2f}")
    return f"| {' | '.join(cells)} |"


def shown(value: Spread | None, figure: Figure) -> str:
    """'12.40 (11.90–13.10)', '-' where there is none."""
    if value is None:
        return "-"
    least, middle, most = (
        f"{n:.{figure.digits}f}" for n in (value.least, value.median, value.most)
    )
    return middle if least == most else f"{middle} ({least}–{most})"


def _meanings() -> Iterator[str]:
    yield "## The figures"
    yield ""
    yield "A figure is the median over the rounds, with the least and the most in brackets."
    yield ""
    for figure in BY_NAME.values():
        yield f"- `{figure.name}`: {figure.meaning}"
    yield ""
