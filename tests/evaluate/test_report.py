"""A report holds every number with where it comes from, and says first what went wrong."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.engine.cpu.tiny_model import write_tiny_model
from kit.errors import MachineError
from kit.evaluate import plots
from kit.evaluate.conditions import Conditions, gather
from kit.evaluate.figures import FIGURES
from kit.evaluate.plan import Plan
from kit.evaluate.report import Report, figure_rows, markdown, shown, write_report
from kit.evaluate.rounds import Run
from kit.evaluate.servers import ServerSpec
from tests.evaluate.made_runs import refusal, reply, run

CONDITIONS = Conditions(
    date="2026-11-26T13:16:46+02:00",
    command="kit eval serving --loads a,f",
    facts={"machine": "a CPU of 2 cores", "model": "tiny.gguf, Q4_0", "kit": "0.1.0, commit abc"},
)
SPECS = (
    ServerSpec("kit", ("python", "-m", "kit.engine.server"), facts={}),
    ServerSpec("peer", ("llama-server", "-np", "8"), facts={"version": "7 (commit 0c1e570)"}),
)


def report_of(runs: list[Run], **plan: Any) -> Report:
    wanted: dict[str, Any] = {"loads": ("a", "f"), "threads": (1,), "rounds": 2} | plan
    return Report(CONDITIONS, Plan(**wanted), SPECS, tuple(runs))


def sound_runs() -> list[Run]:
    runs = []
    for number, wall_s in ((1, 2.0), (2, 4.0)):
        for server, slower in (("kit", 1), ("peer", 2)):
            runs.append(run(server, "a", wall_s=wall_s * slower, number=number))
            storm = [reply(), refusal(0.1)]
            runs.append(run(server, "f", storm, number=number, arrivals_per_s=2.5))
    return runs


def test_every_number_has_its_conditions(tmp_path: Path) -> None:
    """Machine, model, commits, commands, date and order stand in the page with every figure."""
    report = report_of(sound_runs())
    text = write_report(report, tmp_path).read_text()
    for words in (
        *(CONDITIONS.date, CONDITIONS.command, *CONDITIONS.facts.values()),
        *("python -m kit.engine.server", "llama-server -np 8", "0c1e570"),
        *("kit peer peer kit", "2.50 a second"),
    ):
        assert words in text, words
    for row in figure_rows(report):
        figure = next(f for f in FIGURES if f.name == row.figure)
        for value in row.spreads.values():
            assert shown(value, figure) in text
        assert figure.meaning in text
    assert "| tok_per_s tok/s | 4.12 (2.75–5.50) | 2.06 (1.38–2.75) | 2.00 |" in text
    assert "| a | 1 | tok_per_s at least 1.00 × the peer's | 2.00 | reached |" in text


def test_results_for_programs_are_whole(tmp_path: Path) -> None:
    """results.json has the conditions, every run with every reply, the goals and the figures."""
    report = report_of(sound_runs())
    write_report(report, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["conditions"]["facts"] == CONDITIONS.facts
    assert len(found["runs"]) == len(report.runs)
    assert found["runs"][0]["replies"][0]["chunk_s"] == list(report.runs[0].replies[0].chunk_s)
    row = next(r for r in found["figures"] if (r["load"], r["figure"]) == ("a", "tok_per_s"))
    assert row["kit"]["rounds"] == [5.5, 2.75]
    assert (row["kit"]["median"], row["ratio"]) == (4.125, 2.0)
    assert {goal["verdict"] for goal in found["goals"]} == {"reached"}


def test_failures_stand_before_any_number() -> None:
    """What failed is named with its reason, and its numbers are nowhere."""
    failed = run("peer", "a", wall_s=0.001, failure="the server was killed by SIGSEGV", number=2)
    lines = list(markdown(report_of([*sound_runs()[:1], failed])))
    first = next(line for line in lines if line.startswith("- "))
    assert "load a, threads 1, round 2, peer: the server was killed by SIGSEGV" in first
    assert lines.index(first) < next(n for n, line in enumerate(lines) if line.startswith("|"))
    assert not any("11000" in line for line in lines)


def test_warnings_of_what_makes_numbers_doubtful() -> None:
    """Other work on the machine, answers of different length, an unbalanced order."""
    runs = [
        run("kit", "a", load_average=3.0),
        run("peer", "a", [reply(tokens=22)]),
    ]
    text = "\n".join(markdown(report_of(runs, rounds=1, loads=("a",))))
    assert "a load average of 3.0" in text
    assert "0.50 × the peer's tokens" in text
    assert "An odd number of rounds" in text
    calm = "\n".join(markdown(report_of(sound_runs())))
    assert "load average" not in calm


def test_conditions_are_gathered_here(tmp_path: Path) -> None:
    """The model by name, type and digest; the kit by version and commit."""
    model = tmp_path / "tiny.gguf"
    write_tiny_model(model)
    found = gather(machine="a CPU", model=model, ctx=512, num_slots=8)
    assert "tiny.gguf" in found.facts["model"]
    assert "sha256" in found.facts["model"]
    assert found.facts["machine"] == "a CPU"
    assert "commit" in found.facts["kit"]
    assert replace(found, date=CONDITIONS.date).folder_name == "2026-11-26T131646"


def test_plots_are_drawn_from_the_same_runs(tmp_path: Path) -> None:
    """Two plots for each number of threads, the same bytes for the same runs."""
    report = report_of(sound_runs())
    names = plots.draw_plots(report, tmp_path)
    assert names == ["first-token-1.svg", "ratios-1.svg"]
    first = [(tmp_path / name).read_bytes() for name in names]
    assert all(data.startswith(b"<?xml") and b"load a" in data for data in first[:1])
    plots.draw_plots(report, tmp_path)
    assert first == [(tmp_path / name).read_bytes() for name in names]
    assert "![ratios-1](ratios-1.svg)" in "\n".join(markdown(report, names))


def test_missing_matplotlib_is_an_error_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Said before anything slow, with the two ways on."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MachineError) as caught:
        plots.require_plots()
    assert "pip install matplotlib" in str(caught.value.hint)
    assert "--no-plots" in str(caught.value.hint)
