"""A page opened in a headless Chromium, and every outside address that it asked for.

Knows Chromium's command line. Its own log of requests tells who asked: a page, or the browser for
itself, which calls its maker whatever page is open and is no part of the kit.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kit.ops.prove.stage import Stage
from kit.ops.prove.trace import is_inside

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPEN_S = 120.0
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-domain-reliability", "--metrics-recording-only"),
    # It looks for proxies and certificates by itself, which is not the page's doing.
    *(
        "--no-proxy-server",
        "--disable-features=OptimizationHints,MediaRouter,CertificateTransparency",
    ),
    *("--virtual-time-budget=20000", "--timeout=60000"),
)
_REQUEST = re.compile(r'"initiator":"(?P<initiator>[^"]*)".*?"url":"(?P<url>[^"]+)"')
_BROWSER_ITSELF = "not an origin"


@dataclass(frozen=True)
class Seen:
    """What came of it. `dom` is the page as it stood at the end."""

    dom: str
    urls: tuple[str, ...]
    """Outside addresses that the page asked for."""
    own_urls: tuple[str, ...]
    """Those that the browser asked for by itself."""


def find_browser(named: str = "") -> str:
    """The path of a Chromium; '' if there is none."""
    found = (shutil.which(name) for name in ([named] if named else NAMES))
    return next((path for path in found if path), "")


def open_page(stage: Stage, browser: str, url: str, folder: Path) -> Seen:
    """The page was loaded with its scripts. Raises: subprocess.TimeoutExpired."""
    log, profile = folder / "net-log.json", folder / "profile"
    log.unlink(missing_ok=True)
    command = [browser, *_FLAGS, f"--user-data-dir={profile}", f"--log-net-log={log}"]
    _, dom, _, _ = stage.run([*command, "--dump-dom", url], timeout_s=OPEN_S)
    shutil.rmtree(profile, ignore_errors=True)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return Seen(dom, *outside_urls(text))


def outside_urls(net_log: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those of pages, those of the browser itself): addresses of other machines, each once."""
    of_pages: dict[str, None] = {}
    of_browser: dict[str, None] = {}
    for request in _REQUEST.finditer(net_log):
        url = json.loads(f'"{request["url"]}"')
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_asked = parts.scheme in ("http", "https", "ws", "wss")
        if is_asked and host != "localhost" and not is_inside(host):
            own = request["initiator"] == _BROWSER_ITSELF
            (of_browser if own else of_pages)[url] = None
    return tuple(of_pages), tuple(of_browser)
