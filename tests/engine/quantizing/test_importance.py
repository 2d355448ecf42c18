"""What is collected of a computation, and the file it is kept in."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.engine.quantizing.collect import (
    MIN_ROWS,
    WINDOW,
    Collector,
    Tensor,
    add_dense,
    add_experts,
    sample_windows,
)
from kit.engine.quantizing.importance import Importance, load_importance, save_importance
from kit.errors import EngineError, ModelError

RNG = np.random.default_rng(0)
_OPS = {1: b"MUL_MAT", 2: b"MUL_MAT_ID", 3: b"ADD"}


class FakeGgml:
    """Tensors that lie in numpy arrays."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, np.ndarray]] = {}
        self.is_broken = False

    def add(
        self,
        name: str,
        array: np.ndarray,
        op: int = 0,
        sources: tuple[int, ...] = (),
        kind: int = 0,
    ) -> int:
        tensor = Tensor()
        tensor.name, tensor.op, tensor.type = name.encode(), op, kind
        shape = (1,) * (4 - array.ndim) + array.shape
        tensor.ne[:] = shape[::-1]
        tensor.src[: len(sources)] = sources
        address = ctypes.addressof(tensor)
        self.kept[address] = (tensor, array.reshape(shape))
        return address

    def tensor(self, address: int) -> Tensor:
        if self.is_broken:
            raise EngineError("laid out otherwise")
        return self.kept[address][0]

    def op(self, tensor: Tensor) -> bytes:
        return _OPS.get(tensor.op, b"NONE")

    def read(self, address: int, dtype: Any) -> np.ndarray:
        return self.kept[address][1].astype(dtype)


def watched(collector: Collector, address: int) -> bool:
    """As llama.cpp calls back: asks, and reports what was wanted."""
    return collector.watch(address, True, None) and collector.watch(address, False, None)


def test_means_of_squares_are_collected_by_matrix() -> None:
    """Two products of one matrix add up, and the mean is over all rows of both."""
    ggml = FakeGgml()
    collector = Collector(ggml)
    weights = ggml.add("blk.0.ffn_up.weight", np.zeros((4, 3), np.float32))
    inputs = [RNG.normal(size=(n, 3)).astype(np.float32) for n in (20, 30)]
    for rows in inputs:
        product = ggml.add("y", np.zeros((len(rows), 4)), 1, (weights, ggml.add("x", rows)))
        assert watched(collector, product)
    expected = (np.concatenate(inputs) ** 2).mean(axis=0)
    found = collector.means()["blk.0.ffn_up.weight"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_each_expert_has_its_own_inputs() -> None:
    """Rows count for the expert they were sent to; one that nobody was sent to counts evenly."""
    ggml = FakeGgml()
    collector = Collector(ggml)
    weights = ggml.add("blk.0.ffn_up_exps.weight", np.zeros((3, 4, 2), np.float32))
    rows = np.array([[[1.0, 2.0]], [[3.0, 4.0]]], np.float32)  # (2 tokens, 1, row of 2)
    chosen = np.array([[0, 1], [0, 1]], np.int32)  # both tokens go to the experts 0 and 1
    chosen[1, 1] = 0
    product = ggml.add("y", np.zeros(1), 2, (weights, ggml.add("x", rows), ggml.add("i", chosen)))
    assert watched(collector, product)
    found = collector.means()["blk.0.ffn_up_exps.weight"].reshape(3, 2)
    np.testing.assert_allclose(found[0], [(1 + 9 + 9) / 3, (4 + 16 + 16) / 3], rtol=1e-6)
    np.testing.assert_allclose(found[1], [1, 4])
    np.testing.assert_allclose(found[2], [1, 1])


def test_what_is_no_weight_is_not_watched() -> None:
    """Attention's own products, the output, short batches and other operations are left alone."""
    ggml = FakeGgml()
    collector = Collector(ggml)
    own = ggml.add("blk.0.attn_q.weight", np.zeros((4, 3), np.float32))
    other = ggml.add("cache_k_l0", np.zeros((4, 3), np.float32))
    output = ggml.add("output.weight", np.zeros((4, 3), np.float32))
    long, short = (ggml.add("x", np.zeros((n, 3))) for n in (MIN_ROWS, MIN_ROWS - 1))
    half = ggml.add("x", np.zeros((MIN_ROWS, 3)), kind=1)
    unwanted = [(1, other, long), (1, output, long), (1, own, short), (1, own, half)]
    for op, weights, inputs in [*unwanted, (3, own, long)]:
        product = ggml.add("y", np.zeros(1), op, (weights, inputs))
        assert not collector.watch(product, True, None)
    wanted = ggml.add("y", np.zeros(1), 1, (own, long))
    assert collector.watch(wanted, True, None)


def test_a_surprise_ends_the_computation_with_a_reason() -> None:
    """Nothing is raised into native code: the callback says stop, and keeps why."""
    ggml = FakeGgml()
    collector = Collector(ggml)
    weights = ggml.add("blk.0.attn_q.weight", np.zeros((4, 3), np.float32))
    for width in (3, 5):
        inputs = ggml.add("x", np.ones((MIN_ROWS, width)))
        done = watched(collector, ggml.add("y", np.zeros(1), 1, (weights, inputs)))
    assert not done
    assert "two shapes" in str(collector.problem)
    ggml.is_broken = True
    assert not collector.watch(weights, True, None)
    assert "otherwise" in str(collector.problem)


def test_inputs_that_are_no_numbers_are_refused() -> None:
    """A model that computes NaN gets no importance matrix."""
    ggml = FakeGgml()
    collector = Collector(ggml)
    weights = ggml.add("blk.0.attn_q.weight", np.zeros((4, 3), np.float32))
    inputs = ggml.add("x", np.full((MIN_ROWS, 3), np.nan))
    watched(collector, ggml.add("y", np.zeros(1), 1, (weights, inputs)))
    with pytest.raises(ModelError, match=r"attn_q\.weight are not finite"):
        collector.means()


def test_matrices_repeat_over_planes() -> None:
    """Inputs in more planes than there are matrices are counted for the matrix they meet."""
    inputs = RNG.normal(size=(1, 4, 5, 3)).astype(np.float32)
    sums, counts = np.zeros((2, 3)), np.zeros(2, np.int64)
    add_dense(sums, counts, inputs, 2, 1)
    assert counts.tolist() == [10, 10]
    np.testing.assert_allclose(sums[1], (inputs[0, [1, 3]] ** 2).sum(axis=(0, 1)), rtol=1e-6)


def test_experts_may_have_an_input_each() -> None:
    """Where each chosen expert gets a row of its own, that row is the one that counts."""
    inputs = np.array([[[1.0], [2.0]], [[3.0], [4.0]]], np.float32)  # (2 tokens, 2 used, 1)
    sums, counts = np.zeros((2, 1)), np.zeros(2, np.int64)
    add_experts(sums, counts, inputs, np.array([[0, 1], [1, 0]]))
    assert sums.ravel().tolist() == [1 + 16, 4 + 9]
    assert counts.tolist() == [2, 2]


def test_a_sample_is_read_whole_in_windows() -> None:
    """Each token is in one window, and each window begins as the model wants."""
    tokens = list(range(1000, 1000 + 2 * WINDOW + MIN_ROWS))
    found = list(sample_windows(tokens, 1))
    assert all(window[0] == 1 and len(window) <= WINDOW for window in found)
    assert [token for window in found for token in window[1:]] == tokens
    assert list(sample_windows(tokens[: MIN_ROWS - 1], None)) == []


MATRIX = Importance("a" * 64, "b" * 64, 4096, {"blk.0.x": np.array([1.0, 2.5], np.float32)})


def test_a_matrix_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """Digests, counts and every number come back."""
    path = tmp_path / "m.npz"
    save_importance(MATRIX, path)
    found = load_importance(path)
    assert (found.model_sha256, found.sample_sha256, found.num_tokens) == (
        *("a" * 64, "b" * 64),
        4096,
    )
    np.testing.assert_array_equal(found.weights["blk.0.x"], MATRIX.weights["blk.0.x"])


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.inf], np.float32),
        np.array([-1.0], np.float32),
        np.array([1.0]),
        np.zeros((1, 2), np.float32),
    ],
    ids=["infinite", "negative", "float64", "two dimensions"],
)
def test_a_matrix_of_wrong_numbers_is_refused(values: np.ndarray, tmp_path: Path) -> None:
    """llama.cpp would abort on some of these; they do not reach it."""
    path = tmp_path / "m.npz"
    save_importance(Importance("a" * 64, "b" * 64, 1, {"x": values}), path)
    with pytest.raises(ModelError, match="holds no importance"):
        load_importance(path)


def test_a_damaged_matrix_is_refused_with_words(tmp_path: Path) -> None:
    """A file cut anywhere, another file, pickles and an empty matrix are errors, not tracebacks."""
    path = tmp_path / "m.npz"
    save_importance(MATRIX, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            load_importance(path)
    np.save(path.with_suffix(".npy"), np.array([object()]), allow_pickle=True)
    with pytest.raises(ModelError):
        load_importance(path.with_suffix(".npy"))
    save_importance(Importance("a" * 64, "b" * 64, 1, {}), path)
    with pytest.raises(ModelError, match="no importance at all"):
        load_importance(path)
