"""Run a quantized model and its reference over one text and compare every prediction.

Knows the C API through `native`, and windows of text. Invariant: at most LOGITS_BYTES of the
reference's predictions are in memory, and one model at a time.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.engine.cpu.machine import usable_cores
from kit.engine.embedding.embedder import is_embedding_model
from kit.engine.gguf import read_gguf
from kit.engine.quantizing.child import run_child
from kit.engine.quantizing.loss import Compared, Loss, compare, summarize
from kit.errors import ModelError

if TYPE_CHECKING:
    from kit.engine.native import Model

COMPARE_TIMEOUT_S = 3600
MAX_POSITIONS = 512
LOGITS_BYTES = 320 << 20  # 512 positions of a vocabulary of 163,840 tokens
WINDOW = 256
NUM_CONTEXT = 64  # predictions from less context than this are not compared


@dataclasses.dataclass(frozen=True)
class Window:
    """Tokens that are read as one text; predictions from `NUM_CONTEXT` on are compared."""

    tokens: tuple[int, ...]

    @property
    def positions(self) -> range:
        """Those whose next token is known."""
        return range(NUM_CONTEXT, len(self.tokens) - 1)

    @property
    def following(self) -> list[int]:
        return [self.tokens[at + 1] for at in self.positions]


def measure_loss(
    path: Path, reference_path: Path, text: str, *, home: Path | None = None, n_threads: int = 0
) -> Loss:
    """What `path` lost against `reference_path` on the text. Raises as `measure_losses`."""
    return measure_losses([path], reference_path, text, home=home, n_threads=n_threads)[0]


def measure_losses(
    paths: Sequence[Path],
    reference_path: Path,
    text: str,
    *,
    home: Path | None = None,
    n_threads: int = 0,
) -> list[Loss]:
    """What each file lost against the reference, in order; the reference is run once for all.

    Raises: ModelError (a damaged file, other vocabularies, a model for vectors, a text too short),
    EngineError (the process died).
    """
    for path in (reference_path, *paths):
        if is_embedding_model(read_gguf(path)):
            raise ModelError(f"{path.name} writes no text, so no loss of its predictions is known")
    arguments = [str(reference_path), str(n_threads or usable_cores()), *map(str, paths)]
    said = run_child("compare", arguments, home=home, timeout_s=COMPARE_TIMEOUT_S, text=text)
    return [Loss(**loss) for loss in json.loads(said)]


def windows(tokens: Sequence[int], bos: int | None, max_positions: int) -> Iterator[Window]:
    """The text cut into windows, each beginning as the model wants, until enough is compared."""
    head = () if bos is None else (bos,)
    step, done = WINDOW - len(head), 0
    for start in range(0, len(tokens), step):
        body = tokens[start : start + step]
        room = max_positions - done
        window = Window((*head, *body)[: NUM_CONTEXT + 1 + room])
        if not window.positions or not room:
            return
        done += len(window.positions)
        yield window


def compare_here(library: Any, reference: str, n_threads: str, *paths: str) -> None:
    """The child's side: prints the losses as JSON."""
    losses = _compare(library, Path(reference), [Path(path) for path in paths], int(n_threads))
    print(json.dumps([dataclasses.asdict(loss) for loss in losses]))


def _compare(library: Any, reference: Path, paths: Sequence[Path], n_threads: int) -> list[Loss]:
    from kit.engine.native import Model

    model = Model(library, reference)
    n_vocab = model.n_vocab
    tokens = model.tokenize(sys.stdin.read(), parse_special=False)
    max_positions = min(MAX_POSITIONS, LOGITS_BYTES // (4 * n_vocab))
    parts = list(windows(tokens, model.bos, max_positions))
    expected = list(_predictions(model, parts, n_threads))
    own = summarize([compare(p, p, w.following) for p, w in zip(expected, parts, strict=True)])
    model.close()
    losses = []
    for path in paths:
        if path == reference:
            losses.append(own)
            continue
        model = Model(library, path)
        if model.n_vocab != n_vocab:
            raise ModelError(
                f"{path.name} has {model.n_vocab} tokens, {reference.name} {n_vocab}",
                hint="a model is compared with the file it was quantized from",
            )
        observed = _predictions(model, parts, n_threads)
        compared: list[Compared] = [
            compare(p, q, w.following) for p, q, w in zip(expected, observed, parts, strict=True)
        ]
        model.close()
        losses.append(summarize(compared))
    return losses


def _predictions(model: Model, parts: Sequence[Window], n_threads: int) -> Iterator[np.ndarray]:
    """Of each window, the logits at its positions: float32, shape (num_positions, n_vocab)."""
    from kit.engine.native import Decoder
    from kit.engine.scheduler import Row

    decoder = Decoder(model, n_ctx=WINDOW, num_slots=1, n_threads=n_threads, max_draft=WINDOW - 1)
    for window in parts:
        wanted = window.positions
        rows = [Row(token, at, 0, at in wanted) for at, token in enumerate(window.tokens)]
        decoder.decode(rows)
        yield np.stack([decoder.logit_row(at) for at in wanted])
        decoder.keep(0, 0)
    decoder.close()
