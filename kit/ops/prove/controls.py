"""Leaks that are planted to know that they would be seen: without them silence proves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kit.ops.prove.report import Control
from kit.ops.prove.stage import Stage
from kit.ops.prove.trace import DNS_PORT, Trace

OUTSIDE = "203.0.113.9"  # set aside for documentation, RFC 5737: nobody is there
_LEAKS = {
    "a name looked up in Python": """
import socket
try: socket.getaddrinfo("leak.invalid", 80)
except OSError: pass
""",
    "a page fetched in Python": f"""
import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
try: opener.open("http://{OUTSIDE}/", timeout=2)
except OSError: pass
""",
    "a connection by native code": f"""
import ctypes, socket, struct
libc = ctypes.CDLL(None)
handle = libc.socket(2, 2, 0)
address = struct.pack("=H", 2) + struct.pack("!H", 443) + socket.inet_aton("{OUTSIDE}") + bytes(8)
libc.connect(handle, address, 16)
""",
}
LEAKY_PAGE = f"<html><body>leak<img src='http://{OUTSIDE}/leak.png'></body></html>"


def plant_in_python(stage: Stage) -> list[Control]:
    """Each leak of a program, run and looked for."""
    found: list[Control] = []
    for name, code in _LEAKS.items():
        _, _, said, trace = stage.run([sys.executable, "-I", "-c", code], timeout_s=60)
        found.append(Control(name, is_seen(trace), said.strip()[-200:]))
    return found


def is_seen(trace: Trace) -> bool:
    """Whether a planted leak left its mark."""
    return any(one.address == OUTSIDE or one.port == DNS_PORT for one in trace.attempts)


def plant_in_page(stage: Stage, browser: str, folder: Path) -> Control:
    """A page with a picture from elsewhere, opened in the browser."""
    from kit.ops.prove.browse import open_page

    page = folder / "leak.html"
    page.write_text(LEAKY_PAGE, encoding="utf-8")
    name = "a picture from elsewhere in a page"
    try:
        seen = open_page(stage, browser, page.as_uri(), folder)
    except subprocess.TimeoutExpired:
        return Control(name, is_caught=False, said="the browser did not end")
    return Control(name, any(OUTSIDE in url for url in seen.urls))
