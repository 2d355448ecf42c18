"""A hub's model to a GGUF file that the real engine answers from."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from kit.engine.gguf import read_gguf
from kit.engine.quantize import quantize
from kit.engine.quantizing.measure_loss import measure_loss
from kit.errors import ModelError, UsageError
from kit.ops.pull import pull_model
from kit.samples import predicted_text
from kit.supply.catalog import ModelCard
from kit.supply.convert import convert
from kit.supply.converter import RECORD, Converter, find_converter
from kit.supply.runnable import find_chat_file
from tests.e2e.engine_process import EngineProcess, ask
from tests.e2e.tiny_hub_models import write_decoder, write_encoder, write_tokenizer
from tests.supply.hub_server import COMMIT, HubServer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def converter(starter_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Converter:
    """Fetched once, into the home that keeps the starter models."""
    kept = starter_models.parent
    return find_converter(kept if kept.is_dir() else tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="session")
def hub_models(
    converter: Converter, chat_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a tiny Llama, Qwen2 and Qwen3."""
    folder = tmp_path_factory.mktemp("hub")
    for architecture in ("Llama", "Qwen2", "Qwen3"):
        place = folder / architecture
        place.mkdir()
        vocab_size = write_tokenizer(converter.folder / "gguf-py", chat_model, place)
        write_decoder(architecture, place, vocab_size)
    return folder


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Qwen3"])
def test_a_model_of_a_hub_answers_in_the_engine(
    hub_models: Path, converter: Converter, tmp_path: Path, architecture: str
) -> None:
    """Converted, quantized, loaded, asked: every step of the line with a real architecture."""
    told: list[int] = []
    whole = convert(
        hub_models / architecture,
        tmp_path / "model-F16.gguf",
        converter,
        on_progress=lambda _what, done, _total: told.append(done),
    )
    header = read_gguf(whole)
    assert header.architecture == architecture.lower()
    assert header.type_name == "F16"
    assert "<|im_start|>" in header.chat_template
    assert told
    assert max(told) == 100
    small = quantize(whole, tmp_path / "model-Q4_0.gguf", "Q4_0", home=tmp_path)
    assert small.stat().st_size < whole.stat().st_size / 2
    engine = EngineProcess(small, tmp_path, "--parallel", "1", "--ctx", "256")
    try:
        with engine.wait_until_ready().openai() as client:
            answer = ask(client, "Hello", max_tokens=4)
        assert answer.usage.completion_tokens >= 1
    finally:
        assert engine.stop() == 0


def test_an_embedding_model_gives_vectors_in_the_engine(
    embedding_model: Path, converter: Converter, tmp_path: Path
) -> None:
    """A BERT of random weights keeps how it pools, and embeds texts after being quantized."""
    place = tmp_path / "bert"
    place.mkdir()
    write_encoder(embedding_model, place)
    whole = convert(place, tmp_path / "bert-F16.gguf", converter)
    header = read_gguf(whole)
    assert (header.architecture, header.number("pooling_type")) == ("bert", 1)
    small = quantize(whole, tmp_path / "bert-Q8_0.gguf", "Q8_0", home=tmp_path)
    vectors = {}
    for path in (whole, small):
        engine = EngineProcess(path, tmp_path)
        try:
            with engine.wait_until_ready().openai() as client:
                answer = client.embeddings.create(
                    model="any", input=["a river", "a road"], encoding_format="float"
                )
            vectors[path] = np.array([row.embedding for row in answer.data])
        finally:
            assert engine.stop() == 0
        assert vectors[path].shape == (2, 256)
    assert (vectors[whole] * vectors[small]).sum(axis=1).min() > 0.99
    assert not np.allclose(vectors[whole][0], vectors[whole][1])


@pytest.mark.parametrize(
    "type_name", ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "IQ4_XS", "Q5_0", "BF16"]
)
def test_the_usual_types_load(
    hub_models: Path, converter: Converter, tmp_path: Path, type_name: str
) -> None:
    """A converted model is computed with in every usual type, and predicts much as before."""
    whole = convert(hub_models / "Qwen3", tmp_path / "whole.gguf", converter, out_type="f32")
    small = quantize(whole, tmp_path / "small.gguf", type_name, home=tmp_path)
    assert read_gguf(small).type_name == type_name
    loss = measure_loss(small, whole, predicted_text(), home=tmp_path)
    assert loss.mean_kl < 0.05  # random weights predict almost evenly
    assert loss.num_tokens == 512


def test_code_of_the_model_is_not_run(
    hub_models: Path, converter: Converter, tmp_path: Path
) -> None:
    """A repository whose configuration names code of its own is converted without it."""
    place = tmp_path / "model"
    shutil.copytree(hub_models / "Llama", place)
    proof = tmp_path / "ran"
    (place / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Tok: pass\n")
    for name in ("config.json", "tokenizer_config.json"):
        record = json.loads((place / name).read_text())
        record["auto_map"] = {"AutoTokenizer": ["evil.Tok", None], "AutoConfig": "evil.Tok"}
        (place / name).write_text(json.dumps(record))
    convert(place, tmp_path / "out.gguf", converter)
    assert not proof.exists()
    assert "auto_map" in (place / "config.json").read_text()  # what was fetched is left as it is


def test_what_cannot_be_converted_says_why(
    hub_models: Path, converter: Converter, tmp_path: Path
) -> None:
    """An unknown architecture, a retrained tokenizer, damaged weights, pickles: each in words."""
    unknown = tmp_path / "unknown"
    shutil.copytree(hub_models / "Llama", unknown)
    record = json.loads((unknown / "config.json").read_text())
    record["architectures"] = ["MoonshotForCausalLM"]
    (unknown / "config.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="cannot convert MoonshotForCausalLM"):
        convert(unknown, tmp_path / "a.gguf", converter)

    retrained = tmp_path / "retrained"
    shutil.copytree(hub_models / "Qwen2", retrained)
    tokenizer = json.loads((retrained / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": False,
                                  "trim_offsets": True}  # fmt: skip
    (retrained / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="none that llama"):
        convert(retrained, tmp_path / "b.gguf", converter)

    damaged = tmp_path / "damaged"
    shutil.copytree(hub_models / "Llama", damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="could not be converted"):
        convert(damaged, tmp_path / "c.gguf", converter)
    weights.rename(damaged / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        convert(damaged, tmp_path / "d.gguf", converter)
    with pytest.raises(UsageError, match="type"):
        convert(hub_models / "Llama", tmp_path / "e.gguf", converter, out_type="q9")
    assert not list(tmp_path.glob("*.gguf"))
    assert not list(tmp_path.glob(".convert-*"))


def test_the_converter_is_whole_or_not_there(converter: Converter, tmp_path: Path) -> None:
    """Its record is written last; a wrong file is refused, and names what was expected."""
    assert (converter.folder / RECORD).is_file()
    assert len(converter.sdist_sha256) == 64
    wrong = tmp_path / "wrong.tar.gz"
    wrong.write_bytes(b"no archive")
    with pytest.raises(UsageError, match="is not the source package"):
        find_converter(tmp_path, environ={"KIT_LLAMA_SDIST": str(wrong)})
    assert not list(tmp_path.rglob(RECORD))


def test_the_whole_line_from_a_hub_to_an_answer(
    hub_models: Path, converter: Converter, tmp_path: Path
) -> None:
    """Fetched through faults, converted, quantized, asked; its passport names every input."""
    files = {path.name: path.read_bytes() for path in (hub_models / "Qwen3").iterdir()}
    files["evil.py"] = b"raise SystemExit"
    files["LICENSE"] = b"Do what is right."
    card = ModelCard(
        name="tiny",
        kind="chat",
        title="Tiny",
        source="hf://office/model",
        licence="MIT",
        languages=("en",),
        facts_from="the test",
        quant_type="Q8_0",
    )
    home = tmp_path / "home"
    (home / "tools").mkdir(parents=True)
    (home / "tools" / converter.folder.name).symlink_to(converter.folder)
    with HubServer(files, faults=["cut", "broken"]) as hub:
        environ = {**os.environ, **hub.environ}
        pulled = pull_model(home, card, environ=environ, say=print, on_progress=lambda *_told: None)
    model, provenance = pulled.model, pulled.provenance
    assert provenance is not None
    assert pulled.loss is not None
    assert 0 < pulled.loss.mean_kl < 0.1
    assert {file.path for file in provenance.inputs} >= {"model.safetensors", "config.json"}
    assert "evil.py" not in {file.path for file in provenance.inputs}
    assert (model.quant_type, model.source) == ("Q8_0", f"hf://office/model@{COMMIT}")
    path = find_chat_file(home, "tiny")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with HubServer(files) as hub:  # damaged since: the same command makes it anew
        environ = {**os.environ, **hub.environ}
        again = pull_model(home, card, environ=environ, say=print, on_progress=lambda *_told: None)
    assert again.model.files == model.files
    assert path.read_bytes() == whole
    assert (path.parent / "LICENSE").read_bytes() == b"Do what is right."
    assert not (home / "tmp" / "pull-tiny").exists()
    engine = EngineProcess(path, tmp_path, "--parallel", "1", "--ctx", "256")
    try:
        with engine.wait_until_ready().openai() as client:
            assert ask(client, "Hello", max_tokens=2).usage.completion_tokens >= 1
    finally:
        assert engine.stop() == 0
