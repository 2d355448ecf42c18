"""The sample documents: every format, readable, and what the questions expect stands there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kit.library.documents import ParsedDocument
from kit.library.parsers import parse
from kit.samples import QUESTIONS, sample_paths

ENTRIES = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
KINDS = {
    "fact",
    "date",
    "sum",
    "rule",
    "table",
    "contradiction",
    "multi-document",
    "follow-up",
    "no_answer",
}


@pytest.fixture(scope="module")
def parsed() -> dict[str, ParsedDocument]:
    return {path.name: parse(path, path.name) for path in sample_paths()}


def test_every_format_is_there() -> None:
    """The samples hold each format that the kit reads and an office uses."""
    endings = {path.suffix for path in sample_paths()}
    assert endings >= {".pdf", ".docx", ".pptx", ".xlsx", ".csv", ".html", ".md", ".eml"}


def test_samples_are_read_without_a_remark(parsed: dict[str, ParsedDocument]) -> None:
    """Every sample gives text, and nothing about it needs to be excused."""
    for name, document in parsed.items():
        assert len(document.text) > 500, name
        assert document.notes == (), name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["question"])
def test_expected_facts_stand_in_the_document(
    entry: dict[str, object], parsed: dict[str, ParsedDocument]
) -> None:
    """What an answer must contain stands in the named document, on the named page."""
    assert entry["kind"] in KINDS
    if entry["kind"] == "no_answer":
        assert "document" not in entry
        return
    document = parsed[str(entry["document"])]
    text = document.text
    if "page" in entry:
        text = "".join(
            text[section.start : section.end]
            for section in document.sections
            if section.page == entry["page"]
        )
    for wanted in entry["must_contain"]:  # type: ignore[attr-defined]
        assert " ".join(str(wanted).split()) in " ".join(text.split())


def test_questions_are_plenty_and_different() -> None:
    """Sixty answerable ones or more, twenty or more that nothing answers, none twice."""
    unanswerable = [entry for entry in ENTRIES if entry["kind"] == "no_answer"]
    assert len(ENTRIES) - len(unanswerable) >= 60
    assert len(unanswerable) >= 20
    assert len({entry["question"] for entry in ENTRIES}) == len(ENTRIES)


def test_the_committed_files_are_what_their_sources_make(tmp_path: Path) -> None:
    """scripts/make-samples writes the same bytes again."""
    script = Path(__file__).parents[2] / "scripts" / "make-samples"
    command = [sys.executable, str(script), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made = sorted(tmp_path.iterdir())
    assert len(made) >= 10
    committed = {path.name: path for path in sample_paths()}
    for path in made:
        assert path.read_bytes() == committed[path.name].read_bytes(), path.name
