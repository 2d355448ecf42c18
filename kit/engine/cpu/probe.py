"""What a child process does to find out whether a CPU variant survives on this machine.

`score` prints what each variant says of itself; `run` loads one and computes with a tiny model,
many tokens at once and then one by one. It ends well or dies trying: that is the point.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.errors import EngineError, KitError
from kit.silence import NO_DEBUGGER

NUM_PREFILL, NUM_DECODE = 96, 4


def score(candidates: Sequence[Path], lib_folder: Path) -> None:
    """Print one line per candidate: its score, 0 where this CPU lacks something it needs."""
    base = lib_folder / "libggml-base.so.0"
    if base.exists():  # the variants link it by name
        ctypes.CDLL(str(base), mode=ctypes.RTLD_GLOBAL)
    for path in candidates:
        try:
            print(json.dumps(int(ctypes.CDLL(str(path)).ggml_backend_score())), flush=True)
        except (OSError, AttributeError):
            print(json.dumps(0), flush=True)


def run(variant: Path | None, model_path: Path) -> None:
    """Compute with the tiny model at `model_path`. Raises: EngineError if results are absurd."""
    from kit.engine.native import Decoder, Model, load_library
    from kit.engine.scheduler import Row

    model = Model(load_library(variant), model_path)
    decoder = Decoder(model, n_ctx=128, num_slots=1, n_threads=2)
    tokens = [(7 * i + 3) % 256 for i in range(NUM_PREFILL + NUM_DECODE)]
    decoder.decode(
        [Row(tokens[i], i, 0, is_output=i == NUM_PREFILL - 1) for i in range(NUM_PREFILL)]
    )
    seen = [decoder.logits(NUM_PREFILL - 1)]
    for i in range(NUM_PREFILL, len(tokens)):
        decoder.decode([Row(tokens[i], i, 0, is_output=True)])
        seen.append(decoder.logits(0))
    if not all(math.isfinite(value) for row in seen for value in row):
        raise EngineError("its products are not finite numbers")
    if any(max(row) - min(row) < 1e-6 for row in seen):
        raise EngineError("its products are all the same number")


def main(argv: Sequence[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is expected: leave no core file
    os.environ.update(NO_DEBUGGER)
    if argv[0] == "score":
        score([Path(name) for name in argv[2:]], Path(argv[1]))
        return 0
    try:
        run(Path(argv[1]) if argv[1] != "native" else None, Path(argv[2]))
    except KitError as problem:
        print(problem.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
