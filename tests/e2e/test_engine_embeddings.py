"""Vectors of texts, by the real starter embedding model as a GGUF file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest

from kit.engine.server import run
from tests.e2e.bert_gguf import write_bert_gguf
from tests.e2e.engine_process import EngineProcess
from tests.e2e.test_engine_odd_input import body, check

pytestmark = pytest.mark.e2e

TEXTS = [
    "The grant was approved on Monday.",
    "On Monday the funding was agreed to.",
    "A cat sleeps in the sun.",
]


@pytest.fixture(scope="module")
def engine(
    embedding_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("embeddings")
    write_bert_gguf(embedding_model, folder / "minilm.gguf")
    running = EngineProcess(folder / "minilm.gguf", folder)
    try:
        yield running.wait_until_ready()
    finally:
        assert running.stop() == 0


def test_vectors_mean_what_the_texts_mean(client: openai.OpenAI) -> None:
    """Unit vectors; alike texts are near; the first numbers are sentence-transformers' own."""
    answer = client.embeddings.create(model="any", input=TEXTS)  # base64, the client's default
    vectors = np.array([entry.embedding for entry in answer.data])
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    scores = vectors @ vectors.T
    assert scores[0, 1] > 0.5 > scores[0, 2] + 0.3
    # encode("The grant was approved on Monday.") with sentence-transformers 6.2.0
    reference = [-0.01536688, 0.0370264, 0.04393309, -0.00839324, -0.02080433]
    assert vectors[0, :5] == pytest.approx(reference, abs=5e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 28


def test_a_batch_changes_no_vector(client: openai.OpenAI) -> None:
    """Forty texts of all lengths give the vectors that each gives alone, in order."""
    texts = [f"{n} " + "word " * (n * 7 % 200) for n in range(40)]
    together = client.embeddings.create(model="any", input=texts, encoding_format="float").data
    assert [entry.index for entry in together] == list(range(40))
    for at in (0, 7, 23, 39):
        (alone,) = client.embeddings.create(model="any", input=texts[at]).data
        assert np.array(alone.embedding) @ np.array(together[at].embedding) > 0.9999


def test_tokens_are_as_good_as_texts(engine: EngineProcess, client: openai.OpenAI) -> None:
    """Tokens with those at the ends give the text's vector."""
    tokens = engine.http.post("/tokenize", json={"content": TEXTS[0]}).json()["tokens"]
    (by_tokens,) = client.embeddings.create(model="any", input=[101, *tokens, 102]).data
    (by_text,) = client.embeddings.create(model="any", input=TEXTS[0]).data
    assert by_tokens.embedding == pytest.approx(by_text.embedding, abs=1e-5)


def test_what_cannot_be_embedded_is_refused(client: openai.OpenAI) -> None:
    """Too long, of another dimension or out of the vocabulary: 400 with the numbers."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="any", input=["a", "word " * 600])
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
    assert "input[1] has 602 or more tokens, the model reads 512" in refused.value.message
    with pytest.raises(openai.BadRequestError, match="384 expected, 100 observed"):
        client.embeddings.create(model="any", input="a", dimensions=100)
    assert client.embeddings.create(model="any", input="a", dimensions=384).data
    with pytest.raises(openai.BadRequestError, match="tokens from 0 to 30521"):
        client.embeddings.create(model="any", input=[30522])


def test_odd_requests_do_no_harm(engine: EngineProcess, client: openai.OpenAI) -> None:
    """Each gets its vectors or an OpenAI error, and the model still embeds."""
    rng, route = random.Random(1), "/v1/embeddings"
    headers = {"content-type": "application/json"}
    for _ in range(200):
        sent = body(rng, route)
        check(route, sent, engine.http.post(route, content=sent, headers=headers))
    assert client.embeddings.create(model="any", input="a").data


def test_an_embedding_model_writes_no_text(engine: EngineProcess, client: openai.OpenAI) -> None:
    """Chat and completions say what this model is; its facts say how it pools."""
    for path in ("/v1/chat/completions", "/v1/completions"):
        body = {"messages": [{"role": "user", "content": "a"}], "prompt": "a"}
        answer = engine.http.post(path, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "model_not_supported")
        assert "/v1/embeddings" in error["message"]
    (model,) = client.models.list().data
    meta = model.model_dump()["meta"]
    assert (meta["pooling"], meta["n_embd"], meta["n_ctx"]) == ("mean", 384, 512)
    before = engine.metric("requests_finished_total")
    assert client.embeddings.create(model="any", input="a").data
    assert engine.metric("requests_finished_total") == before + 1


def test_a_chat_model_does_not_embed(chat_model: Path, tmp_path: Path) -> None:
    """The other way round it is said as well."""
    running = EngineProcess(chat_model, tmp_path, "--ctx", "256", "--parallel", "1")
    try:
        running.wait_until_ready()
        with (
            running.openai() as client,
            pytest.raises(openai.BadRequestError, match="does not embed"),
        ):
            client.embeddings.create(model="any", input="a")
    finally:
        running.stop()


def test_a_model_without_pooling_is_refused(
    embedding_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that makes no vector of a text ends with words and the code of a model's fault."""
    write_bert_gguf(embedding_model, tmp_path / "a.gguf", pooling_type=0)
    flags = ["--model", str(tmp_path / "a.gguf"), "--port", "0", "--home", str(tmp_path)]
    assert run(flags) == 11
    assert "does not say how to make one vector of a text" in capsys.readouterr().err
