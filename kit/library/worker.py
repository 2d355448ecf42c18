"""The worker process: owns the embedding model, reads queued documents, serves query vectors.

    python -m kit.library.worker --home FOLDER --port N --model-dir FOLDER

Knows the queue and the model, nothing of pages or answers. Invariants: a query waits for no
document; the address answers at once, while the model is still loading.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from kit.config import load_config
from kit.database import Database
from kit.errors import EmbedError, KitError
from kit.library.embed import Embedder, LocalEmbedder, not_warm, pack_vectors
from kit.library.embed_thread import EmbedThread
from kit.library.ingest import Ingestor
from kit.library.store import Library
from kit.silence import quiet_environment

POLL_S = 1.0
RETRY_S = 10.0  # after a full disk or another fault of the machine
MAX_TEXTS = 256
MAX_CHARS = 100_000
READING_NICE = 10


class EmbedRequest(BaseModel):
    """Texts to embed, as queries or as passages."""

    texts: list[str] = Field(max_length=MAX_TEXTS)
    kind: str = Field(default="query", pattern="^(query|passage)$")


class CountRequest(BaseModel):
    """A text whose tokens are to be counted."""

    text: str = Field(max_length=MAX_CHARS)


class Stopped(Exception):
    """The worker was told to stop in the middle of a document; it stays queued."""


class Worker:
    """The model, once loaded, and the thread that reads documents."""

    def __init__(self, home: Path, model_folder: Path) -> None:
        self._home, self._model_folder = home, model_folder
        self._wake, self._stop = threading.Event(), threading.Event()
        self.embedder: Embedder | None = None
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the piece of work at hand; a document that is not through stays queued."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=8)

    def wake(self) -> None:
        self._wake.set()

    def embed(self, request: EmbedRequest) -> np.ndarray:
        """float32, shape (len(texts), dim). Raises: EmbedError until the model is loaded."""
        embedder = self._warm()
        if request.kind == "query":
            return embedder.embed_queries(request.texts)
        return embedder.embed_passages(request.texts)

    def count_tokens(self, text: str) -> int:
        return self._warm().count_tokens(text)

    def _warm(self) -> Embedder:
        if self.embedder is None:
            raise EmbedError(self.problem) if self.problem else not_warm()
        return self.embedder

    def health(self) -> dict[str, object]:
        """``{"ready", "model", "dim", "state"}``; model and dim are empty until it is loaded."""
        embedder = self.embedder
        return {
            "ready": embedder is not None,
            "model": embedder.model if embedder else "",
            "dim": embedder.dim if embedder else 0,
            "state": "ready" if embedder else self.problem or "loading",
        }

    def _run(self) -> None:
        lower_priority()
        try:
            embedder = LocalEmbedder(self._model_folder)
        except KitError as problem:
            self.problem = problem.message
            print("\n".join(problem.lines()), file=sys.stderr)
            return
        self.embedder = EmbedThread(embedder)
        documents = EmbedThread(embedder.twin(), yields=True)
        while not self._stop.is_set():
            try:
                self._read_documents(documents)
            except Stopped:
                return
            except KitError as problem:  # the machine's fault: nothing is lost, try again later
                print("\n".join(problem.lines()), file=sys.stderr)
                self._stop.wait(RETRY_S)
            except Exception:  # noqa: BLE001 - a bug in one document must not stop the others
                traceback.print_exc()
                self._stop.wait(RETRY_S)

    def _read_documents(self, embedder: Embedder) -> None:
        database = Database(self._home / "kit.db")
        settings = load_config(home=self._home).library
        ingestor = Ingestor(Library(self._home, database), embedder, settings, pause=self._pause)
        while not self._stop.is_set():
            if not ingestor.run_next():
                self._wake.wait(POLL_S)
                self._wake.clear()

    def _pause(self) -> None:
        if self._stop.is_set():
            raise Stopped


def lower_priority() -> None:
    """This thread, and the children it starts, yield to everything that answers people.

    Less than the embedding does: a file has limited time, and writing holds the database.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), READING_NICE)


def build_app(worker: Worker) -> FastAPI:
    """GET /health, POST /embed, /count, /wake."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(KitError)
    async def explain(_request: object, problem: KitError) -> JSONResponse:
        return JSONResponse({"error": problem.as_dict()}, problem.http_status)

    @app.get("/health")
    def health() -> dict[str, object]:
        return worker.health()

    @app.post("/embed")
    def embed(request: EmbedRequest) -> dict[str, object]:
        rows = worker.embed(request)
        model = worker.health()["model"]
        return {"vectors": pack_vectors(rows), "dim": rows.shape[1], "model": model}

    @app.post("/count")
    def count(request: CountRequest) -> dict[str, object]:
        return {"num_tokens": worker.count_tokens(request.text)}

    @app.post("/wake")
    def wake() -> Response:
        worker.wake()
        return Response(status_code=204)

    return app


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kit.library.worker", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.environ.update(quiet_environment(os.environ))
    import uvicorn

    worker = Worker(options.home, options.model_dir)
    config = uvicorn.Config(
        build_app(worker),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    worker.start()
    try:
        server.run()
    finally:
        worker.stop()
        # Native thread pools of the model may outlive Python's shutdown; nothing is left to do.
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
