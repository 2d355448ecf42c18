"""Plots of measurements: the kit over the peer, how long people wait, what became of questions, how
well search finds.

The only owner of matplotlib, which is imported here when a plot is drawn and needs no display.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.errors import MachineError
from kit.evaluate.answers import AnswersReport
from kit.evaluate.figures import ratio
from kit.evaluate.goals import KIT, PEER
from kit.evaluate.report import Report
from kit.evaluate.retrieval import RetrievalReport
from kit.evaluate.rounds import Run

_COLOURS = {KIT: "#1f6f8b", PEER: "#c26d3d"}
_RATIOS = ("tok_per_s", "ttft_median_s", "ttft_p95_s", "decode_tok_per_s")


def require_plots() -> None:
    """Raises: MachineError if matplotlib is not installed; asked before anything slow."""
    if not has_plots():
        raise MachineError(
            "plots need matplotlib, which is not installed",
            hint="install it: .venv/bin/python -m pip install matplotlib; or give --no-plots",
        )


def has_plots() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def draw_plots(report: Report, folder: Path) -> list[str]:
    """SVG files in `folder`; returns their names."""
    _prepare()
    drawn = []
    for threads in report.plan.threads:
        drawn.append(_save(_draw_waiting(report, threads), folder, f"first-token-{threads}.svg"))
        if len(report.specs) > 1:
            drawn.append(_save(_draw_ratios(report, threads), folder, f"ratios-{threads}.svg"))
    return drawn


def draw_retrieval(report: RetrievalReport, folder: Path) -> str:
    """An SVG file in `folder`: each figure of each way to search; returns its name."""
    _prepare()
    from matplotlib import pyplot

    names = ("nDCG@10", "recall@100", "MRR@10")
    figure, axis = pyplot.subplots(figsize=(6, 3))
    width = 0.8 / max(1, len(report.figures))
    for number, (mode, figures) in enumerate(report.figures.items()):
        values = (figures.ndcg_10, figures.recall_100, figures.mrr_10)
        places = [at + number * width for at in range(len(names))]
        axis.bar_label(axis.bar(places, values, width, label=mode), fmt="%.2f", fontsize=7)
    axis.set_xticks([at + 0.4 - width / 2 for at in range(len(names))], names)
    axis.set(ylim=(0, 1.1), title=f"{report.data}: {report.num_documents} documents")
    axis.legend(fontsize="small", loc="lower right")
    return _save(figure, folder, "retrieval.svg")


def _prepare() -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "kit"  # the same numbers make the same file


def _save(figure: Any, folder: Path, name: str) -> str:
    from matplotlib import pyplot

    figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return name


def _draw_waiting(report: Report, threads: int) -> Any:
    """For each load, the share of questions whose first token has come after so many seconds."""
    from matplotlib import pyplot

    loads = report.plan.loads
    figure, axes = pyplot.subplots(1, len(loads), figsize=(3.2 * len(loads), 2.8), squeeze=False)
    for axis, load in zip(axes[0], loads, strict=True):
        for spec in report.specs:
            times = _first_tokens(report.runs, spec.name, load, threads)
            shares = [n / len(times) for n in range(len(times) + 1)] if times else [0.0]
            axis.step(
                [0.0, *times], shares, where="post", label=spec.name, color=_COLOURS.get(spec.name)
            )
        axis.set(title=f"load {load}, threads {threads}", xlabel="time to first token, s")
        axis.set(ylim=(0, 1.02), xlim=(0, None))
    axes[0][0].set_ylabel("share of questions")
    axes[0][0].legend(loc="lower right")
    return figure


def _first_tokens(runs: Sequence[Run], server: str, load: str, threads: int) -> list[float]:
    """Of all sound rounds, sorted."""
    sound = [
        r for r in runs if (r.server, r.load, r.threads, r.failure) == (server, load, threads, "")
    ]
    return sorted(x.ttft_s for run in sound for x in run.replies if x.ttft_s is not None)


def _draw_ratios(report: Report, threads: int) -> Any:
    """For each load, the kit's median over the peer's; the line at 1 is "no difference"."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(1.6 + 1.3 * len(report.plan.loads), 3))
    width = 0.8 / len(_RATIOS)
    for number, name in enumerate(_RATIOS):
        pairs = [
            (at, ratio(*(report.spread(server, load, threads, name) for server in (KIT, PEER))))
            for at, load in enumerate(report.plan.loads)
        ]
        known = [(at + (number - 1.5) * width, value) for at, value in pairs if value is not None]
        axis.bar([x for x, _ in known], [y - 1 for _, y in known], width, bottom=1, label=name)
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.set_yscale("log")  # twice as fast is as far from the line as half as fast
    axis.set_xticks(range(len(report.plan.loads)), [f"load {load}" for load in report.plan.loads])
    axis.set(ylabel="kit / peer", title=f"threads {threads}")
    axis.legend(fontsize="small")
    return figure


_OUTCOMES = {
    "right": "#2e7d4f",
    "left": "#7fb08f",
    "other": "#c9a227",
    "refused": "#b0b0b0",
    "false": "#b3402e",
}


def draw_answers(report: AnswersReport, folder: Path) -> list[str]:
    """What became of the questions, and how long they took: SVG files; returns their names."""
    _prepare()
    return [
        _save(_draw_outcomes(report), folder, "outcomes.svg"),
        _save(_draw_seconds(report), folder, "seconds.svg"),
    ]


def _draw_outcomes(report: AnswersReport) -> Any:
    """One bar of the questions that the documents answer, one of those that they do not."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6.4, 1.9))
    bars = (("answerable", ("right", "other", "refused")), ("unanswerable", ("left", "false")))
    for name, outcomes in bars:
        begin = 0
        for outcome in outcomes:
            count = sum(judged.outcome == outcome for judged in report.judged)
            axis.barh(name, count, left=begin, color=_OUTCOMES[outcome], label=outcome)
            if count:
                axis.text(begin + count / 2, name, count, ha="center", va="center", color="white")
            begin += count
    axis.invert_yaxis()
    axis.set(xlabel="questions")
    axis.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.45, 1.0), fontsize="small")
    return figure


def _draw_seconds(report: AnswersReport) -> Any:
    """The share of questions whose first piece, and whose last, has come after so many seconds."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(4.4, 2.8))
    for name, times in (
        ("first piece", sorted(judged.ttft_s for judged in report.judged)),
        ("whole answer", sorted(judged.total_s for judged in report.judged)),
    ):
        shares = [n / len(times) for n in range(len(times) + 1)]
        axis.step([0.0, *times], shares, where="post", label=name)
    axis.set(xlabel="s", ylabel="share of questions", ylim=(0, 1.02), xlim=(0, None))
    axis.legend(loc="lower right")
    return figure
