"""Texts to unit vectors. LocalEmbedder owns sentence-transformers; WorkerEmbedder asks the worker.

Knows nothing of documents. Invariant: rows are in the order of the texts and have L2 norm 1, so
dot product = cosine.
"""

from __future__ import annotations

import base64
import copy
import functools
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kit.errors import EmbedError

QUERY_TIMEOUT_S = 10.0
UNKNOWN_TOKENS = ("[UNK]", "<unk>")  # as WordPiece and SentencePiece name it


class Embedder(Protocol):
    """What makes vectors. `model` names it in the store; vectors of two models never mix."""

    @property
    def model(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """float32, shape (len(texts), dim), rows of L2 norm 1, in order. Raises EmbedError."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As embed_passages, with the model's query prefix."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` for this model, without truncation."""
        ...

    def unknown_share(self, text: str) -> float:
        """The share, 0 to 1, of the tokens that the model's vocabulary lacks: it cannot read
        them. Of Chinese, all-MiniLM lacks two thirds."""
        ...


class LocalEmbedder:
    """A sentence-transformers model in this process. Loading it takes some 10 CPU-seconds."""

    def __init__(self, folder: Path, *, num_threads: int | None = None) -> None:
        """Raises: EmbedError if the folder holds no model that loads without code of its own."""
        if not (folder / "modules.json").is_file():
            raise EmbedError(
                f"no embedding model in {folder}", hint="get it: kit model pull all-minilm-l6-v2"
            )
        # Read by the libraries at import; settings of the launcher are kept if they are there.
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            os.environ[name] = "1"
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(num_threads or num_embedding_threads())
        try:
            self._model = SentenceTransformer(
                str(folder), device="cpu", local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, KeyError) as problem:
            raise EmbedError(
                f"the embedding model in {folder} cannot be loaded: {problem}",
                hint=f"get it again: kit model rm {folder.name}; kit model pull {folder.name}",
            ) from problem
        self._query_prefix, self._passage_prefix = read_prefixes(folder, self._model.prompts)
        self.model = folder.name
        self.dim = int(self._model.get_embedding_dimension() or 0)

    def twin(self) -> LocalEmbedder:
        """The same weights, in the same memory, with a tokenizer of its own.

        The two may be used at the same time; one alone may not, since its tokenizer keeps state.
        """
        twin = copy.copy(self)
        weights = itertools.chain(self._model.parameters(), self._model.buffers())
        twin._model = copy.deepcopy(self._model, {id(tensor): tensor for tensor in weights})
        return twin

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """float32, shape (len(texts), dim). Texts past the model's length are cut by it."""
        return self._encode(texts, self._passage_prefix, batch_size)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As embed_passages, with what this model wants before a question."""
        return self._encode(texts, self._query_prefix)

    def _encode(self, texts: Sequence[str], prefix: str, batch_size: int = 32) -> np.ndarray:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        rows = self._model.encode(  # sorts by length itself, so batches carry little padding
            list(texts),
            prompt=prefix,
            batch_size=batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(rows, dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def unknown_share(self, text: str) -> float:
        return share_unknown(self._tokenizer, text)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(Path(self._model[0].auto_model.config._name_or_path))


def read_prefixes(folder: Path, prompts: Mapping[str, str]) -> tuple[str, str]:
    """What the model wants before a question and before a passage: e5's 'query: ', 'passage: '.

    As its card says, which stands in the record of its installation; else as the model itself says
    (`prompts` of sentence-transformers); else nothing.
    """
    try:
        record = json.loads((folder / "installed.json").read_text(encoding="utf-8"))
        said = (str(record["query_prefix"]), str(record["passage_prefix"]))
    except (OSError, ValueError, KeyError, TypeError):
        said = ("", "")
    if any(said):
        return said
    passage = next((prompts[name] for name in ("document", "passage") if prompts.get(name)), "")
    return prompts.get("query") or "", passage


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, which counts every token.

    all-MiniLM's file truncates at 128 tokens and pads to them: counted so, 150 kB were one chunk.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def share_unknown(tokenizer: Any, text: str) -> float:
    """The share, 0 to 1, of the text's tokens that stand for what the vocabulary lacks."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    unknown = {tokenizer.token_to_id(token) for token in UNKNOWN_TOKENS}
    return sum(one in unknown for one in ids) / max(1, len(ids))


def num_embedding_threads() -> int:
    """Half of the cores this process may use: the other half belongs to the language model."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


class WorkerEmbedder:
    """The worker's model over loopback HTTP; EmbedError until the worker is warm.

    `wanted` names the model whose vectors are searched now; '' = the worker's own choice.
    """

    def __init__(self, url: str, wanted: Callable[[], str] = lambda: "") -> None:
        import httpx

        self._client = httpx.Client(base_url=url, timeout=QUERY_TIMEOUT_S, trust_env=False)
        self._wanted = wanted
        self._known: dict[str, Any] = {}

    @property
    def model(self) -> str:
        return self._wanted() or str(self._health()["model"])

    @property
    def dim(self) -> int:
        return int(self._health()["dim"])

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        del batch_size  # the worker's own
        return self._embed(texts, "passage")

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._embed(texts, "query")

    def count_tokens(self, text: str) -> int:
        return int(self._call("POST", "/count", {"text": text})["num_tokens"])

    def unknown_share(self, text: str) -> float:
        return float(self._call("POST", "/count", {"text": text})["unknown_share"])

    def _embed(self, texts: Sequence[str], kind: str) -> np.ndarray:
        body = {"texts": list(texts), "kind": kind, "model": self._wanted()}
        found = self._call("POST", "/embed", body)
        return unpack_vectors(found["vectors"], int(found["dim"]))

    def _health(self) -> dict[str, Any]:
        if not self._known.get("ready"):
            self._known = self._call("GET", "/health", None)
        if not self._known.get("ready"):
            raise not_warm()
        return self._known

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        import httpx

        reason = ""
        try:
            answer = self._client.request(method, path, json=body)
            if answer.status_code == 200:
                return dict(answer.json())
            reason = str(answer.json()["error"]["message"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            pass
        raise EmbedError(reason) if reason else not_warm()


def not_warm() -> EmbedError:
    return EmbedError(
        "the embedding model is loading", hint="it takes some seconds after the start"
    )


def pack_vectors(rows: np.ndarray) -> str:
    """float32 rows as base64 of their little-endian bytes."""
    return base64.b64encode(rows.astype("<f4").tobytes()).decode("ascii")


def unpack_vectors(packed: str, dim: int) -> np.ndarray:
    """The rows again, shape (n, dim)."""
    return np.frombuffer(base64.b64decode(packed), dtype="<f4").reshape(-1, dim)
