"""`kit eval retrieval` on the real embedding model: figures by words, by meanings and by both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.drive import link_models, run_kit

pytestmark = pytest.mark.e2e

TEXTS = {
    "leave": "Staff have twenty days of annual leave. It is asked for three weeks before.",
    "travel": "A private vehicle is refunded at R4.84 per kilometre.",
    "parking": "Visitors park behind the library from May.",
    "keys": "The spare key of the archive hangs behind the clock in room 214.",
    "ethics": "Research with people needs the consent of the ethics committee.",
}
QUESTIONS = {
    "How many vacation days does an employee get?": "leave",
    "refund per kilometre private vehicle": "travel",
    "Where can guests leave their car?": "parking",
    "spare key archive": "keys",
}


def test_both_halves_are_measured(ready_models: Path, tmp_path: Path) -> None:
    """Words find what is said in words, meanings what is said otherwise; both find all of it."""
    home, data = tmp_path / "home", tmp_path / "office"
    link_models(ready_models, home)
    (data / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in TEXTS.items()]
    (data / "corpus.jsonl").write_text("\n".join(corpus))
    queries = [json.dumps({"_id": f"q{n}", "text": text}) for n, text in enumerate(QUESTIONS)]
    (data / "queries.jsonl").write_text("\n".join(queries))
    rows = [f"q{n}\t{name}\t1" for n, name in enumerate(QUESTIONS.values())]
    (data / "qrels" / "test.tsv").write_text("\n".join(rows))
    done = run_kit(home, "eval", "retrieval", str(data), "--json")
    assert done.code == 0, done.err
    found = done.json()
    assert found["hybrid"]["num_queries"] == 4
    assert found["hybrid"]["recall@100"] == 1.0
    assert found["hybrid"]["ndcg@10"] >= max(found["lexical"]["ndcg@10"], 0.9)
    assert found["dense"]["mrr@10"] >= 0.8
    assert set(found["gains"]) == {"hybrid - lexical", "hybrid - dense"}
    assert (Path(found["folder"]) / "report.md").read_text().startswith("# Retrieval on office")
    assert "<svg" in (Path(found["folder"]) / "retrieval.svg").read_text()
    assert not (home / "kit.db").exists()
