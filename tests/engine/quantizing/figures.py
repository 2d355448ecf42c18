"""Measured types with given figures, for the rules that read them."""

from __future__ import annotations

from pathlib import Path

from kit.engine.quantizing.choose import Candidate
from kit.engine.quantizing.loss import Loss
from kit.engine.quantizing.speed import Measurement


def loss(mean_kl: float) -> Loss:
    return Loss(10.0 + mean_kl, 10.0, mean_kl, 4 * mean_kl, 0.9, 512)


def candidate(type_name: str, prefill: float, decode: float, mean_kl: float) -> Candidate:
    speed = Measurement(type_name, Path(f"{type_name}.gguf"), 1, prefill, decode)
    return Candidate(speed, loss(mean_kl))
