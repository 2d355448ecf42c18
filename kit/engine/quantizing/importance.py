"""An importance matrix: how strongly each input of a weight matrix speaks, on a text sample.

Knows arrays and one file format (npz without pickles). Invariant: a matrix says of which model and
which sample it is, by digest, and is used for no other model.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.engine.embedding.embedder import is_embedding_model
from kit.engine.gguf import read_gguf, split_paths
from kit.engine.quantizing.child import run_child
from kit.errors import ModelError
from kit.files import atomic_path, explain_os_errors, sha256_file

WEIGH_TIMEOUT_S = 24 * 3600  # a large model reads a few thousand tokens on a CPU
MIN_SAMPLE_TOKENS = 256
_PREFIX = "weights/"


@dataclass(frozen=True)
class Importance:
    """`weights` by the tensor's name: mean of the squared inputs, float32.

    Shape (row_length,), or (num_experts · row_length,) for tensors of experts.
    """

    model_sha256: str
    sample_sha256: str
    num_tokens: int
    weights: Mapping[str, np.ndarray]


def model_digest(path: Path) -> str:
    """The file's SHA-256; of a split model, that of its parts' digests in order."""
    digests = [sha256_file(part) for part in split_paths(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def weigh(model: Path, text: str, destination: Path, *, home: Path | None = None) -> Importance:
    """`destination` holds the model's importance matrix on that text; one that is there is kept.

    Raises: ModelError (damaged, a model for vectors, a text too short), EngineError, DiskFull.
    """
    if is_embedding_model(read_gguf(model)):
        raise ModelError(f"{model.name} writes no text; importance is measured for chat models")
    digests = model_digest(model), hashlib.sha256(text.encode()).hexdigest()
    if destination.exists():
        found = load_importance(destination)
        if (found.model_sha256, found.sample_sha256) == digests:
            return found
    with explain_os_errors(destination), atomic_path(destination) as temporary:
        arguments = [str(model), str(temporary), *digests]
        run_child("weigh", arguments, home=home, timeout_s=WEIGH_TIMEOUT_S, text=text)
        found = load_importance(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
    return found


def save_importance(importance: Importance, path: Path) -> None:
    arrays = {f"{_PREFIX}{name}": values for name, values in importance.weights.items()}
    with path.open("wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            model_sha256=np.array(importance.model_sha256),
            sample_sha256=np.array(importance.sample_sha256),
            num_tokens=np.array(importance.num_tokens),
            **arrays,
        )


def load_importance(path: Path) -> Importance:
    """Read and check a matrix. Raises: ModelError if it is damaged or no such file."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            weights = {
                name.removeprefix(_PREFIX): archive[name]
                for name in archive.files
                if name.startswith(_PREFIX)
            }
            found = Importance(
                model_sha256=str(archive["model_sha256"]),
                sample_sha256=str(archive["sample_sha256"]),
                num_tokens=int(archive["num_tokens"]),
                weights=weights,
            )
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as problem:
        raise ModelError(
            f"{path} is no importance matrix: {problem}", hint="delete it; it is computed again"
        ) from None
    for name, values in weights.items():
        sound = values.dtype == np.float32 and values.ndim == 1 and np.isfinite(values).all()
        if not sound or (values < 0).any():
            raise ModelError(f"{path}: {name} holds no importance", hint="delete the file")
    if not weights:
        raise ModelError(f"{path} holds no importance at all", hint="delete the file")
    return found
