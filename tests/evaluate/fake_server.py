"""A small server that speaks the OpenAI protocol as told: in a thread of a test, or as a process.

python tests/evaluate/fake_server.py --port N --threads N [--tokens N] [--die-after N] …
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Script:
    """How the server behaves. Times in seconds; `seen` holds the bodies of all questions."""

    first_s: float = 0.0
    gap_s: float = 0.0
    die_after: int = 0
    """Pieces of one answer after which the process ends; 0 = never."""
    breaks_after: int = 0
    """Pieces after which an answer ends without saying that it has; 0 = never."""
    max_running: int = 1000
    """More questions at a time are refused with 429."""
    error: str = ""
    """Sent in the stream in place of an answer."""
    seen: list[dict[str, Any]] = field(default_factory=list)
    num_running: int = 0
    num_tokens: int = 0


class _Handler(BaseHTTPRequestHandler):
    script: Script

    def log_message(self, *_: object) -> None:
        """Nothing: tests read no log."""

    def do_GET(self) -> None:
        answers = {
            "/health": b"{}",
            "/metrics": (
                b"# HELP kit_engine_prompt_tokens_total x\n"
                b"kit_engine_prompt_tokens_total %d\n"
                b"llamacpp:n_decode_total 7\nnot a metric at all\n"
            )
            % (10 * len(self.script.seen)),
            "/v1/models": json.dumps({"data": [{"meta": {"cpu_variant": "fake"}}]}).encode(),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answers[self.path])

    def do_POST(self) -> None:
        script = self.script
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        script.seen.append(body)
        if script.num_running >= script.max_running:
            self.send_response(429)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "full"}}')
            return
        script.num_running += 1
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._answer(body["max_tokens"])
        finally:
            script.num_running -= 1

    def _answer(self, num_tokens: int) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        if self.script.error:
            self._event({"error": {"message": self.script.error}})
            return
        time.sleep(self.script.first_s)
        for number in range(1, num_tokens + 1):
            self._event({"choices": [{"delta": {"content": f"{number} "}}]})
            if number == self.script.die_after:
                os._exit(3)
            if number == self.script.breaks_after:
                return
            time.sleep(self.script.gap_s)
        self._event({"choices": [{"delta": {}, "finish_reason": "length"}]})
        usage = {"prompt_tokens": 50, "completion_tokens": num_tokens}
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def make_server(script: Script, port: int = 0) -> ThreadingHTTPServer:
    return _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"script": script}))


@contextlib.contextmanager
def serving(script: Script) -> Iterator[str]:
    """The server in a thread of this process; yields its address, which ends in /v1."""
    server = make_server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--die-after", type=int, default=0)
    given = parser.parse_args()
    make_server(Script(die_after=given.die_after), given.port).serve_forever()


if __name__ == "__main__":
    main()
