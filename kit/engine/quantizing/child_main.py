"""The child's side of `child`: one verb on one model's file, with llama.cpp loaded.

Knows which function does which verb, nothing of what it does. Invariant: it dies with its parent,
so that nothing goes on with a file that nobody waits for.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.errors import KitError, ModelError
from kit.isolate import die_with_parent


def _work(verb: str) -> Callable[..., None]:
    if verb == "quantize":
        from kit.engine.quantize import quantize_here

        return quantize_here
    if verb == "weigh":
        from kit.engine.quantizing.collect import collect_here

        return collect_here
    if verb == "compare":
        from kit.engine.quantizing.measure_loss import compare_here

        return compare_here
    from kit.engine.quantizing.speed import measure_here

    return measure_here


def main(argv: Sequence[str]) -> int:
    """The child's side: parent, variant, verb, arguments."""
    parent, variant, verb, *arguments = argv
    die_with_parent(int(parent))
    from kit.engine.native import load_library

    try:
        library: Any = load_library(Path(variant) if variant else None)
        _work(verb)(library, *arguments)
    except ModelError as problem:
        print(json.dumps({"message": problem.message, "hint": problem.hint}), file=sys.stderr)
        return problem.exit_code
    except KitError as problem:
        print(problem.message, file=sys.stderr)
        return 1
    sys.stdout.flush()
    os._exit(0)  # nothing to free: the process ends


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
