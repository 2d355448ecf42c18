"""What only a real connection shows: a client that goes away, and one that sends too much."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from kit.testing import FakeEngine
from kit.web.services import Services
from kit.web.shell import build_shell

MIB = 1 << 20


@pytest.fixture
def port(services: Services) -> Iterator[int]:
    """A loopback kit over fakes behind a real server."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        build_shell(services), log_config=None, server_header=False, ws="none", http="h11"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()
    assert not thread.is_alive()


@pytest.fixture
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    yield opened
    opened.close()


def _headers(connection: http.client.HTTPConnection, kind: str) -> dict[str, str]:
    return {"Origin": f"http://{connection.host}:{connection.port}", "Content-Type": kind}


def test_closed_tab_frees_the_engine(
    connection: http.client.HTTPConnection, services: Services
) -> None:
    """When the browser closes the stream of an answer, the engine's stream is closed with it."""
    engine = services.engine
    assert isinstance(engine, FakeEngine)
    engine._script, engine._delay_s = "word " * 1000, 0.01
    headers = _headers(connection, "multipart/form-data; boundary=x")
    part = 'Content-Disposition: form-data; name="file"; filename="policy.md"'
    connection.request(
        "POST", "/api/v1/documents", f"--x\r\n{part}\r\n\r\nhello\r\n--x--\r\n", headers
    )
    assert connection.getresponse().read()
    question = json.dumps({"question": "What is the per diem?"})
    connection.request("POST", "/api/v1/ask", question, _headers(connection, "application/json"))
    answer = connection.getresponse()
    assert answer.status == 200
    _until(lambda: engine.seen)
    assert engine.num_cancelled == 0
    answer.close()
    connection.close()
    _until(lambda: engine.num_cancelled == 1)


@pytest.mark.parametrize("says_length", [True, False])
def test_sender_of_too_much_reads_the_words(
    connection: http.client.HTTPConnection, says_length: bool
) -> None:
    """A browser that is still sending when it is refused gets the words, not a reset connection."""
    headers = _headers(connection, "multipart/form-data; boundary=x")
    part = 'Content-Disposition: form-data; name="file"; filename="big.pdf"'
    body = f"--x\r\n{part}\r\n\r\n".encode() + b"x" * (40 * MIB) + b"\r\n--x--\r\n"
    pieces = (body[i : i + MIB] for i in range(0, len(body), MIB))
    connection.request(
        "POST",
        "/api/v1/documents",
        body if says_length else pieces,
        headers,
        encode_chunked=not says_length,
    )
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than" in json.loads(answer.read())["error"]["message"]


def test_sender_that_waits_is_answered_at_once(port: int) -> None:
    """A client that asks first (Expect: 100-continue) is refused before it sends anything."""
    request = (
        f"POST /api/v1/documents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Origin: http://127.0.0.1:{port}\r\nContent-Length: {900 * MIB}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request.encode())  # no body follows: who waits for it gets no answer
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
)
def test_odd_requests_are_refused(port: int, request_bytes: bytes) -> None:
    """Requests that no browser sends are refused, and the server goes on."""
    status = _first_line(port, request_bytes).split(b" ")[1:2]
    assert status in ([], [b"400"], [b"403"], [b"404"], [b"405"])
    healthy = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert _first_line(port, healthy) == b"HTTP/1.1 200 OK"


def _first_line(port: int, request_bytes: bytes) -> bytes:
    """The first line of the answer; empty if the server hangs up or waits for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as client:
        client.sendall(request_bytes)
        try:
            return client.recv(1000).split(b"\r\n")[0]
        except TimeoutError:
            return b""


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
