"""kit eval serving with the real engine: a quick run from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.drive import run_kit

pytestmark = pytest.mark.e2e


def test_quick_run_measures_the_real_engine(chat_model: Path, tmp_path: Path) -> None:
    """Load a: every token is counted, by the engine as by the client, and the report is there."""
    arguments = ["--quick", "--loads", "a", "--threads", "1", "--rounds", "1"]
    where = ["--model", str(chat_model), "--output", str(tmp_path / "reports")]
    result = run_kit(tmp_path / "home", "eval", "serving", *arguments, *where, "--json")
    assert result.code == 0, result.err
    found = result.json()
    figures = {row["figure"]: row["kit"]["median"] for row in found["figures"]}
    assert figures["answered_tokens"] == 48  # two questions, 24 tokens each
    assert figures["computed_tokens"] + figures["reused_tokens"] == figures["asked_tokens"] > 300
    assert figures["tok_per_s"] > 0
    assert figures["ttft_median_s"] > 0
    assert [run["failure"] for run in found["runs"]] == [""]
    assert "cpu_variant" in found["runs"][0]["server_says"]
    folder = Path(found["folder"])
    assert {"report.md", "results.json", "first-token-1.svg"} <= {p.name for p in folder.iterdir()}
    assert len(json.loads((folder / "results.json").read_text())["runs"][0]["replies"]) == 2
