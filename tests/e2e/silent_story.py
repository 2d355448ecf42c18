"""The whole story inside a network namespace without a route; run by test_silence.py.

    unshare -rn python -m tests.e2e.silent_story HOME FOLDER [--leak]

Starts the kit under strace, drives it with Chromium (upload, ask, open the citation), stops it and
prints one JSON document: every outside host the browser asked for, and how the story went.
The server's attempts are in FOLDER/trace.*; the test reads them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, sync_playwright

from kit.ops.prove.stage import raise_loopback, strace
from tests.e2e.drive import (
    CHROMIUM,
    CHROMIUM_FLAGS,
    RunningKit,
    run_kit,
    start_kit,
    wait_until_warm,
)

# Planted leaks, to know that the test can see one. sitecustomize runs in every Python process.
LEAKS = """
import ctypes, socket, struct, threading
def leak():
    try:
        socket.getaddrinfo("leak.invalid", 80)  # a name look-up, swallowed as libraries do
    except OSError:
        pass
    libc = ctypes.CDLL(None)  # a native connect, past Python's socket module
    handle = libc.socket(2, 2, 0)
    address = struct.pack("=H", 2) + struct.pack("!H", 443) + bytes([203, 0, 113, 9]) + bytes(8)
    libc.connect(handle, address, 16)
threading.Thread(target=leak, daemon=True).start()
"""


def main() -> None:
    home, folder = Path(sys.argv[1]), Path(sys.argv[2])
    raise_loopback()
    if "--leak" in sys.argv:
        (folder / "sitecustomize.py").write_text(LEAKS)
        os.environ["PYTHONPATH"] = str(folder)
    kit = start_kit(home, wrapper=strace(folder / "trace"), timeout_s=300)
    try:
        wait_until_warm(kit, 300)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            outside = use_the_page(browser, kit, folder, with_leak="--leak" in sys.argv)
            browser.close()
        answer = run_kit(home, "ask", "What is the daily allowance for travel in 2025?", "--json")
        print(json.dumps({"browser": outside, "answer": json.loads(answer.out)}))
    finally:
        os.kill(kit.instance.pid, signal.SIGTERM)  # strace itself does not pass a signal on
        kit.process.wait(timeout=60)


def use_the_page(browser: Browser, kit: RunningKit, folder: Path, *, with_leak: bool) -> list[str]:
    """Open every page a person opens; returns the outside URLs the browser asked for."""
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(kit.url + "/")
    page.wait_for_selector("#question", timeout=60_000)
    page.click("[data-view=documents]")
    (folder / "parking.md").write_text("# Parking\n\nVisitors park behind the library from May.\n")
    page.set_input_files("#drop input[type=file]", folder / "parking.md")
    page.wait_for_selector("#table tr:has-text('parking.md') .pill:has-text('Ready')")
    page.click("[data-view=chat]")
    page.fill("#question", "Where do visitors park?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.theirs .quotation", timeout=120_000)
    page.wait_for_selector("body:not(.busy)", timeout=120_000)
    page.wait_for_load_state("networkidle")
    listed = json.loads(kit.get("/api/v1/documents")[1])["documents"]
    pdf = next(d for d in listed if d["name"].endswith(".pdf"))
    for path in (
        f"/passage?document={pdf['id']}&start=0&end=80",
        f"/api/v1/documents/{pdf['id']}/text",
    ):
        page.goto(kit.url + path)
    if with_leak:
        page.goto("data:text/html,<img src='http://203.0.113.9/leak.png'>")
        page.wait_for_timeout(500)
    page.close()
    inside = urlparse(kit.url).hostname
    return [url for url in asked if urlparse(url).scheme in ("http", "https", "ws", "wss")
            and urlparse(url).hostname != inside]  # fmt: skip


if __name__ == "__main__":
    main()
