"""The engine of one command: quick to start, and as fast as was found out before."""

from __future__ import annotations

from pathlib import Path

from kit.config import EngineSettings
from kit.engine.cpu.choose_threads import remember
from kit.engine.cpu.machine import usable_cores
from kit.engine.cpu.threads import Figures, best
from kit.engine.cpu.tiny_model import write_tiny_model
from kit.ops.passing_engine import for_one_command


def test_one_command_measures_no_threads(home: Path, tmp_path: Path) -> None:
    """A number stands in for the measuring, unless it was done before; a set one stays."""
    model = tmp_path / "tiny.gguf"
    write_tiny_model(model)
    given = EngineSettings(parallel=4)
    assert for_one_command(given, home, model) == EngineSettings(parallel=1, threads=usable_cores())
    assert for_one_command(EngineSettings(threads=7), home, model).threads == 7
    remember(home, model, best([Figures("sleep", 1, 1.0, 1.0, 1.0, 1.0)]))
    assert for_one_command(given, home, model).threads == 0  # the engine reads what is remembered
