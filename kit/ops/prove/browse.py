"""A page opened in a headless Chromium, and every outside address that it asked for.

Knows Chromium's command line. Its own log of requests tells what pages want; strace what it tried.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kit.ops.prove.stage import Stage
from kit.ops.prove.trace import Trace, is_inside

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
_URL = re.compile(r'"url":"([^"]+)"')


@dataclass(frozen=True)
class Seen:
    """What came of it. `dom` is the page as it stood at the end."""

    dom: str
    urls: tuple[str, ...]
    trace: Trace


def find_browser(named: str = "") -> str:
    """The path of a Chromium; '' if there is none."""
    found = (shutil.which(name) for name in ([named] if named else NAMES))
    return next((path for path in found if path), "")


def open_page(stage: Stage, browser: str, url: str, folder: Path) -> Seen:
    """The page was loaded with its scripts. Raises: subprocess.TimeoutExpired."""
    log, profile = folder / "net-log.json", folder / "profile"
    log.unlink(missing_ok=True)
    command = [browser, *_FLAGS, f"--user-data-dir={profile}", f"--log-net-log={log}"]
    _, dom, _, trace = stage.run([*command, "--dump-dom", url], timeout_s=OPEN_S)
    shutil.rmtree(profile, ignore_errors=True)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return Seen(dom, outside_urls(text), trace)


def outside_urls(net_log: str) -> tuple[str, ...]:
    """Addresses of other machines in a log of requests, each once."""
    found: dict[str, None] = {}
    for quoted in _URL.findall(net_log):
        url = json.loads(f'"{quoted}"')
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_asked = parts.scheme in ("http", "https", "ws", "wss")
        if is_asked and host != "localhost" and not is_inside(host):
            found[url] = None
    return tuple(found)
