"""Watch a model compute and add up the squared inputs of its weight matrices.

Knows ggml's graph through one C structure, checked before it is trusted. What llama.cpp's quantizer
wants for a matrix W of rows w is the mean of x² over the inputs x that it is multiplied with: the
error of a quantized w then counts as sum over j of x_j² (w_j - w'_j)².
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.engine.cpu.machine import usable_cores
from kit.engine.quantizing.importance import MIN_SAMPLE_TOKENS, Importance, save_importance
from kit.errors import EngineError, KitError, ModelError

WINDOW = 512
MIN_ROWS = 16  # a product over fewer tokens is one that ends a text, not one that reads it
_F32 = 0
_DENSE, _EXPERTS = b"MUL_MAT", b"MUL_MAT_ID"


class Tensor(ctypes.Structure):
    """struct ggml_tensor of the pinned llama.cpp (ggml.h)."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


class Ggml:
    """The few functions of ggml that read a tensor."""

    def __init__(self, library: Any) -> None:
        folder = Path(library.__file__).parent / "lib"
        base = ctypes.CDLL(str(folder / "libggml-base.so.0"))
        base.ggml_op_name.restype = base.ggml_get_name.restype = ctypes.c_char_p
        base.ggml_get_name.argtypes = (ctypes.c_void_p,)
        base.ggml_nbytes.restype, base.ggml_nbytes.argtypes = ctypes.c_size_t, (ctypes.c_void_p,)
        base.ggml_backend_tensor_get.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
        )
        base.ggml_backend_tensor_get.restype = None
        self._base = base

    def tensor(self, address: int) -> Tensor:
        """Raises: EngineError if the structure is not laid out as this code believes."""
        found = Tensor.from_address(address)
        if self._base.ggml_get_name(address) != found.name:
            raise EngineError("this llama.cpp lays its tensors out otherwise than expected")
        return found

    def op(self, tensor: Tensor) -> bytes:
        return bytes(self._base.ggml_op_name(tensor.op))

    def read(self, address: int, dtype: Any) -> np.ndarray:
        """The tensor's numbers, shape (ne3, ne2, ne1, ne0), wherever they lie and however far
        apart."""
        tensor = self.tensor(address)
        raw = np.empty(self._base.ggml_nbytes(address), dtype=np.uint8)
        self._base.ggml_backend_tensor_get(address, raw.ctypes.data, 0, raw.nbytes)
        shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
        return np.ndarray(shape, dtype=dtype, buffer=raw, strides=strides)


class Collector:
    """Sums of squared inputs by tensor, and how many inputs each matrix saw."""

    def __init__(self, ggml: Any) -> None:
        self._ggml = ggml
        self.sums: dict[str, np.ndarray] = {}  # float64, (num_matrices, row_length)
        self.counts: dict[str, np.ndarray] = {}  # int64, (num_matrices,)
        self.problem: KitError | ValueError | None = None

    def watch(self, address: int, is_asking: bool, _data: Any) -> bool:
        """llama.cpp's callback: first whether a tensor is wanted, then that it is computed.

        False the second time ends the computation; nothing may be raised into native code.
        """
        try:
            tensor = self._ggml.tensor(address)
            if is_asking:
                return self._is_wanted(tensor)
            self._add(tensor)
        except (KitError, ValueError) as problem:
            self.problem = problem
            return False
        return True

    def _is_wanted(self, tensor: Tensor) -> bool:
        op = self._ggml.op(tensor)
        if op not in (_DENSE, _EXPERTS):
            return False
        weights, inputs = (self._ggml.tensor(tensor.src[at]) for at in (0, 1))
        if inputs.type != _F32 or not weights.name.startswith(b"blk."):
            return False
        return op == _EXPERTS or int(inputs.ne[1]) >= MIN_ROWS

    def _add(self, tensor: Tensor) -> None:
        weights = self._ggml.tensor(tensor.src[0])
        inputs = self._ggml.read(tensor.src[1], np.float32)
        name, num_matrices = weights.name.decode(), weights.ne[2] * weights.ne[3]
        shape = (num_matrices, inputs.shape[-1])
        sums = self.sums.setdefault(name, np.zeros(shape))
        counts = self.counts.setdefault(name, np.zeros(num_matrices, dtype=np.int64))
        if sums.shape != shape:
            raise ValueError(f"{name} is multiplied in two shapes: {sums.shape} and {shape}")
        if self._ggml.op(tensor) == _DENSE:
            add_dense(sums, counts, inputs, weights.ne[2], weights.ne[3])
        else:
            add_experts(sums, counts, inputs[0], self._ggml.read(tensor.src[2], np.int32)[0, 0])

    def means(self) -> dict[str, np.ndarray]:
        """Mean squares, float32, one row of numbers a tensor; an expert that saw nothing counts 1.

        Raises: ModelError if they are not finite.
        """
        out = {}
        for name, sums in self.sums.items():
            counts = self.counts[name][:, None]
            means = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
            if not np.isfinite(means).all():
                raise ModelError(f"the inputs of {name} are not finite numbers")
            out[name] = means.astype(np.float32).ravel()
        return out


def add_dense(
    sums: np.ndarray, counts: np.ndarray, inputs: np.ndarray, num_2: int, num_3: int
) -> None:
    """Inputs of shape (n3, n2, num_rows, row_length); ggml repeats matrices over n2 and n3."""
    for i3, plane in enumerate(inputs):
        for i2, rows in enumerate(plane):
            matrix = (i3 % num_3) * num_2 + i2 % num_2
            sums[matrix] += np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
            counts[matrix] += len(rows)


def add_experts(
    sums: np.ndarray, counts: np.ndarray, inputs: np.ndarray, chosen: np.ndarray
) -> None:
    """Inputs (num_tokens, 1 or num_used, row_length), chosen experts (num_tokens, num_used)."""
    for at in range(chosen.shape[1]):
        rows = inputs[:, at % inputs.shape[1]]  # (num_tokens, row_length)
        for expert in np.unique(chosen[:, at]):
            own = rows[chosen[:, at] == expert]
            sums[expert] += np.einsum("ij,ij->j", own, own, dtype=np.float64)
            counts[expert] += len(own)


def collect_here(
    library: Any, path: str, destination: str, model_sha256: str, sample_sha256: str
) -> None:
    """The child's side: writes the importance matrix of the text on standard input."""
    from kit.engine.native import Decoder, Model
    from kit.engine.scheduler import Row

    model = Model(library, Path(path))
    tokens = model.tokenize(sys.stdin.read(), parse_special=False)
    if len(tokens) < MIN_SAMPLE_TOKENS:
        raise ModelError(
            f"a sample of {MIN_SAMPLE_TOKENS} tokens or more expected, {len(tokens)} observed"
        )
    collector = Collector(Ggml(library))
    n_threads = usable_cores()
    decoder = Decoder(
        model,
        n_ctx=WINDOW,
        num_slots=1,
        n_threads=n_threads,
        max_draft=WINDOW - 1,  # every position is an output: the last layer skips all others
        watch=collector.watch,
    )
    num_tokens = 0
    for window in sample_windows(tokens, model.bos):
        try:
            decoder.decode([Row(token, at, 0, True) for at, token in enumerate(window)])
        except EngineError:
            if collector.problem is None:
                raise
        if collector.problem is not None:
            raise EngineError(f"the computation cannot be watched: {collector.problem}")
        decoder.keep(0, 0)
        num_tokens += len(window)
    found = Importance(model_sha256, sample_sha256, num_tokens, collector.means())
    save_importance(found, Path(destination))


def sample_windows(tokens: Sequence[int], bos: int | None) -> Iterator[list[int]]:
    """The sample in windows that begin as the model wants; a rest too short to tell is dropped."""
    head = [] if bos is None else [bos]
    step = WINDOW - len(head)
    for start in range(0, len(tokens), step):
        body = list(tokens[start : start + step])
        if len(body) >= MIN_ROWS:
            yield head + body
