"""Run as a child: load each file named on standard input as the engine does, and compute a token.

Says "try NAME" before a file and "loaded", "refused" after it; what kills it is then known.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from kit.engine.cpu.variants import choose_variant
from kit.engine.native import Decoder, Model, load_library
from kit.engine.scheduler import Row
from kit.errors import KitError

MAX_MEMORY_BYTES = 8 << 30
MAX_SECONDS = 20


def main(home: str) -> None:
    library = load_library(choose_variant(Path(home)).variant.path)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = Path(line.strip())
        print("try", path.name, flush=True)
        signal.alarm(MAX_SECONDS)  # its default action kills: a hang is seen as a death
        try:
            model = Model(library, path)
            decoder = Decoder(model, n_ctx=64, num_slots=1, n_threads=1)
            decoder.decode([Row(0, 0, 0, is_output=True)])
            model.tokenize("Hello, world", parse_special=True)
            decoder.close()
            model.close()
            print("loaded", flush=True)
        except KitError:
            print("refused", flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    main(sys.argv[1])
