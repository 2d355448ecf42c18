"""The documents of an invented university research office: first run, tutorial and tests.

Knows where they lie, not what they say (QUESTIONS.toml does). The binary ones are written by
scripts/make-samples from sources/; every person, sum and programme in them is invented.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "documents"
QUESTIONS = Path(__file__).parent / "QUESTIONS.toml"


def sample_paths() -> list[Path]:
    """The sample documents, sorted by name."""
    return sorted(path for path in FOLDER.iterdir() if path.is_file())
