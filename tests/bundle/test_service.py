"""A running kit, as an installation sees it."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.bundle.service import _is_ready

READY = {"status": "ok", "engine": "ready"}


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(READY).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture(params=["http", "https"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A page that says that it is ready, in the clear or with a certificate of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    if request.param == "https":
        certfile, keyfile = tmp_path / "page.crt", tmp_path / "page.key"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kit"]
        command += ["-keyout", str(keyfile), "-out", str(certfile)]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certfile, keyfile)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_page_with_a_certificate_is_healthy_too(port: int) -> None:
    """Upgrades go on once the page is encrypted, whoever signed its certificate."""
    assert _is_ready(f"http://127.0.0.1:{port}")


def test_nothing_there_is_not_healthy(unused_port: int) -> None:
    """An address without a page is no page."""
    assert not _is_ready(f"http://127.0.0.1:{unused_port}")


@pytest.fixture
def unused_port() -> int:
    server = http.server.HTTPServer(("127.0.0.1", 0), Health)
    server.server_close()
    return server.server_port
