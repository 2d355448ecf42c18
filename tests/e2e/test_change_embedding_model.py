"""A real kit changes its embedding model while it serves; then its index is damaged while it runs.

The second model is a tiny one, made here: random weights, 256 dimensions.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.cli.remote import RemoteKit
from kit.database import Database
from kit.files import sha256_file
from kit.supply.catalog import ModelFile
from kit.supply.store import InstalledModel, write_record
from tests.e2e.drive import RunningKit, link_models, start_kit, wait_until
from tests.e2e.tiny_hub_models import write_encoder

pytestmark = pytest.mark.e2e
OLD, NEW = "all-minilm-l6-v2", "tiny-256"
NO_ENGINE = '[engine]\nurl = "http://127.0.0.1:9/v1"\n'  # nothing here asks a question


def install_tiny(home: Path) -> None:
    """A second embedding model, as `kit model pull` leaves one."""
    folder = home / "models" / NEW
    folder.mkdir()
    write_encoder(home / "models" / OLD, folder)
    pooling = folder / "1_Pooling" / "config.json"
    pooling.unlink()  # a link to the starter model's
    shape = {"word_embedding_dimension": 256, "pooling_mode_mean_tokens": True}
    pooling.write_text(json.dumps(shape))
    files = tuple(
        ModelFile(path.relative_to(folder).as_posix(), sha256_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    write_record(home, InstalledModel(NEW, "embedding", "made here", "Apache-2.0", files))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, starter_models: Path) -> Iterator[Path]:
    """A home with both models and the sample documents."""
    folder = tmp_path_factory.mktemp("change") / "home"
    link_models(starter_models, folder)
    install_tiny(folder)
    (folder / "kit.toml").write_text(NO_ENGINE)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def status(kit: RunningKit) -> dict:
    return json.loads(kit.get("/api/v1/status")[1])


def is_settled(kit: RunningKit) -> bool:
    """Everything is read, the index is open, nothing changes."""
    found = status(kit)
    busy = sum(found["documents"].get(s, 0) for s in ("queued", "parsing", "embedding"))
    parts = (found["worker"], found["index"], found["index_state"])
    return parts == ("ready",) * 3 and not busy and not found["embedding_change"]


def models_of(home: Path) -> dict[str, int]:
    database = Database(home / "kit.db")
    try:
        return dict(database.rows("SELECT model, count(*) FROM vectors GROUP BY model"))
    finally:
        database.close()


def search(kit: RunningKit) -> tuple[int, list[str]]:
    """(hits, notices) of a question that shares no word with its answer."""
    remote = RemoteKit(kit.url, kit.instance.token)
    try:
        found = remote.search("how much money for food abroad", top_k=3, collection=None)
    finally:
        remote.close()
    return len(found.hits), list(found.notices)


def test_the_model_changes_while_the_kit_serves(home: Path) -> None:
    """The old model's vectors are searched until the new one has read everything; after kills of
    the worker on the way, every passage has the new vector once, and the old ones are gone. Then
    the index is damaged under the running page: it is built again without a single embedding."""
    kit = start_kit(home)
    wait_until(lambda: is_settled(kit), 240, "a settled kit")
    num_chunks = models_of(home)[OLD]
    assert search(kit)[1] == []
    kit.stop()

    (home / "kit.toml").write_text(f'{NO_ENGINE}[library]\nembedding_model = "{NEW}"\n')
    kit = start_kit(home)
    try:
        wait_until(lambda: status(kit)["worker"] == "ready", 240, "the worker")
        assert search(kit) == (3, [])  # by the one model or the other, and never by words alone
        os.kill(kit.child_pid("kit.library.worker"), signal.SIGKILL)
        wait_until(lambda: models_of(home) == {NEW: num_chunks}, 240, "the change")
        wait_until(lambda: is_settled(kit), 120, "a settled kit")
        assert status(kit)["embedding_model"] == NEW
        assert search(kit) == (3, [])
        assert [path.name for path in (home / "index").iterdir()] == [NEW]
        damage_and_come_back(kit)
    finally:
        kit.stop()


def damage_and_come_back(kit: RunningKit) -> None:
    """The worker is stopped, Chroma's database becomes rubbish and the page is killed: the page is
    back, search answers, and the index is whole, although nobody can embed anything."""
    (path,) = (kit.home / "index").glob("*/chroma/chroma.sqlite3")
    worker = kit.child_pid("kit.library.worker")
    os.kill(worker, signal.SIGSTOP)
    os.kill(kit.child_pid("kit.web.server"), signal.SIGKILL)
    path.write_bytes(os.urandom(path.stat().st_size))

    def is_back() -> bool:
        try:
            return status(kit)["index_state"] == "ready"
        except (OSError, ValueError, AssertionError):
            return False

    wait_until(is_back, 120, "the index")
    assert "building the dense index" in (kit.home / "logs" / "web.log").read_text()
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: status(kit)["worker"] == "ready", 60, "the worker")
    assert search(kit) == (3, [])
