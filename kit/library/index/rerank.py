"""A question beside each passage, read together: how well does the passage answer it?

Optional: a cross-encoder is a model of its own. LocalReranker runs it in this process,
WorkerReranker asks the worker for it. Invariant: it gives scores for a first part of the passages,
in their order, as many as the time allowed; it never adds or drops a passage.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from kit.errors import EmbedError

BATCH = 4  # passages between two looks at the clock
MAX_TOKENS = 512  # of question and passage together; attention's cost grows with its square
ANSWER_MARGIN_S = 1.0  # beyond the budget, for the way there and the batch at hand


class Reranker(Protocol):
    """What reads a question beside passages."""

    def scores(self, query: str, passages: Sequence[str], *, budget_s: float) -> list[float]:
        """Higher = better, for the first of the passages, in order: those that `budget_s` allowed.

        Raises: EmbedError if none could be read.
        """
        ...


class LocalReranker:
    """A sentence-transformers CrossEncoder in this process."""

    def __init__(self, folder: Path) -> None:
        """Raises: EmbedError if the folder holds no cross-encoder that loads without own code."""
        require_cross_encoder(folder)
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            os.environ[name] = "1"
        from sentence_transformers import CrossEncoder

        try:
            self._model = CrossEncoder(
                str(folder), device="cpu", local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, KeyError) as problem:
            raise EmbedError(
                f"the reranker in {folder} cannot be loaded: {problem}",
                hint=f"get it again: kit model rm {folder.name}; kit model pull {folder.name}",
            ) from problem
        self._model.max_seq_length = min(MAX_TOKENS, self._model.max_seq_length or MAX_TOKENS)
        self._turn = threading.Lock()  # its tokenizer keeps state
        self.model = folder.name

    def scores(self, query: str, passages: Sequence[str], *, budget_s: float) -> list[float]:
        """See Reranker. The first batch is read whatever the budget, once it is our turn."""
        deadline = time.monotonic() + budget_s
        if not self._turn.acquire(timeout=budget_s):
            raise EmbedError("the reranker is busy with other questions")
        try:
            return self._scores(query, passages, deadline)
        finally:
            self._turn.release()

    def _scores(self, query: str, passages: Sequence[str], deadline: float) -> list[float]:
        found: list[float] = []
        while len(found) < len(passages):
            started = time.monotonic()
            pairs = [(query, text) for text in passages[len(found) : len(found) + BATCH]]
            rows = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False)
            found += [float(score) for score in rows]
            ended = time.monotonic()
            if ended + (ended - started) > deadline:
                break  # the next batch would end too late
        return found


class WorkerReranker:
    """The worker's reranker over loopback HTTP; EmbedError while it is not there."""

    def __init__(self, url: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=url, trust_env=False)

    def scores(self, query: str, passages: Sequence[str], *, budget_s: float) -> list[float]:
        import httpx

        body = {"query": query, "passages": list(passages), "budget_s": budget_s}
        try:
            answer = self._client.post("/rerank", json=body, timeout=budget_s + ANSWER_MARGIN_S)
            record = answer.json()
        except httpx.TimeoutException as problem:
            raise EmbedError(f"the reranker took longer than {budget_s:g} s") from problem
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
            raise EmbedError("the reranker is loading") from problem
        return _scores_of(record, answer.status_code)


def _scores_of(record: Any, status: int) -> list[float]:
    if status == 200 and isinstance(record, dict):
        return [float(score) for score in record["scores"]]
    reason = record.get("error", {}).get("message") if isinstance(record, dict) else None
    raise EmbedError(str(reason or "the reranker did not answer"))


def require_cross_encoder(folder: Path) -> None:
    """Raises: EmbedError if the folder's model does not give one score for a pair of texts.

    A language model or an encoder would load too, with a last layer of random numbers.
    """
    hint = "choose one: kit model list --kind reranker"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kinds = [str(name) for name in config["architectures"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise EmbedError(f"no reranker in {folder}: {problem}", hint=hint) from None
    if not any(name.endswith("ForSequenceClassification") for name in kinds):
        raise EmbedError(f"{folder.name} is a {kinds[0]}, not a cross-encoder", hint=hint)
