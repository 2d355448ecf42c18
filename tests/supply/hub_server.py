"""A server that speaks the hub's protocol and can misbehave, for tests on the loopback.

/api/models/OWNER/NAME[/revision/REV]?blobs=true  the list with sizes, git and LFS digests
/OWNER/NAME/resolve/COMMIT/PATH                   X-Linked-Etag and a redirect to the "CDN"
/cdn/PATH                                         the bytes, with Range
/mirror/PATH                                      the same files as a plain folder
Each request for bytes takes the next fault of `faults`; when they are used up it behaves.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
FAULTS = (
    "cut",
    "whole-instead-of-part",
    "new-etag",
    "corrupt",
    "stall",
    "short",
    "busy",
    "broken",
    "wrong-range",
    "lying-range",
    "vanished-range",
    "too-long",
    "drip",
)
DRIP_S, MAX_DRIP_BYTES = 0.01, 100


class HubServer:
    """Serves `files` as the repository 'office/model'; `with` starts and stops it."""

    def __init__(
        self, files: Mapping[str, bytes], *, faults: Iterable[str] = (), lfs: bool = True
    ) -> None:
        self.files, self.faults, self.lfs = dict(files), list(faults), lfs
        self.gate = 0
        """A status that every request without the token 'good' gets, 0 = open."""
        self.sent_bytes = 0
        self.requests: list[str] = []
        self.pause_s = 0.0
        """Between blocks of 4 KiB."""
        self.stall_s = 0.6
        self.rng: random.Random | None = None
        """Says where a stream is cut or a byte is changed; without it always at the same share."""
        self._lock = threading.Lock()

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.environ = {"HF_ENDPOINT": self.url}
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self) -> str:
        with self._lock:
            return self.faults.pop(0) if self.faults else ""

    def share(self, usual: float) -> float:
        """Where in a stream a fault happens, 0 to 1."""
        with self._lock:
            return self.rng.random() if self.rng else usual

    def count(self, num_bytes: int) -> None:
        with self._lock:
            self.sent_bytes += num_bytes

    def describe(self) -> dict[str, Any]:
        """What the API says of the repository."""
        return {
            "_id": "1",
            "id": "office/model",
            "modelId": "office/model",
            "sha": COMMIT,
            "private": False,
            "gated": bool(self.gate),
            "tags": [],
            "siblings": [self._sibling(name, data) for name, data in self.files.items()],
        }

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        sibling: dict[str, Any] = {
            "rfilename": name,
            "size": len(data),
            "blobId": git_sha1(data),
        }
        if self.lfs and name.endswith((".gguf", ".safetensors", ".bin")):
            sibling["lfs"] = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "pointerSize": 130,
            }
        return sibling


def git_sha1(data: bytes) -> str:
    """The digest of the data as a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        hub = self.server_hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append(self.path)
        try:
            if hub.gate and self.headers.get("Authorization") != "Bearer good":
                self._say(hub.gate, {"X-Error-Code": "GatedRepo"}, b'{"error": "gated"}')
            elif path.startswith("/api/models/"):
                self._list(path)
            elif path.startswith(f"/office/model/resolve/{COMMIT}/"):
                self._redirect(path.split(COMMIT + "/", 1)[1])
            elif path.startswith(("/cdn/", "/mirror/")):
                self._bytes(path.split("/", 2)[2])
            else:
                self._say(404, {}, b"")
        except OSError:  # the client left
            self.close_connection = True

    do_HEAD = do_GET

    def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _list(self, path: str) -> None:
        parts = path.removeprefix("/api/models/").split("/revision/")
        if parts[0] != "office/model":
            self._say(404, {"X-Error-Code": "RepoNotFound"}, b'{"error": "not found"}')
        elif parts[1:] not in ([], ["main"], [COMMIT]):
            self._say(404, {"X-Error-Code": "RevisionNotFound"}, b'{"error": "no revision"}')
        else:
            body = json.dumps(self.server_hub.describe()).encode()
            self._say(200, {"Content-Type": "application/json"}, body)

    def _redirect(self, name: str) -> None:
        data = self.server_hub.files.get(name)
        if data is None:
            self._say(404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        linked = hashlib.sha256(data).hexdigest()
        if self.server_hub.faults[:1] == ["new-etag"]:
            linked = "another"
        headers = {
            "Location": f"/cdn/{name}?signature=secret",
            "X-Linked-Etag": f'"{linked}"',
            "X-Linked-Size": str(len(data)),
            "X-Repo-Commit": COMMIT,
        }
        self._say(302, headers, b"")

    def _bytes(self, name: str) -> None:
        hub = self.server_hub
        data = hub.files.get(name)
        if data is None:
            self._say(404, {}, b"")
            return
        fault = hub.next_fault()
        if fault == "busy":
            self._say(429, {"Retry-After": "0"}, b"")
            return
        if fault == "broken":
            self._say(500, {}, b"")
            return
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        begin = 0 if fault == "whole-instead-of-part" else int(wanted)
        if begin > len(data):
            self._say(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            return
        self._send(data, begin, int(wanted), fault)

    def _send(self, data: bytes, begin: int, asked: int, fault: str) -> None:
        hub = self.server_hub
        is_part = "Range" in self.headers and fault != "whole-instead-of-part"
        body = data[begin:]
        if fault == "corrupt" and body:
            at = int(len(body) * hub.share(0.5))
            body = body[:at] + bytes([body[at] ^ 0x40]) + body[at + 1 :]
        stated = begin
        if fault == "wrong-range":
            stated = begin // 2
        if fault == "lying-range":
            body = (data[:1000] + data)[: len(body)]
        if fault == "short":
            body = body[: int(len(body) * hub.share(2 / 3))]
        if fault == "too-long":
            body += b"more"
        etag = "another" if fault == "new-etag" else hashlib.md5(data).hexdigest()
        headers = {"Content-Length": str(len(body)), "ETag": f'"{etag}"'}
        if is_part and fault != "vanished-range":
            headers["Content-Range"] = f"bytes {stated}-{len(data) - 1}/{len(data)}"
        self.send_response(206 if is_part else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self._write(body, fault)

    def _write(self, body: bytes, fault: str) -> None:
        hub, stop = self.server_hub, len(body)
        if fault in ("cut", "stall", "new-etag"):
            stop = int(len(body) * hub.share(3 / 5))
        if fault == "drip":
            self._drip(body)
            return
        step = 4096 if hub.pause_s else 1 << 16
        for at in range(0, stop, step):
            block = body[at : min(at + step, stop)]
            hub.count(len(block))  # first, so that who has the last byte finds it counted
            self.wfile.write(block)
            time.sleep(hub.pause_s)
        if fault == "stall":
            time.sleep(hub.stall_s)
        if stop < len(body):
            self.close_connection = True

    def _drip(self, body: bytes) -> None:
        """One byte after the other, for ever as far as a person can tell."""
        for at in range(min(len(body), MAX_DRIP_BYTES)):
            self.wfile.write(body[at : at + 1])
            self.server_hub.count(1)
            time.sleep(DRIP_S)
        self.close_connection = True
