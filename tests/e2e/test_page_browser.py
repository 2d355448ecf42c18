"""The page in a real Chromium: what a person does, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page_server import MAX_UPLOAD_MB, PASSWORD

pytestmark = pytest.mark.e2e

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
ROOT = Path(__file__).parents[2]
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_RUN_HISTORY": "False"}


class Server:
    """The page of tests/e2e/page_server.py on a port of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home, self._options = home, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        environ = {**os.environ, **QUIET, "GRADIO_TEMP_DIR": str(self.home / "gradio")}
        command = [sys.executable, "-m", "tests.e2e.page_server", str(self.home), str(self._port)]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], cwd=ROOT, env=environ, stdout=log, stderr=log
            )
        wait_for(lambda: answers(f"{self.address}/health"), 90)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)


@contextlib.contextmanager
def serving(home: Path, *options: str) -> Iterator[Server]:
    server = Server(home, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(address, home) of a kit on loopback."""
    with serving(tmp_path_factory.mktemp("page")) as started:
        yield started.address, started.home


@pytest.fixture
def open_page(server: tuple[str, Path], browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page; at the end no request went elsewhere and nothing was wrong in the console."""
    address, _ = server
    wrong: list[str] = []
    contexts = []

    def opened(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        context.on("request", lambda r: elsewhere(r.url))
        context.on("weberror", lambda e: wrong.append(f"script: {e.error}"))
        context.on(
            "console", lambda m: wrong.append(f"console: {m.text}") if m.type == "error" else None
        )
        page = context.new_page()
        page.goto(address + path)
        expect(page.locator("#thread .thread")).to_be_visible(timeout=30_000)
        return page

    def elsewhere(url: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            wrong.append(f"request: {url}")

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def library(server: tuple[str, Path]) -> None:
    """The travel policy and a guideline are in the library and ready."""
    address, _ = server
    for name in ("travel-policy-2025.pdf", "research-data-guideline.md"):
        upload(address, name, (resources.files("kit.samples") / "documents" / name).read_bytes())
    wait_for(lambda: fetch(f"{address}/api/v1/documents").count('"state":"indexed"') >= 2, 60)


def answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except (OSError, urllib.error.URLError):
        return False


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode()).replace(": ", ":")


def upload(address: str, name: str, data: bytes) -> None:
    body = (
        f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Origin": address}
    request = urllib.request.Request(f"{address}/api/v1/documents", body, headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert reply.status in (200, 201)


def wait_for(is_true: Callable[[], bool], max_s: float) -> None:
    """It is true. Fails after `max_s`."""
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < max_s, "waited too long"
        time.sleep(0.02)


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")


def ask_to_the_end(page: Page, question: str) -> None:
    ask(page, question)
    expect(page.locator("body.busy")).to_have_count(1)
    expect(page.locator("body.busy")).to_have_count(0, timeout=20_000)


def num_closed(home: Path) -> int:
    return len((home / "closed").read_text().splitlines()) if (home / "closed").exists() else 0


# Asking ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_a_question_gets_an_answer_with_evidence(open_page: Any) -> None:
    """Quotation with source, text with a citation, what is partly backed, what was left out."""
    page = open_page()
    expect(page.locator(".suggestions button").first).to_be_visible()
    ask(page, "What is the per diem?")
    expect(page.locator("#live .status")).to_be_visible()
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator("body.busy")).to_have_count(0, timeout=20_000)
    answer = page.locator(".turn.theirs")
    expect(answer.locator(".quotation .source")).to_have_text("travel-policy-2025.pdf")
    expect(answer.locator(".judged .badge")).to_have_text(["Supported", "Partly"])
    expect(answer.locator(".withheld summary")).to_contain_text("1 sentence")
    expect(answer.locator(".reasoning")).not_to_have_attribute("open", "")
    cite = answer.locator(".prose.copyable .cite").first
    assert (cite.get_attribute("href") or "").startswith("/passage?document=")
    assert cite.get_attribute("target") == "_blank"
    card = page.locator("#evidence .card")
    expect(card).to_have_count(1)
    wait_for(lambda: card.locator("img").evaluate("i => i.naturalWidth") > 100, 20)
    cite.hover()
    expect(card).to_have_class("card lit")
    # What the model wrote as HTML and Markdown stands there as letters.
    expect(answer.locator(".prose.copyable")).to_contain_text("<img src=https://evil.example/x>")
    expect(answer.locator(".prose.copyable img")).to_have_count(0)


@pytest.mark.usefixtures("library")
def test_a_new_question_is_scrolled_to(open_page: Any) -> None:
    """Whoever reads further up and asks sees what they asked, and what comes."""
    page = open_page(viewport={"width": 1440, "height": 500})
    for _ in range(2):
        ask_to_the_end(page, "What is the per diem?")
    page.locator("#talk").evaluate("talk => { talk.scrollTop = 0; }")
    expect(page.locator("#thread .turn").last).not_to_be_in_viewport()
    ask(page, "slow What is the per diem?")
    expect(page.locator("#live .mine")).to_be_in_viewport()
    page.get_by_role("button", name="Stop the answer").click()


@pytest.mark.usefixtures("library")
def test_a_citation_opens_its_passage(open_page: Any) -> None:
    """In a new tab: the exact span marked in the text, and on the picture of its page."""
    page = open_page()
    ask_to_the_end(page, "What is the per diem?")
    card = page.locator("#evidence .card")
    cited = card.locator("blockquote").text_content() or ""
    with page.context.expect_page() as opened:
        page.locator(".turn.theirs .prose.copyable .cite").first.click()
    viewer = opened.value
    expect(viewer.locator("body")).to_contain_text("travel-policy-2025.pdf")
    marked = viewer.locator("#passage").text_content() or ""
    assert "".join(marked.split()) == "".join(cited.split())
    said = card.locator(".card-head span").last.text_content() or ""
    place, span, dated = said.split(" · ")
    assert dated == "2025 by its name"
    expect(viewer.locator("body")).to_contain_text(dated)
    expect(viewer.locator(".card header h2")).to_have_text(place.capitalize())
    expect(viewer.locator(".card header .span")).to_have_text(span)
    picture = viewer.locator(".picture img")
    wait_for(lambda: picture.evaluate("i => i.naturalWidth") > 500, 20)
    assert picture.evaluate(NUM_MARKED) > 1000
    viewer.set_viewport_size(PHONE)
    viewer.get_by_role("link", name="See the page").click()
    expect(picture).to_be_in_viewport()


# Pixels of the page's picture that have the colour of the mark, and of a mark over white paper.
NUM_MARKED = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i] > 240 && data[i + 1] > 220 && data[i + 2] < 190) count += 1;
  return count;
}"""


@pytest.mark.usefixtures("library")
def test_a_citation_of_a_document_without_pages_opens_its_text(open_page: Any) -> None:
    """The span is marked where it stands; there is no picture, and no room kept for one."""
    page = open_page()
    ask_to_the_end(page, "Where is research data stored?")
    expect(page.locator("#evidence .card b").first).to_have_text("research-data-guideline.md")
    cited = page.locator("#evidence .card blockquote").first.text_content() or ""
    with page.context.expect_page() as opened:
        page.locator(".turn.theirs .prose.copyable .cite").first.click()
    marked = opened.value.locator("#passage").text_content() or ""
    assert "".join(marked.split()) == "".join(cited.split())
    expect(opened.value.locator(".picture, .to-picture")).to_have_count(0)


@pytest.mark.usefixtures("library")
def test_what_is_not_there_is_said_plainly(open_page: Any) -> None:
    """No answer is made up; the closest passages are offered, the panel when asked for."""
    page = open_page()
    ask_to_the_end(page, "absent: who is the king of the per diem?")
    expect(page.locator(".absent h3")).to_have_text("Not in your documents")
    expect(page.locator(".absent li").first).to_be_visible()
    expect(page.locator("#evidence")).to_be_hidden()
    page.get_by_role("button", name="Closest passages").click()
    expect(page.locator("#evidence .card").first).to_be_visible()


def test_a_failing_engine_is_told_in_plain_words(open_page: Any) -> None:
    """The reason stands where the answer would be, and the question can be tried again."""
    page = open_page()
    ask_to_the_end(page, "fail please")
    expect(page.get_by_role("alert").first).to_contain_text("The engine is restarting")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()


@pytest.mark.usefixtures("library")
def test_stop_frees_the_engine_at_once(open_page: Any, server: tuple[str, Path]) -> None:
    """The stream behind is closed though it had long to go; what was shown stays, marked so."""
    page, (_, home) = open_page(), server
    ask(page, "slow: what is the per diem?")
    expect(page.locator("#live .quotation")).to_be_visible(timeout=10_000)
    before = num_closed(home)
    page.get_by_role("button", name="Stop the answer").click()
    wait_for(lambda: num_closed(home) > before, 60)  # the script goes on for ten minutes
    expect(page.locator("#thread .turn.theirs")).to_contain_text("This answer was stopped")
    expect(page.locator("#thread .quotation")).to_be_visible()
    expect(page.locator("#question")).to_be_focused()


@pytest.mark.usefixtures("library")
def test_a_closed_tab_frees_the_engine(open_page: Any, server: tuple[str, Path]) -> None:
    """Nobody computes for a reader who has gone."""
    page, (_, home) = open_page(), server
    ask(page, "slow: what is the per diem?")
    expect(page.locator("#live .quotation")).to_be_visible(timeout=10_000)
    before = num_closed(home)
    page.close()
    wait_for(lambda: num_closed(home) > before, 60)


@pytest.mark.usefixtures("library")
def test_nobody_waits_for_anothers_answer(open_page: Any) -> None:
    """While one answer hangs, another person's whole answer arrives."""
    first, second = open_page(), open_page()
    ask(first, "slow: what is the per diem?")
    expect(first.locator("#live .quotation")).to_be_visible(timeout=10_000)
    ask_to_the_end(second, "What is the per diem?")
    expect(second.locator("#thread .turn.theirs .prose.copyable")).to_be_visible()
    expect(first.locator("body.busy")).to_have_count(1)


@pytest.mark.usefixtures("library")
def test_leaving_an_answer_asks_first(open_page: Any, server: tuple[str, Path]) -> None:
    """A new chat while an answer is written asks, then stops it."""
    page, (_, home) = open_page(), server
    ask(page, "slow: what is the per diem?")
    expect(page.locator("#live .quotation")).to_be_visible(timeout=10_000)
    before = num_closed(home)
    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name="Cancel").click()
    assert num_closed(home) == before
    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name="Leave").click()
    wait_for(lambda: num_closed(home) > before, 5)
    expect(page.locator(".welcome")).to_be_visible()


# Conversations ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_conversations_stay_and_are_mine_to_order(open_page: Any) -> None:
    """Rename, find, reload, open, judge, edit and delete, each kept in our database."""
    page = open_page()
    ask_to_the_end(page, "What is the per diem for Kenya?")
    row = page.locator("#conversations li[aria-current]")
    row.hover()
    row.locator("[data-do=rename-chat]").click()
    page.fill("#dialog-input", "Kenya <b>trip</b>")
    page.keyboard.press("Enter")
    expect(row.locator(".chat")).to_have_text("Kenya <b>trip</b>")

    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator("#thread .turn.theirs .prose.copyable")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")

    page.locator(".turn.mine").hover()
    page.get_by_role("button", name="Edit this question").click()
    expect(page.locator(".editing")).to_be_visible()
    page.fill("#question", "What is the per diem for Ghana?")
    page.keyboard.press("Enter")
    expect(page.locator("#thread .bubble")).to_have_text("What is the per diem for Ghana?")
    expect(page.locator("body.busy")).to_have_count(0, timeout=20_000)

    page.get_by_role("button", name="Answer again").click()
    expect(page.locator("body.busy")).to_have_count(1)
    expect(page.locator("body.busy")).to_have_count(0, timeout=20_000)
    expect(page.locator("#thread .turn.mine")).to_have_count(1)

    page.fill("#find-chats", "no such words anywhere")
    expect(page.locator("#conversations")).to_contain_text("No conversation has these words")
    page.fill("#find-chats", "Ghana")
    expect(page.locator("#conversations .chat")).to_have_text("Kenya <b>trip</b>")

    page.get_by_role("button", name="New chat").first.click()
    expect(page.locator(".welcome")).to_be_visible()
    page.locator("#conversations .chat").first.click()
    expect(page.locator("#thread .bubble")).to_have_text("What is the per diem for Ghana?")
    row.hover()
    row.locator("[data-do=delete-chat]").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".welcome")).to_be_visible()
    expect(page.locator("#conversations .chat")).to_have_count(0)


@pytest.mark.usefixtures("library")
def test_an_answer_is_copied_as_text(open_page: Any) -> None:
    """Copy gives the words with [n] for each citation."""
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask_to_the_end(page, "What is the per diem?")
    page.get_by_role("button", name="Copy this answer").click()
    expect(page.locator(".tool.done")).to_have_count(1)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "The documents say so." in copied
    assert "[1]" in copied
    assert "Everybody knows it" not in copied


# One document ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_one_document_is_asked_until_its_chip_is_taken_away(open_page: Any) -> None:
    """From the list of documents into a chat about one; a reload keeps it; × asks all again."""
    page = open_page()
    chip, source = page.locator("#composer .asking"), page.locator("#thread .quotation .source")
    expect(chip).to_be_hidden()
    page.get_by_role("button", name="Documents", exact=True).click()
    page.get_by_role("button", name="Ask this document: research-data-guideline.md").click()
    expect(chip).to_contain_text("Asking research-data-guideline.md")
    expect(page.locator("#scope")).to_be_hidden()
    expect(page.locator(".welcome")).to_contain_text("Only research-data-guideline.md is asked")
    expect(page.locator("#question")).to_be_focused()
    page.reload()  # a chat that has not begun yet
    expect(chip).to_contain_text("research-data-guideline.md", timeout=20_000)

    ask_to_the_end(page, "What is the per diem?")
    expect(source).to_have_text("research-data-guideline.md")
    page.reload()
    expect(chip).to_contain_text("research-data-guideline.md", timeout=20_000)
    page.get_by_role("button", name="New chat").first.click()
    expect(chip).to_be_hidden()
    expect(page.locator("#scope")).to_be_visible()
    page.locator("#conversations .chat").first.click()
    expect(chip).to_be_visible()

    chip.get_by_role("button", name="Ask all documents again").focus()
    page.keyboard.press("Enter")
    expect(chip).to_be_hidden()
    expect(page.locator("#scope")).to_be_visible()
    ask_to_the_end(page, "What is the per diem?")
    expect(source.last).to_have_text("travel-policy-2025.pdf")
    page.reload()
    expect(page.locator("#thread .quotation")).to_have_count(2, timeout=20_000)
    expect(chip).to_be_hidden()


def test_a_document_that_was_removed_is_missed(open_page: Any, server: tuple[str, Path]) -> None:
    """The chat about it says so instead of asking the others."""
    address, _ = server
    upload(address, "jetty.md", b"# Jetty\n\nThe jetty opens at nine in the per diem season.\n")
    page = open_page()
    page.get_by_role("button", name="Documents", exact=True).click()
    row = page.locator("#table tr", has_text="jetty.md")
    expect(row.locator(".pill")).to_have_text("Ready", timeout=60_000)
    row.get_by_role("button", name="Ask this document").click()
    ask_to_the_end(page, "What is the per diem?")
    page.get_by_role("button", name="Documents", exact=True).click()
    row.get_by_role("button", name="Remove").click()
    page.locator("#dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    page.locator("#conversations .chat").first.click()
    expect(page.locator("#composer .asking")).to_be_visible()
    expect(page.locator("#composer .asking")).to_contain_text("not here any more")
    ask(page, "And now?")
    expect(page.locator("#toast .failure")).to_contain_text("There is no document")
    expect(page.locator("#question")).to_have_value("And now?")


@pytest.mark.usefixtures("library")
def test_the_passage_viewer_leads_to_its_document(open_page: Any, server: tuple[str, Path]) -> None:
    """From a passage into a chat about the document that it is in."""
    page = open_page()
    ask_to_the_end(page, "What is the per diem?")
    href = page.locator("#thread .quotation .source").get_attribute("href")
    page.goto(server[0] + str(href))
    page.get_by_role("link", name="Ask this document").click()
    expect(page.locator("#composer .asking")).to_contain_text("travel-policy-2025.pdf")


@pytest.mark.usefixtures("library")
def test_on_a_phone_the_chip_stays_inside(open_page: Any) -> None:
    """A long name is cut, and everything of the composer is on the screen, in both looks."""
    for scheme in ("light", "dark"):
        page = open_page(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
        page.get_by_role("button", name="Open the menu").click()
        page.locator("nav [data-view=documents]").click()
        page.get_by_role("button", name="Ask this document: research-data").click()
        expect(page.locator("#composer .asking")).to_be_visible()
        page.evaluate("document.querySelector('.asking bdi').textContent = 'long '.repeat(40)")
        box, chip, send = (
            page.locator(s).bounding_box()
            for s in ("#composer", "#composer .asking", "#composer .send:visible")
        )
        assert box["x"] <= chip["x"]
        assert chip["x"] + chip["width"] <= send["x"]
        assert box["y"] <= chip["y"]
        assert chip["y"] + chip["height"] <= box["y"] + box["height"]
        assert page.evaluate(CONTRAST) == []


# Documents and search --------------------------------------------------------------------------


def test_documents_are_loaded_watched_and_removed(
    open_page: Any, server: tuple[str, Path], tmp_path: Path
) -> None:
    """Several files at once, each with its state and reason; nothing stays in Gradio's cache."""
    page, (_, home) = open_page(), server
    good, empty = tmp_path / "Émile & Zoë <b>.md", tmp_path / "empty.txt"
    good.write_text("# Kelp\n\nThe kelp survey begins on 3 February 2027 in Hout Bay.\n" * 3)
    empty.write_text("")
    page.get_by_role("button", name="Documents", exact=True).click()
    for path in (good, empty):  # the second time Gradio works on a copy of the widget
        page.set_input_files("#drop input[type=file]", path)
        expect(page.locator("#uploaded li")).to_contain_text(path.name[:5], timeout=20_000)
    page.set_input_files("#drop input[type=file]", [good, empty])
    expect(page.locator("#uploaded li")).to_have_count(2, timeout=20_000)
    row = page.locator("#table tr", has_text="Émile & Zoë")
    expect(row.locator(".pill")).to_have_text("Ready", timeout=60_000)
    expect(page.locator("#table tr", has_text="empty.txt").locator(".reason")).to_be_visible(
        timeout=60_000
    )
    assert [p for p in (home / "gradio").rglob("*") if p.is_file()] == []

    page.fill("#filter-documents", "zoë")
    expect(page.locator("#table tbody tr:visible")).to_have_count(1)
    row.get_by_role("button", name="Remove").click()
    page.locator("#dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    page.fill("#filter-documents", "")
    page.locator("#table tr", has_text="empty.txt").get_by_role("button", name="Remove").click()
    page.locator("#dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("#table tr", has_text="empty.txt")).to_have_count(0)


DROP_TWO = """(zone, size) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["The quay is closed in May 2027."], "quay.txt"));
  dataTransfer.items.add(new File([new Uint8Array(size)], "large.bin"));
  zone.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
}"""


def test_a_file_that_is_too_large_holds_up_no_other(open_page: Any, tmp_path: Path) -> None:
    """It is named with the limit, the others are loaded, and the drop zone stays of use."""
    page = open_page()
    for name in ("tides.md", "harbour.md"):
        (tmp_path / name).write_text(f"# {name}\n\nThe {name} of 2027.\n")
    num_bytes = (MAX_UPLOAD_MB << 20) + 1
    large = tmp_path / "large <b>.txt"
    large.write_bytes(b"x" * num_bytes)
    page.get_by_role("button", name="Documents", exact=True).click()
    drop, refused = page.locator("#drop input[type=file]"), page.locator("#too-large li")
    drop.set_input_files([tmp_path / "tides.md", large])
    stored = page.locator("#uploaded li")
    expect(stored).to_contain_text("tides.md is stored", timeout=20_000)
    expect(refused).to_contain_text("large <b>.txt is larger than 1 MB")
    page.locator("#drop button").first.evaluate(DROP_TWO, num_bytes)
    expect(stored).to_contain_text("quay.txt is stored", timeout=20_000)
    expect(refused).to_contain_text("large.bin is larger than 1 MB")
    drop.set_input_files([large])
    expect(refused).to_contain_text("large <b>.txt")
    expect(page.get_by_text("Error", exact=True)).to_have_count(0)
    drop.set_input_files(tmp_path / "harbour.md")
    expect(stored).to_contain_text("harbour.md is stored", timeout=20_000)
    expect(refused).to_have_count(0)
    page.route("**/gradio_api/upload?*", lambda route: route.fulfill(body="cut off"))
    drop.set_input_files(tmp_path / "tides.md")
    expect(page.locator(".toast-body.error")).to_be_visible(timeout=20_000)
    assert page.locator("#drop .error:visible").count() == 0
    page.unroute("**/gradio_api/upload?*")
    (tmp_path / "pier.md").write_text("# Pier\n\nThe pier opens in 2028.\n")
    drop.set_input_files(tmp_path / "pier.md")
    expect(stored).to_contain_text("pier.md is stored", timeout=20_000)


DROP_ONE = """(place, name) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([`The ${name} of 2029.`], name));
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer });
    if (place.dispatchEvent(event)) throw Error(`the browser would follow the ${kind}`);
  }
}"""


def test_a_file_dropped_beside_its_place_is_no_way_off_the_page(open_page: Any) -> None:
    """In the chat it leads to the documents; there it is taken in wherever it falls."""
    page = open_page()
    page.locator("#talk").evaluate(DROP_ONE, "mole.txt")
    expect(page.locator("#view-documents")).to_be_visible()
    page.locator("#documents-head").evaluate(DROP_ONE, "mole.txt")
    expect(page.locator("#uploaded li")).to_contain_text("mole.txt is stored", timeout=20_000)
    expect(page.locator("#drop.over")).to_have_count(0)


@pytest.mark.usefixtures("library")
def test_search_finds_passages_without_a_model(open_page: Any) -> None:
    """Ranked hits with the words marked, each linked to its passage."""
    page = open_page()
    page.get_by_role("button", name="Search").first.click()
    expect(page.locator("#search-words")).to_be_focused()
    page.keyboard.type("per diem")
    page.keyboard.press("Enter")
    expect(page.locator(".hits li").first.locator("mark").first).to_be_visible()
    assert (page.locator(".hit-title").first.get_attribute("href") or "").startswith("/passage?")
    page.fill("#search-words", "zxqv")
    page.keyboard.press("Enter")
    expect(page.locator("#hits")).to_contain_text("Nothing found")


# Phone, keyboard, look -------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_on_a_phone_the_menu_folds_and_nothing_overflows(open_page: Any) -> None:
    """One column; the list of chats in a drawer; evidence under the answer; no sideways scroll."""
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    expect(page.locator("#side")).not_to_be_in_viewport()
    ask_to_the_end(page, "What is the per diem?")
    answer, evidence = page.locator(".turn.theirs").bounding_box(), page.locator("#evidence")
    expect(evidence).to_be_visible()
    below = evidence.bounding_box()
    assert answer is not None
    assert below is not None
    assert below["y"] > answer["y"]
    page.get_by_role("button", name="Open the menu").click()
    expect(page.locator("#side")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator("#side")).not_to_be_in_viewport()
    for view in ("documents", "search"):
        page.get_by_role("button", name="Open the menu").click()
        page.locator(f"nav [data-view={view}]").click()
        expect(page.locator(f"#view-{view}")).to_be_visible()
        page.wait_for_timeout(300)
        wide = page.evaluate(
            "[...document.querySelectorAll('#main *')].filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().right > innerWidth + 1"
            " && !e.closest('.unseen')).map(e => e.outerHTML.slice(0, 90))"
        )
        assert wide == []
        if view == "documents":
            where = page.locator("#table .where", has_text="Everyone here · library").first
            assert where.bounding_box()["height"] < 30  # one line


# Pixels that a choice has beyond what its text needs.
SPARE_WIDTH = """select => {
  const style = getComputedStyle(select), pen = document.createElement("canvas").getContext("2d");
  pen.font = style.font;
  const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
  return select.clientWidth - padding - pen.measureText(select.selectedOptions[0].text).width;
}"""


@pytest.mark.usefixtures("library")
def test_on_a_phone_the_composer_holds_together(open_page: Any) -> None:
    """However little is above it, the composer stands at the bottom with its choice of documents
    inside.
    """
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    expect(page.locator("#scope .scope")).to_be_visible()
    choice, modes = page.locator("#scope .scope select"), page.locator(".mode select")
    assert choice.evaluate(SPARE_WIDTH) >= 0  # what is chosen can be read
    assert choice.bounding_box()["x"] + choice.bounding_box()["width"] <= modes.bounding_box()["x"]
    for _ in ("a new chat", "a short answer with its evidence"):
        box, scope = (page.locator(s).bounding_box() for s in ("#composer", "#scope .scope"))
        assert box["y"] <= scope["y"]
        assert scope["y"] + scope["height"] <= box["y"] + box["height"]
        assert PHONE["height"] - 24 <= box["y"] + box["height"] <= PHONE["height"]
        ask_to_the_end(page, "What is the per diem?")


@pytest.mark.usefixtures("library")
def test_the_page_works_by_keyboard_alone(open_page: Any) -> None:
    """Shift-Enter makes a line, Enter sends, Tab reaches every control, and the focus is seen."""
    page = open_page()
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("What is")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("the per diem?")
    assert page.input_value("#question") == "What is\nthe per diem?"
    page.keyboard.press("Enter")
    expect(page.locator("body.busy")).to_have_count(0, timeout=20_000)
    expect(page.locator("#thread .bubble")).to_have_text("What is\nthe per diem?")
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        label = page.evaluate(
            "(e => e.getAttribute('aria-label') || e.textContent.trim() || e.id)"
            "(document.activeElement)"
        )
        reached.add(label)
        if label == "Documents":
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
    assert {
        "Chat",
        "Documents",
        "Search",
        "New chat",
        "Search my chats",
        "Your question",
    } <= reached
    assert {"Copy this answer", "Answer again", "Good answer", "Bad answer"} <= reached
    assert any(label.startswith("Source 1: travel-policy-2025.pdf") for label in reached)


def test_every_control_has_a_name(open_page: Any) -> None:
    """A screen reader has words for each button, field and image."""
    page = open_page()
    page.get_by_role("button", name="Documents", exact=True).click()
    expect(page.locator("#view-documents h1")).to_be_visible()
    nameless = page.evaluate(
        "[...document.querySelectorAll('#app :is(button, a, input, select, textarea)')]"
        ".filter(e => e.checkVisibility() && !(e.getAttribute('aria-label')"
        " || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.labels?.length))"
        ".map(e => e.outerHTML.slice(0, 120))"
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("library")
def test_text_has_enough_contrast(open_page: Any, scheme: str) -> None:
    """Every visible text has at least 4.5 to 1 against its ground, in both looks."""
    page = open_page(color_scheme=scheme)
    ask_to_the_end(page, "What is the per diem?")
    assert page.evaluate(CONTRAST) == []
    for view in ("documents", "search"):
        page.locator(f"nav [data-view={view}]").click()
        page.wait_for_timeout(500)
        assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > .5) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll('#app *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (e.closest('.unseen, [disabled]')) continue;
    const style = getComputedStyle(e);
    if (style.fontSize === '0px') continue;
    const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const words = e.textContent.trim().slice(0, 40);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.className} ${words}`);
  }
  return bad;
}"""


def test_the_look_follows_the_system_until_chosen(open_page: Any) -> None:
    """System first; a choice is remembered by this browser alone."""
    page = open_page(color_scheme="dark")
    expect(page.locator("body.dark")).to_have_count(1)
    page.get_by_role("button", name="Look: as the system").click()
    expect(page.locator("body.dark")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Look: light")).to_be_visible(timeout=20_000)
    expect(page.locator("body.dark")).to_have_count(0)


# What can go wrong -----------------------------------------------------------------------------


def test_the_page_survives_a_restart(browser: Browser, tmp_path: Path) -> None:
    """A server killed in mid-answer: the page comes back by itself and nothing is lost."""
    with serving(tmp_path) as server, browser.new_context(viewport=DESKTOP) as context:
        upload(server.address, "note.md", b"# Travel\n\nThe per diem in Kenya is R 900 a day.\n")
        wait_for(lambda: '"state":"indexed"' in fetch(f"{server.address}/api/v1/documents"), 60)
        page = context.new_page()
        page.goto(server.address)
        expect(page.locator(".welcome")).to_be_visible(timeout=30_000)
        ask(page, "slow: what is the per diem in Kenya?")
        expect(page.locator("#live .quotation")).to_be_visible(timeout=10_000)
        server.kill()
        page.fill("#question", "and what about Ghana?")
        page.wait_for_timeout(3_000)
        server.start()
        stopped = page.locator("#thread .turn.theirs")
        expect(stopped).to_contain_text("This answer was stopped", timeout=30_000)
        expect(stopped.locator(".quotation")).to_be_visible()
        expect(page.locator("#question")).to_have_value("and what about Ghana?")


def test_a_person_who_signs_in_has_what_is_theirs(browser: Browser, tmp_path: Path) -> None:
    """Staff add for themselves alone, see who reads what they add, share it and take it back; an
    ended session says so."""
    with serving(tmp_path, "people") as server, browser.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        sign_in(page, server.address, "ana")
        page.locator("nav [data-view=documents]").click()
        expect(page.locator("#who")).to_contain_text("My documents (only you)")
        (tmp_path / "mine.md").write_text("# Mine\n\nThe secret sum is R 17.\n")
        page.set_input_files("#drop input[type=file]", tmp_path / "mine.md")
        expect(page.locator("#table tr", has_text="mine.md")).to_contain_text("Only you")

        page.locator("#sharing summary").click()
        page.fill("form.new-collection input", "Plans")
        page.get_by_role("button", name="Make a collection").click()
        expect(page.locator("#who")).to_contain_text("Plans (only you)")
        plans = page.locator("#sharing > * li", has=page.locator("bdi", has_text="Plans"))
        plans.locator("select[name=to]").select_option("person:boss")
        plans.get_by_role("button", name="Share").click()
        expect(page.locator("#who")).to_contain_text("Plans (you, boss)")
        page.locator("#who label", has_text="Plans").click()
        (tmp_path / "ours.md").write_text("# Ours\n\nThe common sum is R 18.\n")
        page.set_input_files("#drop input[type=file]", tmp_path / "ours.md")
        expect(page.locator("#table tr", has_text="ours.md")).to_contain_text("Shared with some")
        page.screenshot(path=tmp_path / "sharing.png", full_page=True)

        with browser.new_context(viewport=DESKTOP) as other:
            theirs = other.new_page()
            sign_in(theirs, server.address, "boss")
            theirs.locator("nav [data-view=documents]").click()
            expect(theirs.locator("#table")).to_contain_text("ours.md")
            expect(theirs.locator("#table")).not_to_contain_text("mine.md")
            expect(theirs.locator("#who")).to_contain_text("library (everyone here)")

            theirs.locator("nav [data-view=chat]").click()
            ask_to_the_end(theirs, "What is the common sum?")
            expect(theirs.locator(".turn.theirs").last).to_contain_text("R 18")

            plans.locator("[data-do=unshare]").click()
            page.locator("#dialog button.primary").click()
            expect(page.locator("#who")).to_contain_text("Plans (only you)")
            theirs.reload()
            expect(theirs.locator(".turn.theirs").last).to_contain_text(
                "no longer available to you"
            )
            expect(theirs.locator("body")).not_to_contain_text("R 18")
            theirs.screenshot(path=tmp_path / "closed.png", full_page=True)
            theirs.locator("nav [data-view=documents]").click()
            expect(theirs.locator("#table")).to_contain_text("No documents yet")
            theirs.locator("#sharing summary").click()
            expect(theirs.locator("#sharing")).to_contain_text("but do not read it")
            theirs.screenshot(path=tmp_path / "admin.png", full_page=True)
        context.clear_cookies()
        page.locator("nav [data-view=chat]").click()
        page.wait_for_url("**/sign-in*")


def test_a_document_is_moved_to_other_readers(browser: Browser, tmp_path: Path) -> None:
    """By the button of its row and the keyboard; who reads only the old collection finds it no
    more, in search, in the list and in an old answer, and who moved it still does."""
    with serving(tmp_path, "people") as server, browser.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        sign_in(page, server.address, "ana")
        page.locator("nav [data-view=documents]").click()
        page.locator("#sharing summary").click()
        for name in ("Open", "Closed"):
            page.fill("form.new-collection input", name)
            page.get_by_role("button", name="Make a collection").click()
            expect(page.locator("#who")).to_contain_text(f"{name} (only you)")
        shelf = page.locator("#sharing > * li", has=page.locator("bdi", has_text="Open"))
        shelf.locator("select[name=to]").select_option("person:boss")
        shelf.get_by_role("button", name="Share").click()
        page.locator("#who label", has_text="Open (you, boss)").click()
        (tmp_path / "birds.md").write_text("# Birds\n\nThe heron nests in May.\n")
        page.set_input_files("#drop input[type=file]", tmp_path / "birds.md")
        row = page.locator("#table tr", has_text="birds.md")
        expect(row).to_contain_text("Ready", timeout=20_000)

        with browser.new_context(viewport=DESKTOP) as other:
            theirs = other.new_page()
            sign_in(theirs, server.address, "boss")
            ask_to_the_end(theirs, "When does the heron nest?")
            expect(theirs.locator(".turn.theirs").last).to_contain_text("nests in May")

            row.locator("[data-do=move]").click()
            choice = page.locator("#dialog-choice")
            expect(choice).to_be_focused()
            places = choice.locator("option").all_text_contents()
            assert places == ["My documents (only you)", "Closed (only you)"]
            page.screenshot(path=tmp_path / "move.png")
            choice.select_option(label="Closed (only you)")
            page.locator("#dialog button.primary").click()
            expect(page.locator("#uploaded")).to_contain_text("was moved to Closed")
            expect(row).to_contain_text("Only you")

            theirs.reload()
            expect(theirs.locator(".turn.theirs").last).to_contain_text("no longer available")
            expect(theirs.locator("body")).not_to_contain_text("nests in May")
            theirs.locator("nav [data-view=documents]").click()
            expect(theirs.locator("#table")).to_contain_text("No documents yet")
            theirs.locator("nav [data-view=search]").click()
            theirs.fill("#search-words", "heron")
            theirs.keyboard.press("Enter")
            expect(theirs.locator("#hits")).to_contain_text("Nothing found")
        page.locator("nav [data-view=search]").click()
        page.fill("#search-words", "heron")
        page.keyboard.press("Enter")
        expect(page.locator("#hits")).to_contain_text("birds.md")


def sign_in(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.fill("input[name=name]", name)
    page.fill("input[type=password]", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".welcome")).to_be_visible(timeout=30_000)
