"""The documents of an invented university research office: first run, tutorial and tests.

Knows where they lie, not what they say (QUESTIONS.toml does). The binary ones are written by
scripts/make-samples from sources/; every person, sum and programme in them is invented. Two texts
of our own in many languages, under prose/, are for measuring models: one to weigh what matters in
them, another, that must not be the same, to compare their predictions on.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "documents"
QUESTIONS = Path(__file__).parent / "QUESTIONS.toml"
PROSE = Path(__file__).parent / "prose"


def sample_paths() -> list[Path]:
    """The sample documents, sorted by name."""
    return sorted(path for path in FOLDER.iterdir() if path.is_file())


def read_text() -> str:
    """What a model reads while its importance matrix is computed: about 2,400 words."""
    notes = [path for path in sample_paths() if path.suffix in (".md", ".eml", ".csv")]
    parts = [PROSE / "read.txt", *notes]
    return "\n\n".join(path.read_text(encoding="utf-8") for path in parts)


def predicted_text() -> str:
    """What quantized models are compared on: about 500 words, none of which are in `read_text`."""
    return (PROSE / "predicted.txt").read_text(encoding="utf-8")
