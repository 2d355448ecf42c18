"""What a child process does to time one way to wait with each number of threads.

Alone first, then beside processes that burn the cores as the worker's embedding does. Prints a line
as soon as it has figures, so that a death loses only what was not measured. Keeps one invariant:
neither it nor its company outlives LIFETIME_S.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.engine.cpu.machine import usable_cores
from kit.errors import KitError

if TYPE_CHECKING:
    from kit.engine.native import Decoder

PREFILL_S, DECODE_S = 0.35, 0.3  # of every number of threads, alone and in company
MAX_PREFILL, CHUNK = 768, 64
N_CTX = 1024
LIFETIME_S = 20
COMPANY_NICE = 19  # as the worker's embedding
_BURN = """
import os, sys
os.nice(int(sys.argv[1]))
while os.getppid() == int(sys.argv[2]): pass
"""


def main(argv: Sequence[str]) -> int:
    """variant, way to wait, model, numbers of threads."""
    from kit.engine.native import Decoder, Model, load_library

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.alarm(LIFETIME_S)
    variant, waiting, model_path, *numbers = argv
    try:
        library = load_library(Path(variant) if variant else None, waiting=waiting)
        model = Model(library, Path(model_path))
        decoder = Decoder(model, n_ctx=N_CTX, num_slots=1, n_threads=int(numbers[0]))
        run([int(number) for number in numbers], decoder)
    except KitError as problem:
        print(problem.message, file=sys.stderr)
        return 1
    sys.stdout.flush()
    os._exit(0)  # nothing to free: the process ends


def run(numbers: Sequence[int], decoder: Decoder) -> None:
    """Print [n_threads, prefill, decode, prefill in company, decode in company] for each."""
    tokens_per_s(decoder, share=0)  # the first products pay for memory and threads
    for number in numbers:
        decoder.use_threads(number, number)
        alone = tokens_per_s(decoder)
        with company(usable_cores()):
            beside = tokens_per_s(decoder)
        print(json.dumps([number, *alone, *beside]), flush=True)


def tokens_per_s(decoder: Decoder, *, share: float = 1) -> tuple[float, float]:
    """(prefill, decode) in that share of the time for each, at least one step of each."""
    from kit.engine.scheduler import Row

    tokens = [(31 * i + 7) % (decoder.n_vocab - 1) for i in range(N_CTX)]
    decoder.keep(0, 0)
    started, done = time.monotonic(), 0
    while not done or (done < MAX_PREFILL and time.monotonic() - started < PREFILL_S * share):
        chunk = range(done, done + CHUNK)
        decoder.decode([Row(tokens[i], i, 0, is_output=i == chunk[-1]) for i in chunk])
        done += CHUNK
    prefill = done / (time.monotonic() - started)
    started, count = time.monotonic(), 0
    while not count or (done + count < N_CTX and time.monotonic() - started < DECODE_S * share):
        decoder.decode([Row(tokens[done + count], done + count, 0, is_output=True)])
        count += 1
    return prefill, count / (time.monotonic() - started)


@contextlib.contextmanager
def company(num_busy: int) -> Iterator[None]:
    """While the block runs, so many processes want a core each, at the worker's priority."""
    command = [sys.executable, "-c", _BURN, str(COMPANY_NICE), str(os.getpid())]
    busy = [subprocess.Popen(command) for _ in range(num_busy)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
