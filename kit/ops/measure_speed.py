"""How fast a model reads and writes on this machine, for its passport.

Knows two ways to measure: the engine's own for models that write, passages for the others.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from kit.engine.cpu.choose_threads import busy_s, wait_until_quiet
from kit.engine.cpu.machine import usable_cores
from kit.ops.run_model import running_model
from kit.supply.passport import Speed
from kit.supply.smoke.chat import haystack
from kit.supply.store import InstalledModel, model_path

NUM_ROUNDS = 3
LOOK_S = 0.5
NUM_PASSAGES, PASSAGE_WORDS = 48, 120


def measure_speed(home: Path, model: InstalledModel) -> Speed:
    """Medians over NUM_ROUNDS. Raises: EngineError, MachineError, ModelError."""
    if model.kind != "chat":
        return _reading_speed(home, model)
    wait_until_quiet()
    busy = busy_cores()
    from kit.engine.cpu.variants import choose_variant
    from kit.engine.quantize import measure

    path = model_path(home, model)
    rounds = [measure(path, home=home) for _ in range(NUM_ROUNDS)]
    prefill, decode = (
        round(statistics.median(speeds[kind] for speeds in rounds), 1)
        for kind in ("prefill", "decode")
    )
    return Speed(prefill, decode, usable_cores(), choose_variant(home).variant.name, busy)


def _reading_speed(home: Path, model: InstalledModel) -> Speed:
    """Tokens per second over passages, in one request, as the library embeds them."""
    from kit.library.index.embed import num_embedding_threads  # what the worker embeds with

    words = haystack().split()
    texts = [
        f"{number} " + " ".join(words[number * 7 % 300 :][:PASSAGE_WORDS])
        for number in range(NUM_PASSAGES)
    ]
    with running_model(home, model) as running:
        wait_until_quiet()
        busy = busy_cores()
        num_tokens = sum(running.count_tokens(text) for text in texts)
        running.embed(texts[:4])  # the first batch pays for memory and threads
        taken_s = []
        for _ in range(NUM_ROUNDS):
            started = time.monotonic()
            running.embed(texts)
            taken_s.append(time.monotonic() - started)
        variant = str(running.facts.get("cpu_variant", "sentence-transformers"))
        n_threads = int(running.facts.get("threads", 0)) or num_embedding_threads()
    speed = round(num_tokens / statistics.median(taken_s), 1)
    return Speed(speed, None, n_threads, variant, busy)


def busy_cores(stat: Path = Path("/proc/stat")) -> float:
    """Cores that processes of normal priority use now, while this one only looks."""
    before, started = busy_s(stat.read_text()), time.monotonic()
    time.sleep(LOOK_S)
    return round((busy_s(stat.read_text()) - before) / (time.monotonic() - started), 1)
