"""A process in the engine's place: answers a little HTTP, or ends in the way its mode says.

python tests/ops/fake_engine.py PORT MODE
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT, MODE = int(sys.argv[1]), sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        meta = {"architecture": "llama", "n_params": 7}
        self.answer(200, {"status": "ok", "data": [{"meta": meta}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if MODE == "dies-asked":
            os.kill(os.getpid(), signal.SIGSEGV)
        if MODE == "nan":
            self.answer(500, None)
        elif MODE == "refuses":
            error = {"message": "too long", "code": "context_length_exceeded"}
            self.answer(400, {"error": error})
        else:
            message = {"content": "Hello", "reasoning_content": "Hm."}
            choice = {"message": message, "finish_reason": "stop", "logprobs": None}
            self.answer(200, {"choices": [choice]})

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode() if document is not None else b"Internal Server Error"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if MODE.startswith("exits-"):
    print("error: /some/home/models/office/a.gguf cannot be loaded", file=sys.stderr)
    print("hint: get another", file=sys.stderr)
    sys.exit(int(MODE.removeprefix("exits-")))
if MODE.startswith("killed-"):
    os.kill(os.getpid(), int(MODE.removeprefix("killed-")))
HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
