"""How fast a model file reads and writes on this machine.

Knows files and clocks, nothing of what a type loses. Invariant: each figure comes from a process of
its own, and the types take turns, so that a busy moment does not fall on one of them alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import usable_cores
from kit.engine.gguf import read_gguf
from kit.engine.quantizing.child import run_child

MEASURE_TIMEOUT_S = 300
PREFILL_TOKENS, DECODE_TOKENS = 512, 48
PREFILL_BUDGET_S, DECODE_BUDGET_S = 0.8, 0.6  # a large model is measured on fewer tokens
PROMPT_TOKENS, ANSWER_TOKENS = 1500, 150  # of a typical cited answer
_CHUNK = 128


@dataclass(frozen=True)
class Measurement:
    """Medians over the rounds, on this machine, of one type. `path` is the file measured."""

    type_name: str
    path: Path
    size_bytes: int
    prefill_tok_per_s: float
    decode_tok_per_s: float

    def seconds(
        self, prompt_tokens: int = PROMPT_TOKENS, answer_tokens: int = ANSWER_TOKENS
    ) -> float:
        """How long an answer of this size would take."""
        return prompt_tokens / self.prefill_tok_per_s + answer_tokens / self.decode_tok_per_s


def fastest(measurements: Sequence[Measurement]) -> Measurement:
    """The type that gives a typical cited answer soonest."""
    return min(measurements, key=lambda m: m.seconds())


def measure_files(
    paths: dict[str, Path], *, home: Path | None, num_rounds: int, n_threads: int
) -> list[Measurement]:
    """One measurement for each (type, file), in order; rounds alternate between the types."""
    speeds: dict[str, list[dict[str, float]]] = {name: [] for name in paths}
    for _ in range(num_rounds):
        for name, path in paths.items():
            speeds[name].append(measure(path, home=home, n_threads=n_threads))
    return [_median(name, paths[name], rounds) for name, rounds in speeds.items()]


def _median(type_name: str, path: Path, rounds: Sequence[dict[str, float]]) -> Measurement:
    prefill, decode = (
        statistics.median(speed[kind] for speed in rounds) for kind in ("prefill", "decode")
    )
    return Measurement(type_name, path, path.stat().st_size, prefill, decode)


def measure(path: Path, *, home: Path | None = None, n_threads: int = 0) -> dict[str, float]:
    """{"prefill", "decode"}: tokens per second of one model file, measured in a child process."""
    read_gguf(path)
    threads = str(n_threads or usable_cores())
    said = run_child("measure", [str(path), threads], home=home, timeout_s=MEASURE_TIMEOUT_S)
    speeds: dict[str, float] = json.loads(said)
    return speeds


def measure_here(library: Any, path: str, n_threads: str) -> None:
    """The child's side: prints both figures as JSON."""
    from kit.engine.native import Decoder, Model
    from kit.engine.sampler import Sampling
    from kit.engine.scheduler import Row

    model = Model(library, Path(path))
    decoder = Decoder(model, n_ctx=1024, num_slots=1, n_threads=int(n_threads))
    tokens = [(31 * i + 7) % (model.n_vocab - 1) for i in range(PREFILL_TOKENS)]

    def prefill(start: int, end: int) -> None:
        decoder.decode([Row(tokens[i], i, 0, is_output=i == end - 1) for i in range(start, end)])

    prefill(0, 16)  # the first product pays for memory and threads
    decoder.keep(0, 0)
    started, done = time.monotonic(), 0
    while done < PREFILL_TOKENS and time.monotonic() - started < PREFILL_BUDGET_S:
        prefill(done, done + _CHUNK)
        done += _CHUNK
    prefill_s = time.monotonic() - started
    sampler = decoder.new_sampler(Sampling(temperature=0))
    row = _CHUNK - 1
    started, count = time.monotonic(), 0
    while count < DECODE_TOKENS and time.monotonic() - started < DECODE_BUDGET_S:
        token = int(decoder.sample(sampler, row))
        decoder.decode([Row(token, done + count, 0, is_output=True)])
        row, count = 0, count + 1
    decode_s = time.monotonic() - started
    print(json.dumps({"prefill": done / prefill_s, "decode": count / decode_s}))
