"""The API of the reading: states, pages, progress, pause, stop, retry and followed folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.library.documents import DocumentRecord
from kit.library.folders import Folders
from kit.library.store import Library
from kit.web.services import Services
from tests.web.conftest import Browser

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(shared: Services, home: Path) -> Library:
    """The real library, with no worker: what is added waits."""
    shared.library = Library(home, shared.database)
    return shared.library


@pytest.fixture
def mine(library: Library, shared: Services) -> DocumentRecord:
    """A private document of ana's, waiting."""
    [(ana,)] = shared.database.rows("SELECT id FROM users WHERE name = 'ana'")
    return library.add(
        io.BytesIO(b"text"), "mine.md", added_by=ana, collection="Mine", is_private=True
    )


async def boss_of(open_browser: Callable[[], Browser]) -> Browser:
    browser = open_browser()
    await browser.sign_in("boss")
    return browser


async def test_states_and_pages(ana: Browser, mine: DocumentRecord) -> None:
    """Documents can be listed by state; one document comes with its pages."""
    for state, count in (("queued", 1), ("busy", 1), ("failed", 0), ("indexed", 0)):
        answer = await ana.get(f"/api/v1/documents?state={state}")
        assert len(answer.json()["documents"]) == count
    assert (await ana.get("/api/v1/documents?state=lost")).status_code == 400
    shown = (await ana.get(f"/api/v1/documents/{mine.id}")).json()
    assert shown["pages"] == []
    assert {"duplicate_of", "superseded_by", "archive_id", "related"} <= set(shown["document"])


async def test_stop_and_retry_are_for_ones_own(
    ana: Browser, ben: Browser, mine: DocumentRecord
) -> None:
    """Another's private document cannot be stopped: it does not exist."""
    path = f"/api/v1/documents/{mine.id}/stop"
    assert (await ben.post(path)).status_code == 404
    assert (await ana.post(path)).json() == {"stopped": mine.id}
    assert (await ben.post("/api/v1/reading/retry")).json() == {"retried": []}
    assert (await ana.post("/api/v1/reading/retry")).json() == {"retried": [mine.id]}
    progress = (await ana.get("/api/v1/reading")).json()["reading"]
    assert (progress["num_waiting"], progress["num_done"], progress["now"]) == (1, 0, [])
    assert (await ben.get("/api/v1/reading")).json()["reading"]["num_waiting"] == 0


async def test_pausing_is_for_administrators(
    ana: Browser, library: Library, open_browser: Callable[[], Browser], shared: Services
) -> None:
    """Staff see that it is paused; the administrator pauses and resumes, and both are recorded."""
    assert (await ana.post("/api/v1/reading/pause")).status_code == 403
    boss = await boss_of(open_browser)
    assert (await boss.post("/api/v1/reading/pause")).json() == {"is_paused": True}
    assert (await ana.get("/api/v1/reading")).json()["reading"]["is_paused"] is True
    assert (await boss.post("/api/v1/reading/resume")).json() == {"is_paused": False}
    actions = [row[0] for row in shared.database.rows("SELECT action FROM audit")]
    assert actions[-2:] == ["reading.pause", "reading.resume"]


async def test_folders_are_the_administrators(
    ana: Browser, library: Library, open_browser: Callable[[], Browser], shared: Services
) -> None:
    """Paths of this machine are told to administrators alone, who may ask for a look."""
    folders = Folders(shared.database)
    folder = folders.remember(Path("/srv/office"), collection="library", added_by="local")
    folders.note_scan(folder, {}, None)
    assert (await ana.get("/api/v1/folders")).status_code == 403
    boss = await boss_of(open_browser)
    [listed] = (await boss.get("/api/v1/folders")).json()["folders"]
    assert (listed["path"], listed["num_files"]) == ("/srv/office", 0)
    assert (await boss.post(f"/api/v1/folders/{folder.id}/sync")).status_code == 200
    assert folders.due(0) == [folders.find("office")]
    assert (await boss.post("/api/v1/folders/99/sync")).status_code == 404
