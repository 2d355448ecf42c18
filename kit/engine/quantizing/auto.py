"""Measure every candidate type of a model on this machine, and choose one.

Joins making, timing and comparing; the rule itself is in `choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit.engine.gguf import read_gguf
from kit.engine.quantize import measure_types
from kit.engine.quantizing.choose import Candidate, Choice, choose_type
from kit.engine.quantizing.measure_loss import measure_losses

AUTO_TYPES = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")


def measure_and_choose(
    source: Path,
    work_folder: Path,
    text: str,
    *,
    types: Sequence[str] = AUTO_TYPES,
    max_kl: float | None = None,
    importance: Path | None = None,
    home: Path | None = None,
) -> Choice:
    """The type to run of `source`, chosen among `types` and the one it arrived in.

    The files stay in `work_folder`, except the one that arrived. Losses are relative to `source`;
    `importance` is a matrix that `weigh` made of it, on another text than `text`.
    Raises: ModelError (damaged, or every type loses too much), EngineError, DiskFull.
    """
    arrived = read_gguf(source).type_name
    wanted = tuple(dict.fromkeys((arrived, *types)))
    speeds = measure_types(source, wanted, work_folder, importance=importance, home=home)
    losses = measure_losses([speed.path for speed in speeds], source, text, home=home)
    candidates = [Candidate(speed, loss) for speed, loss in zip(speeds, losses, strict=True)]
    return choose_type(candidates, arrived, max_kl=max_kl)
