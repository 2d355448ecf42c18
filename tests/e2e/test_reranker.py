"""A cross-encoder through the real code path: installed, measured, served by the worker, checked.

Its weights are random: what is shown is that it is read and decides the order, not that it is good.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from kit.errors import EmbedError, ModelError
from kit.library.index.rerank import LocalReranker, WorkerReranker
from kit.ops.ports import claim_port
from kit.supply.catalog import ModelFile
from kit.supply.runnable import find_reranker_folder
from kit.supply.store import InstalledModel, write_record
from tests.e2e.drive import link_models, run_kit
from tests.e2e.tiny_hub_models import write_reranker

pytestmark = pytest.mark.e2e

NAME = "tiny-reranker"
PASSAGES = [f"Rule {n}: a form is signed by {n} people before day {n * 3}." for n in range(1, 13)]


@pytest.fixture(scope="module")
def home(
    ready_models: Path, embedding_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home with the starter models and the reranker."""
    home = tmp_path_factory.mktemp("reranking") / "home"
    link_models(ready_models, home)
    install(embedding_model, home)
    return home


def install(embedding_model: Path, home: Path) -> None:
    folder = home / "models" / NAME
    write_reranker(embedding_model, folder)
    files = tuple(
        ModelFile(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in sorted(folder.iterdir())
    )
    write_record(home, InstalledModel(NAME, "reranker", "folder", "Apache-2.0", files))


def test_an_installed_reranker_is_measured(home: Path, tmp_path: Path) -> None:
    """`kit eval retrieval` has a fourth row, in an order of its own, without being asked."""
    data = tmp_path / "rules"
    (data / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(PASSAGES)]
    (data / "corpus.jsonl").write_text("\n".join(corpus))
    queries = [json.dumps({"_id": f"q{n}", "text": text}) for n, text in enumerate(PASSAGES)]
    (data / "queries.jsonl").write_text("\n".join(queries))
    rows = "\n".join(f"q{n}\td{n}\t1" for n in range(len(PASSAGES)))
    (data / "qrels" / "test.tsv").write_text(rows)
    found = run_kit(home, "eval", "retrieval", str(data), "--json").json()
    assert found["conditions"]["reranker"] == f"{NAME}, 2 s"
    assert found["reranked"]["recall@100"] == found["hybrid"]["recall@100"] == 1.0
    assert found["reranked"]["ndcg@10"] < found["hybrid"]["ndcg@10"]  # random weights decide


def test_the_worker_serves_it(home: Path, embedding_model: Path, tmp_path: Path) -> None:
    """Scores over loopback are the model's own; when the worker is gone that is said."""
    folder = find_reranker_folder(home, "")
    assert folder is not None
    expected = LocalReranker(folder).scores("who signs", PASSAGES, budget_s=30)
    assert len(expected) == len(PASSAGES)
    port = claim_port("127.0.0.1", 0)
    command = [sys.executable, "-m", "kit.library.worker", "--home", str(tmp_path)]
    command += ["--port", str(port), "--model-dir", str(embedding_model)]
    client = WorkerReranker(f"http://127.0.0.1:{port}")
    with subprocess.Popen([*command, "--reranker-dir", str(folder)]) as worker:
        try:
            _wait_for_reranker(port)
            got = client.scores("who signs", PASSAGES, budget_s=30)
        finally:
            worker.terminate()
    assert got == pytest.approx(expected, abs=1e-4)
    with pytest.raises(EmbedError, match="loading"):
        client.scores("who signs", PASSAGES, budget_s=1)


def test_time_bounds_it(home: Path) -> None:
    """With hardly any time the first passages alone are read, and none is invented."""
    folder = find_reranker_folder(home, NAME)
    assert folder is not None
    assert len(LocalReranker(folder).scores("who", PASSAGES, budget_s=1e-6)) == 4


def test_what_is_no_cross_encoder_is_refused(embedding_model: Path) -> None:
    """An embedding model would load, with a last layer of random numbers."""
    with pytest.raises(EmbedError, match="not a cross-encoder"):
        LocalReranker(embedding_model)


def test_its_questions_are_asked(embedding_model: Path, tmp_path: Path) -> None:
    """`kit model check` asks it: random weights make numbers but no sense; refused."""
    install(embedding_model, tmp_path)
    checked = run_kit(tmp_path, "model", "check", NAME, "--json")
    assert checked.code == ModelError.exit_code, checked.err
    (problem,) = checked.json()["error"]["problems"]
    assert problem["where"] == "questions of sense"  # finite, distinct and batch passed
    with pytest.raises(ModelError, match="broken"):
        find_reranker_folder(tmp_path, "")


def _wait_for_reranker(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").json()["reranker"] == NAME:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the worker has no reranker")
