"""The story the kit is for: sign in, load a document, ask, follow the citation, restart, go on."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.drive import (
    RunningKit,
    link_models,
    run_kit,
    start_kit,
    wait_until,
    wait_until_warm,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.e2e
PASSWORD = "two patient grey geese"
QUESTION = "When may the old greenhouse be used for experiments?"
RULE = "The old greenhouse may be used for experiments from 3 May to 28 August."


def handbook(path: Path) -> Path:
    """A PDF of three pages; the rule stands on the second."""
    from reportlab.pdfgen.canvas import Canvas

    pages = [
        ["Garden Handbook", "The garden belongs to the Department of Botany."],
        ["Rules for buildings", RULE, "Keys are kept at the gate."],
        ["Contacts", "The gardener is on site from seven to four."],
    ]
    canvas = Canvas(str(path))
    for lines in pages:
        for number, line in enumerate(lines):
            canvas.drawString(72, 760 - 24 * number, line)
        canvas.showPage()
    canvas.save()
    return path


@pytest.fixture
def office(ready_models: Path, tmp_path: Path) -> Iterator[RunningKit]:
    """A kit on all addresses, with the account of maria."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    added = run_kit(home, "user", "add", "maria", "--password-stdin", stdin=PASSWORD + "\n")
    assert added.code == 0, added.err
    running = start_kit(home, "--no-samples", "--host", "0.0.0.0")
    yield running
    if running.process.poll() is None:
        running.stop()


def sign_in(page: Page, url: str) -> None:
    page.goto(url + "/")
    assert "/sign-in" in page.url
    page.get_by_label("Name").fill("maria")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#question", timeout=60_000)


def local_url(kit: RunningKit) -> str:
    return f"http://127.0.0.1:{kit.url.rsplit(':', 1)[1]}"


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_selector("body.busy")
    page.wait_for_selector("body:not(.busy)", timeout=120_000)


def test_the_whole_story(office: RunningKit, browser: Browser, tmp_path: Path) -> None:
    """Sign in, load, ask, open the citation on its page, restart: the answer is still there."""
    wait_until_warm(office)
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, local_url(office))

    page.click("[data-view=documents]")
    page.set_input_files("#drop input[type=file]", handbook(tmp_path / "handbook.pdf"))
    page.wait_for_selector(
        "#table tr:has-text('handbook.pdf') .pill:has-text('Ready')", timeout=60_000
    )
    page.click("[data-view=chat]")
    ask(page, QUESTION)

    quotation = page.locator(".turn.theirs .quotation")
    assert RULE in quotation.inner_text()
    assert "handbook.pdf" in quotation.inner_text()
    assert "page 2" in quotation.inner_text()
    with context.expect_page() as opened:
        page.locator(".quotation a.cite, .quotation .source a, .quotation a").first.click()
    viewer = opened.value
    viewer.wait_for_load_state()
    assert RULE in viewer.locator("mark").first.inner_text()
    assert "page 2" in viewer.content().lower()
    picture = viewer.locator("img").first
    wait_until(lambda: picture.evaluate("i => i.complete && i.naturalWidth > 100"), 30)
    viewer.close()

    home, port = office.home, office.url.rsplit(":", 1)[1]
    assert office.stop() == 0
    again = start_kit(home, "--no-samples", "--host", "0.0.0.0", "--port", port)
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("#question", timeout=60_000)  # the session survived
        page.locator("#conversations .chat").first.click()
        page.wait_for_selector(".turn.theirs .quotation", timeout=30_000)
        assert RULE in page.locator(".turn.theirs .quotation").inner_text()
    finally:
        context.close()
        assert again.stop() == 0


def test_page_survives_a_killed_engine(kit: RunningKit, browser: Browser) -> None:
    """The engine dies under a question: the quotation still comes, and the engine comes back."""
    page = browser.new_page()
    page.goto(kit.url + "/")
    page.wait_for_selector("#question", timeout=60_000)
    killed = kit.child_pid("kit.engine.server")
    os.kill(killed, signal.SIGKILL)
    ask(page, "When is a private booking refunded?")
    assert "portal was not available" in page.locator(".turn.theirs .quotation").last.inner_text()
    wait_until(lambda: kit.health()["engine"] == "ready", 60, "the engine's return")
    assert kit.child_pid("kit.engine.server") != killed
    ask(page, "Within which time must an adverse event be reported?")
    assert "48 hours" in page.locator(".turn.theirs .quotation").last.inner_text()
    page.close()


@pytest.mark.parametrize("word", ["kit.web.server", "kit.library.worker"])
def test_every_process_comes_back(kit: RunningKit, word: str) -> None:
    """A killed web or worker process is restarted by the supervisor."""
    killed = kit.child_pid(word)
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return kit.child_pid(word) != killed and kit.health()["status"] == "ok"
        except (LookupError, OSError):
            return False

    wait_until(is_back, 60, word)
    wait_until_warm(kit)


def test_worker_killed_while_reading(ready_models: Path, tmp_path: Path) -> None:
    """Killed again and again while documents are read, and while it starts: each is indexed in the
    end, once."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(24):
        text = f"# Paper {number}\n\n" + f"Finding {number} is about plot {number}. " * 200
        (folder / f"paper-{number}.md").write_text(text)
    kit = start_kit(home, "--no-samples")
    try:
        adding = threading.Thread(
            target=run_kit, args=(home, "docs", "add", str(folder)), daemon=True
        )
        adding.start()
        num_indexed = 0
        for num_kills in (2, 1, 1):  # the second one hits the next worker while it starts
            num_indexed = _more_indexed(kit, num_indexed)
            assert num_indexed < 24, "nothing was left to be read when it was killed"
            for _ in range(num_kills):
                _kill(kit, "kit.library.worker")
        adding.join(timeout=240)
        wait_until_warm(kit, 240)
        listed = run_kit(home, "docs", "list", "--json").json()["documents"]
        assert sorted(d["name"].split("/")[-1] for d in listed) == sorted(
            path.name for path in folder.iterdir()
        )
        assert {d["state"] for d in listed} == {"indexed"}
        assert len({d["num_chunks"] for d in listed}) <= 2  # "plot 10" is longer than "plot 9"
    finally:
        kit.stop()


def _more_indexed(kit: RunningKit, num_before: int) -> int:
    """How many documents are read, once these are more than before."""

    def num_indexed() -> int:
        documents = json.loads(kit.get("/api/v1/documents")[1])["documents"]
        return sum(document["state"] == "indexed" for document in documents)

    wait_until(lambda: num_indexed() > num_before, 240, "the next document")
    return num_indexed()


def _kill(kit: RunningKit, word: str) -> None:
    """That process is gone, and another one has taken its place."""
    killed = kit.child_pid(word)
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return kit.child_pid(word) != killed
        except LookupError:
            return False

    wait_until(is_back, 60, word)
