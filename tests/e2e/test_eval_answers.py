"""`kit eval answers` with the real models: questions about files of their own, asked in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.drive import link_models, run_kit

pytestmark = pytest.mark.e2e

FILES = {
    "leave.md": "# Leave\n\nStaff have twenty days of annual leave. The form is HR-7.",
    "travel.md": "# Travel\n\nThe daily allowance in South Africa is R585.\n\n"
    "The daily allowance in Europe is USD 110.",
}
LINES = [
    {"question": "What is the daily allowance in South Africa?", "expected": "R585"}
    | {"document": "travel.md"},
    {"question": "And in Europe?", "follow_up": True, "expected": [["USD 110", "$110"]]},
    {"question": "Who won the rugby match in Paris?", "unanswerable": True},
]


def test_own_questions_are_measured(ready_models: Path, tmp_path: Path) -> None:
    """Read, asked with a follow-up, judged and reported; nothing of it stays in the library."""
    home, data = tmp_path / "home", tmp_path / "office"
    link_models(ready_models, home)
    (data / "documents").mkdir(parents=True)
    for name, text in FILES.items():
        (data / "documents" / name).write_text(text)
    (data / "questions.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    done = run_kit(home, "eval", "answers", str(data), "--json")
    assert done.code == 0, done.err
    found = done.json()
    figures = found["figures"]
    assert (figures["right"], figures["right_document"]) == (1.0, 1.0), found
    assert (figures["false_refusals"], figures["false_answers"]) == (0.0, 0.0)
    assert 0 < figures["ttft_median_s"] <= figures["total_median_s"]
    report = json.loads((Path(found["folder"]) / "answers.json").read_text())
    assert [judged["outcome"] for judged in report["judged"]] == ["right", "right", "left"]
    wrote = [j["num_supported"] + j["num_partly"] + j["num_unsupported"] for j in report["judged"]]
    assert wrote[2] == 0, "the model was asked what the documents do not say"
    assert (Path(found["folder"]) / "outcomes.svg").is_file()
    assert not (home / "kit.db").exists()
    again = run_kit(home, "eval", "answers", str(data), "--no-plots", "--without-model", "--json")
    assert (again.code, again.json()["worse"]) == (0, [])
