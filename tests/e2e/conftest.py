"""Fixtures that need the real models: the starter models, as scripts/up fetches them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.config import default_home


def _model_folder(name: str) -> Path:
    models = Path(os.environ.get("KIT_TEST_HOME") or default_home(os.environ)) / "models"
    return models / name


@pytest.fixture(scope="session")
def chat_model() -> Path:
    """The starter model's GGUF file, as it arrives (Q4_1)."""
    found = sorted(_model_folder("smollm2-135m").glob("*.Q4_1.gguf"))
    if not found:
        pytest.fail("the starter models are missing; run scripts/test, which fetches them")
    return found[0]


@pytest.fixture(scope="session")
def embedding_model() -> Path:
    """The folder of the starter embedding model."""
    folder = _model_folder("all-minilm-l6-v2")
    if not (folder / "model.safetensors").is_file():
        pytest.fail("the starter models are missing; run scripts/test, which fetches them")
    return folder
