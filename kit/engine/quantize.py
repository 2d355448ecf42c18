"""A model file in another quantization type, and which type answers fastest on this machine.

Knows files, types and clocks. Native work happens in child processes, so a crash there is an error
here. Keeps one invariant: a file under its final name is a whole, checked model.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import usable_cores
from kit.engine.cpu.variants import choose_variant
from kit.engine.gguf import FILE_TYPES, read_gguf, split_paths
from kit.errors import EngineError, KitError, UsageError
from kit.files import atomic_path, explain_os_errors, require_space

QUANTIZE_TIMEOUT_S = 4 * 3600  # a 70B model on a slow disk
MEASURE_TIMEOUT_S = 300
NUM_ROUNDS = 2
PREFILL_TOKENS, DECODE_TOKENS = 512, 48
PREFILL_BUDGET_S, DECODE_BUDGET_S = 0.8, 0.6  # a large model is measured on fewer tokens
_CHUNK = 128


@dataclass(frozen=True)
class Measurement:
    """Medians over the rounds, on this machine, of one type. `path` is the file measured."""

    type_name: str
    path: Path
    size_bytes: int
    prefill_tok_per_s: float
    decode_tok_per_s: float

    def seconds(self, prompt_tokens: int, answer_tokens: int) -> float:
        """How long an answer of this size would take."""
        return prompt_tokens / self.prefill_tok_per_s + answer_tokens / self.decode_tok_per_s


def fastest(
    measurements: Sequence[Measurement], prompt_tokens: int = 1500, answer_tokens: int = 150
) -> Measurement:
    """The type that gives a typical cited answer soonest."""
    return min(measurements, key=lambda m: m.seconds(prompt_tokens, answer_tokens))


def file_type(type_name: str) -> int:
    """llama.cpp's number of a quantization type. Raises: UsageError naming the known ones."""
    numbers = {name: number for number, name in FILE_TYPES.items()}
    if type_name.upper() not in numbers:
        raise UsageError(
            f"unknown quantization type {type_name!r}", hint=f"known: {', '.join(sorted(numbers))}"
        )
    return numbers[type_name.upper()]


def quantize(source: Path, destination: Path, type_name: str, *, home: Path | None = None) -> Path:
    """Write `source` in another type to `destination`, whole or not at all.

    Raises: ModelError (damaged source), UsageError (unknown type), DiskFull, EngineError.
    """
    number = file_type(type_name)
    num_params = sum(read_gguf(part).num_params for part in split_paths(source))
    require_space(destination.parent, num_params * 9 // 8)  # Q8_0, the largest usual type
    with explain_os_errors(destination), atomic_path(destination) as temporary:
        _child(["quantize", str(source), str(temporary), str(number)], home, QUANTIZE_TIMEOUT_S)
        read_gguf(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
    return destination


def measure_types(
    source: Path,
    types: Sequence[str],
    work_folder: Path,
    *,
    home: Path | None = None,
    num_rounds: int = NUM_ROUNDS,
    n_threads: int = 0,
) -> list[Measurement]:
    """Quantize `source` to each type and measure them in turn, each time in a fresh process.

    The files stay in `work_folder`, named by type; the type it arrived in is measured as it is.
    Rounds alternate between the types, so that a busy moment does not fall on one of them alone.
    """
    arrived = read_gguf(source).type_name
    paths = {name: work_folder / f"{source.stem}.{name}.gguf" for name in types}
    paths |= {name: source for name in types if name == arrived}
    for name, path in paths.items():
        if not path.exists():
            quantize(source, path, name, home=home)
    speeds: dict[str, list[dict[str, float]]] = {name: [] for name in types}
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
    said = _child(["measure", str(path), threads], home, MEASURE_TIMEOUT_S)
    speeds: dict[str, float] = json.loads(said)
    return speeds


def _child(arguments: Sequence[str], home: Path | None, timeout_s: float) -> str:
    """What a child process printed. Raises: EngineError with its last words if it failed."""
    variant = choose_variant(home).variant.path
    command = [sys.executable, "-m", "kit.engine.quantize", str(variant or ""), *arguments]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise EngineError(f"{arguments[0]} did not end within {timeout_s:.0f} s") from problem
    if child.returncode == 0:
        return child.stdout
    died = f"killed by {signal.Signals(-child.returncode).name}" if child.returncode < 0 else ""
    last = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise EngineError(f"{arguments[0]} of {arguments[1]} failed: {died or last}")


def _quantize_here(library: Any, source: str, destination: str, number: str) -> None:
    params = library.llama_model_quantize_default_params()
    params.ftype, params.nthread = int(number), usable_cores()
    params.allow_requantize = True
    status = library.llama_model_quantize(os.fsencode(source), os.fsencode(destination), params)
    if status != 0:
        raise EngineError(f"llama.cpp could not quantize ({status})")


def _measure_here(library: Any, path: str, n_threads: str) -> None:
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


def main(argv: Sequence[str]) -> int:
    """The child's side: variant, verb, arguments."""
    from kit.engine.native import load_library

    variant, verb, *arguments = argv
    try:
        library = load_library(Path(variant) if variant else None)
        if verb == "quantize":
            _quantize_here(library, *arguments)
        else:
            _measure_here(library, *arguments)
    except KitError as problem:
        print(problem.message, file=sys.stderr)
        return 1
    sys.stdout.flush()
    os._exit(0)  # nothing to free: the process ends


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
