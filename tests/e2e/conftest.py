"""The real thing: starter models as scripts/up fetches them, a running kit, a headless Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.config import default_home
from tests.e2e.drive import (
    CHROMIUM,
    CHROMIUM_FLAGS,
    RunningKit,
    alone,
    link_models,
    start_kit,
    wait_until_warm,
)

if TYPE_CHECKING:
    import openai
    from playwright.sync_api import Browser

    from tests.e2e.engine_process import EngineProcess

# As an administrator may: kits that tests start then do not measure how threads best wait.
os.environ.update({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"})

# What takes minutes comes first, longest first, so that no worker is left with it at the end.
LONG = (
    *("air_gap", "model_passport", "story", "one_document", "engine_quantize", "access"),
    *("library_vectors", "page_browser", "silence", "prove_offline", "engine_odd_input"),
    *("change_embedding_model", "bad_input", "sample_answers", "scans", "kill_loops"),
)


@pytest.hookimpl(trylast=True)  # the order within a file stays random
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}.py": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def starter_models() -> Path:
    """The folder of installed models that scripts/test prepared."""
    home = Path(os.environ.get("KIT_TEST_HOME") or default_home(os.environ))
    if not (home / "models" / "all-minilm-l6-v2" / "model.safetensors").is_file():
        pytest.fail("the starter models are missing; run scripts/test, which fetches them")
    return home / "models"


@pytest.fixture(scope="session")
def chat_model(starter_models: Path) -> Path:
    """The starter model's GGUF file, as it arrives (Q4_1)."""
    return next((starter_models / "smollm2-135m").glob("*.Q4_1.gguf"))


@pytest.fixture(scope="session")
def embedding_model(starter_models: Path) -> Path:
    """The folder of the starter embedding model."""
    return starter_models / "all-minilm-l6-v2"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is made once in a run lies here, whichever worker makes it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def quick_model(chat_model: Path, shared_folder: Path) -> Path:
    """The same in Q4_0, for tests that have it read much: that takes a third of the time."""
    from kit.engine.quantize import quantize

    made = shared_folder / "SmolLM2-135M-Instruct.Q4_0.gguf"
    with alone(shared_folder / "quick.lock"):
        return made if made.is_file() else quantize(chat_model, made, "Q4_0", home=shared_folder)


@pytest.fixture(scope="session")
def kit(
    tmp_path_factory: pytest.TempPathFactory, starter_models: Path, shared_folder: Path
) -> Iterator[RunningKit]:
    """One kit, with the starter models and the sample documents, for all tests that only use it.

    The first one is a first run; those of other workers find its models.
    """
    home, ready = tmp_path_factory.mktemp("kit") / "home", shared_folder / "ready"
    with alone(shared_folder / "ready.lock"):
        is_first = not ready.is_dir()
        link_models(starter_models if is_first else ready / "models", home)
        if is_first:
            running = start_kit(home)
            link_models(home / "models", ready)
    if not is_first:
        running = start_kit(home)
    wait_until_warm(running)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def ready_models(request: pytest.FixtureRequest, shared_folder: Path) -> Path:
    """Models that a first run has already re-quantized, for tests that start a kit of their own."""
    ready = shared_folder / "ready"
    with alone(shared_folder / "ready.lock"):
        is_made = ready.is_dir()
    if not is_made:
        request.getfixturevalue("kit")
    return ready / "models"


@pytest.fixture(scope="module")  # while it is open, no test can run an event loop of its own
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[openai.OpenAI]:
    """The official client of the engine that the module started."""
    with engine.openai() as opened:
        yield opened
