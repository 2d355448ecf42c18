"""Documents embedded beside a load: python -m kit.evaluate.embedding --model-dir FOLDER --pages N

The child embeds as the kit's worker does, with its threads and its priority, and writes a line to
stdout for every page. It embeds the same pages again and again until its parent ends it or is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import EmbedError
from kit.evaluate.prose import Writer
from kit.silence import quiet_environment

NUM_PAGES = 200
CHUNKS_PER_PAGE = 3
CHUNK_WORDS = 140  # some 200 tokens, the size of the kit's chunks
START_S = 300.0


def make_pages(num_pages: int) -> list[list[str]]:
    """Generated pages, each as its chunks."""
    writer = Writer(seed=200)
    return [[writer.passage(CHUNK_WORDS) for _ in range(CHUNKS_PER_PAGE)] for _ in range(num_pages)]


@dataclass(frozen=True)
class Embedding:
    """A running child; `out` has a line for every page that it has embedded."""

    process: subprocess.Popen[bytes]
    out: Path

    def num_pages(self) -> int:
        return self.out.read_bytes().count(b"\n")

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextlib.contextmanager
def embedding(model_dir: Path, folder: Path) -> Iterator[Embedding]:
    """Pages are being embedded for the length of the block, from its first moment.

    Raises: EmbedError if the child ends before its first page.
    """
    out, log = folder / "embedding.out", folder / "embedding.log"
    command = [sys.executable, "-m", "kit.evaluate.embedding", "--model-dir", str(model_dir)]
    with out.open("wb") as pages, log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--pages", str(NUM_PAGES)],
            stdin=subprocess.DEVNULL,
            stdout=pages,
            stderr=errors,
            env=quiet_environment(os.environ),
        )
    child = Embedding(process, out)
    try:
        deadline = time.monotonic() + START_S
        while not child.num_pages():
            if not child.is_alive or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no words"]
                raise EmbedError(f"embedding beside the load did not start: {last[0]}")
            time.sleep(0.1)
        yield child
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Embed until nobody reads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=NUM_PAGES)
    given = parser.parse_args()
    from kit.library.index.embed import LocalEmbedder
    from kit.library.index.embed_thread import EmbedThread

    parent, pages = os.getppid(), make_pages(given.pages)
    model = EmbedThread(LocalEmbedder(given.model_dir), yields=True)
    while True:
        for page in pages:
            model.embed_passages(page)
            print("page", flush=True)
            if os.getppid() != parent:  # a killed parent leaves nothing running
                return


if __name__ == "__main__":
    main()
