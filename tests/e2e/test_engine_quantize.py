"""Quantizing and measuring with the real starter model."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engine.gguf import read_gguf
from kit.engine.quantize import fastest, measure_types, quantize
from kit.engine.quantizing.auto import measure_and_choose
from kit.engine.quantizing.importance import load_importance, weigh
from kit.engine.quantizing.measure_loss import measure_loss, measure_losses
from kit.errors import ModelError, UsageError
from kit.samples import predicted_text, read_text
from tests.e2e.bert_gguf import write_bert_gguf

pytestmark = pytest.mark.e2e


def test_the_starter_model_is_requantized_and_measured(chat_model: Path, tmp_path: Path) -> None:
    """Each type becomes a whole model of that type, is measured, and the fastest is one of them."""
    types = ["Q4_1", "Q4_0", "Q8_0"]
    found = measure_types(chat_model, types, tmp_path, home=tmp_path, num_rounds=1)
    assert [m.type_name for m in found] == types
    for m in found:
        assert read_gguf(m.path).type_name == m.type_name
        assert m.size_bytes == m.path.stat().st_size
        assert min(m.prefill_tok_per_s, m.decode_tok_per_s) > 1
    assert found[0].path == chat_model  # the type it arrived in is not made again
    assert fastest(found) in found


def test_a_failed_quantization_leaves_nothing(chat_model: Path, tmp_path: Path) -> None:
    """A damaged source, an unknown type and a type that cannot be made leave no file behind."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(chat_model.read_bytes()[:-1000])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match="cut short"):
        quantize(cut, out / "a.gguf", "Q4_0")
    with pytest.raises(UsageError, match="unknown quantization type"):
        quantize(chat_model, out / "a.gguf", "Q3")
    with pytest.raises(UsageError, match="needs an importance matrix"):
        quantize(chat_model, out / "a.gguf", "IQ1_S")
    with pytest.raises(UsageError, match="unknown"):  # published so, never quantized to
        quantize(chat_model, out / "a.gguf", "MXFP4_MOE")
    assert list(out.iterdir()) == []


@pytest.fixture(scope="module")
def matrix(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter model's importance matrix on half of the shipped text."""
    path = tmp_path_factory.mktemp("matrix") / "importance.npz"
    weigh(chat_model, read_text()[:6000], path, home=path.parent)
    return path


def test_a_matrix_covers_every_layer(chat_model: Path, matrix: Path) -> None:
    """Each weight matrix of each layer has a number for each of its inputs, none of them zero."""
    found = load_importance(matrix)
    layers = [t for t in read_gguf(chat_model).tensors if t.name.startswith("blk.")]
    expected = {t.name: t.shape[0] for t in layers if len(t.shape) == 2}
    assert len(expected) == 7 * 30
    assert {name: len(values) for name, values in found.weights.items()} == expected
    assert all((values > 0).mean() > 0.99 for values in found.weights.values())
    assert found.num_tokens > 1000


def test_a_matrix_that_is_there_is_kept(chat_model: Path, matrix: Path) -> None:
    """The same model and text are not weighed again; another text is."""
    before = matrix.stat().st_mtime_ns
    weigh(chat_model, read_text()[:6000], matrix, home=matrix.parent)
    assert matrix.stat().st_mtime_ns == before
    other = matrix.with_name("other.npz")
    other.write_bytes(matrix.read_bytes())
    weigh(chat_model, read_text()[:3000], other, home=matrix.parent)
    assert load_importance(other).sample_sha256 != load_importance(matrix).sample_sha256


def test_a_matrix_makes_quantizing_lose_less(
    chat_model: Path, matrix: Path, tmp_path: Path
) -> None:
    """With the matrix Q4_K_M and Q3_K_M lose less on a text that it has not seen."""
    paths = []
    for name in ("Q4_K_M", "Q3_K_M"):
        for importance in (None, matrix):
            path = tmp_path / f"{name}-{importance is not None}.gguf"
            paths.append(quantize(chat_model, path, name, importance=importance, home=tmp_path))
    plain_4, with_4, plain_3, with_3 = (
        loss.mean_kl for loss in measure_losses(paths, chat_model, predicted_text(), home=tmp_path)
    )
    assert 0 < with_4 < plain_4 < plain_3
    assert with_4 < with_3 < plain_3


def test_two_bits_need_the_matrix_of_that_model(
    chat_model: Path, matrix: Path, tmp_path: Path
) -> None:
    """IQ2_XXS is made with the model's own matrix; another model's is refused."""
    small = quantize(chat_model, tmp_path / "a.gguf", "iq2_xxs", importance=matrix, home=tmp_path)
    assert read_gguf(small).type_name == "IQ2_XXS"
    other = quantize(chat_model, tmp_path / "b.gguf", "Q8_0", home=tmp_path)
    with pytest.raises(ModelError, match="of another model"):
        quantize(other, tmp_path / "c.gguf", "IQ2_XXS", importance=matrix, home=tmp_path)


def test_a_loss_orders_the_types(chat_model: Path, tmp_path: Path) -> None:
    """More bits lose less; the reference itself loses nothing; all by the same predictions."""
    types = ("Q8_0", "Q2_K")
    paths = [quantize(chat_model, tmp_path / f"{t}.gguf", t, home=tmp_path) for t in types]
    own, eight, two = measure_losses(
        [chat_model, *paths], chat_model, predicted_text(), home=tmp_path
    )
    assert (own.mean_kl, own.top1_agreement, own.perplexity) == (0, 1, own.reference_perplexity)
    assert own.num_tokens == eight.num_tokens == two.num_tokens == 512
    assert own.mean_kl < eight.mean_kl < two.mean_kl
    assert eight.top1_agreement > two.top1_agreement
    assert 2 < own.perplexity < 200  # a small model on prose of many languages
    assert two.perplexity > own.perplexity
    assert eight.p99_kl > eight.mean_kl


def test_what_cannot_be_compared_says_why(
    chat_model: Path, embedding_model: Path, tmp_path: Path
) -> None:
    """A text too short, a model for vectors, a cut file: an error each, and no figure."""
    with pytest.raises(ModelError, match="too short"):
        measure_loss(chat_model, chat_model, "Too short.", home=tmp_path)
    bert = tmp_path / "bert.gguf"
    write_bert_gguf(embedding_model, bert)
    for first, second in ((bert, chat_model), (chat_model, bert)):
        with pytest.raises(ModelError, match="writes no text"):
            measure_loss(first, second, predicted_text(), home=tmp_path)
    with pytest.raises(ModelError, match="writes no text"):
        weigh(bert, read_text(), tmp_path / "m.npz", home=tmp_path)
    with pytest.raises(ModelError, match="tokens"):
        weigh(chat_model, "A few words.", tmp_path / "m.npz", home=tmp_path)
    assert not list(tmp_path.glob("*.npz*"))


def test_auto_weighs_speed_and_loss(chat_model: Path, tmp_path: Path) -> None:
    """The choice names a type that loses little enough, and shows every figure it rests on."""
    choice = measure_and_choose(
        chat_model, tmp_path, predicted_text(), types=("Q4_K_M", "Q2_K"), home=tmp_path, max_kl=0.2
    )
    by_type = {one.type_name: one for one in choice.candidates}
    assert set(by_type) == {"Q4_1", "Q4_K_M", "Q2_K"}
    assert by_type["Q2_K"].loss.mean_kl > 0.2
    assert choice.chosen.type_name in ("Q4_1", "Q4_K_M")
    assert choice.reference_type == "Q4_1"
    assert choice.is_relative
