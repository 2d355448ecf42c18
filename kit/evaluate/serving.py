"""Serving measured from beginning to end: runs, and a report that is whole after each of them.

Composes the other modules of the room. Invariant: a measurement that is stopped half-way leaves the
report of what it knew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from kit.evaluate.conditions import Conditions
from kit.evaluate.plan import Plan
from kit.evaluate.report import Report, write_report
from kit.evaluate.rounds import Measured, measure
from kit.evaluate.servers import ServerSpec, running


def measure_serving(
    plan: Plan,
    specs: Sequence[ServerSpec],
    conditions: Conditions,
    folder: Path,
    *,
    with_plots: bool = True,
    say: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Run the plan; report.md, results.json and the plots are in `folder` afterwards."""
    report = Report(conditions, plan, tuple(specs), ())
    with tempfile.TemporaryDirectory(prefix="kit-eval-") as scratch:

        def start(spec: ServerSpec, threads: int) -> AbstractContextManager[Measured]:
            return running(spec, threads=threads, folder=Path(scratch))

        for run in measure(plan, specs, start=start, folder=Path(scratch), say=say):
            report = Report(conditions, plan, tuple(specs), (*report.runs, run))
            write_report(report, folder)
    if with_plots:
        from kit.evaluate.plots import draw_plots

        write_report(report, folder, draw_plots(report, folder))
    return report
