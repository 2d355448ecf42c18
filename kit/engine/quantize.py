"""A model file in another quantization type, with or without an importance matrix.

Knows files and types. Native work happens in child processes, so a crash there is an error here.
Keeps one invariant: a file under its final name is a whole, checked model.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.engine.cpu.machine import usable_cores
from kit.engine.gguf import FILE_TYPES, read_gguf, split_paths
from kit.engine.quantizing.child import run_child
from kit.engine.quantizing.importance import load_importance, model_digest
from kit.engine.quantizing.speed import Measurement, fastest, measure, measure_files
from kit.errors import EngineError, ModelError, UsageError
from kit.files import atomic_path, explain_os_errors, require_space

__all__ = ["Measurement", "fastest", "file_type", "measure", "measure_types", "quantize"]

QUANTIZE_TIMEOUT_S = 4 * 3600  # a 70B model on a slow disk
NUM_ROUNDS = 2
NEED_IMPORTANCE = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S")
_NOT_MADE = ("MXFP4_MOE", "NVFP4")  # formats that models are published in, not quantized to
_BYTES_PER_WEIGHT = {"F32": 4.0, "F16": 2.0, "BF16": 2.0}
_OTHER_BYTES_PER_WEIGHT = 9 / 8  # Q8_0, the largest of the others


def file_type(type_name: str) -> int:
    """llama.cpp's number of a quantization type. Raises: UsageError naming the known ones."""
    numbers = {name: number for number, name in FILE_TYPES.items() if name not in _NOT_MADE}
    if type_name.upper() not in numbers:
        raise UsageError(
            f"unknown quantization type {type_name!r}", hint=f"known: {', '.join(sorted(numbers))}"
        )
    return numbers[type_name.upper()]


def quantize(
    source: Path,
    destination: Path,
    type_name: str,
    *,
    importance: Path | None = None,
    home: Path | None = None,
) -> Path:
    """Write `source` in another type to `destination`, whole or not at all.

    `importance` is a file that `weigh` made of `source` itself.
    Raises: ModelError (damaged source, another model's matrix), UsageError (unknown type, or one
    that needs a matrix), DiskFull, EngineError.
    """
    type_name = type_name.upper()
    number = file_type(type_name)
    num_params = sum(read_gguf(part).num_params for part in split_paths(source))
    if importance is not None:
        _require_own(importance, source)
    elif type_name in NEED_IMPORTANCE:
        raise UsageError(
            f"{type_name} needs an importance matrix, without which the model would be useless",
            hint="kit model quantize computes one; or choose a type of three bits or more",
        )
    bytes_per_weight = _BYTES_PER_WEIGHT.get(type_name, _OTHER_BYTES_PER_WEIGHT)
    require_space(destination.parent, int(num_params * bytes_per_weight))
    with explain_os_errors(destination), atomic_path(destination) as temporary:
        arguments = [str(source), str(temporary), str(number), str(importance or "")]
        run_child("quantize", arguments, home=home, timeout_s=QUANTIZE_TIMEOUT_S)
        read_gguf(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
    return destination


def _require_own(importance: Path, source: Path) -> None:
    if load_importance(importance).model_sha256 != model_digest(source):
        raise ModelError(
            f"{importance.name} is the importance matrix of another model than {source.name}",
            hint="delete it; it is computed again",
        )


def measure_types(
    source: Path,
    types: Sequence[str],
    work_folder: Path,
    *,
    importance: Path | None = None,
    home: Path | None = None,
    num_rounds: int = NUM_ROUNDS,
    n_threads: int = 0,
) -> list[Measurement]:
    """Quantize `source` to each type and measure them in turn, each time in a fresh process.

    The files stay in `work_folder`, named by type; the type it arrived in is measured as it is.
    """
    arrived = read_gguf(source).type_name
    paths = {name: work_folder / f"{source.stem}.{name}.gguf" for name in types}
    paths |= {name: source for name in types if name == arrived}
    for name, path in paths.items():
        if not path.exists():
            quantize(source, path, name, importance=importance, home=home)
    return measure_files(paths, home=home, num_rounds=num_rounds, n_threads=n_threads)


def quantize_here(
    library: Any, source: str, destination: str, number: str, importance: str
) -> None:
    """The child's side. Raises: EngineError."""
    params = library.llama_model_quantize_default_params()
    params.ftype, params.nthread = int(number), usable_cores()
    params.allow_requantize = True
    kept = _importance_entries(library, Path(importance)) if importance else None
    if kept is not None:
        params.imatrix = kept[0]
    status = library.llama_model_quantize(os.fsencode(source), os.fsencode(destination), params)
    if status != 0:
        from kit.engine.native import last_error

        raise EngineError(f"llama.cpp could not quantize ({status}): {last_error()}")


def _importance_entries(library: Any, path: Path) -> tuple[Any, list[Any]]:
    """(the C array, ended by an entry without a name; what its pointers need to live)."""
    weights = load_importance(path).weights
    entries = (library.llama_model_imatrix_data * (len(weights) + 1))()
    for entry, (name, values) in zip(entries, weights.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return entries, list(weights.values())
