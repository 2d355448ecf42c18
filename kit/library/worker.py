"""The worker process: owns the embedding model, reads queued documents, serves query vectors.

    python -m kit.library.worker --home FOLDER --port N --model-dir FOLDER [--reranker-dir FOLDER]

Knows the queue and the models, nothing of pages or answers. Invariants: a query waits for no
document; the address answers at once, while the model is still loading.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from kit.config import Config, load_config
from kit.database import Database
from kit.errors import EmbedError, KitError
from kit.library.folders import Folders
from kit.library.index.embed import Embedder, LocalEmbedder, not_warm, pack_vectors
from kit.library.index.embed_thread import EmbedThread
from kit.library.index.model_change import ChangeProgress, ModelChange, indexed_model, serving_model
from kit.library.index.rerank import LocalReranker
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.library.sync import sync_folder
from kit.silence import quiet_environment

POLL_S = 1.0
FOLDER_POLL_S = 5.0
RETRY_S = 10.0  # after a full disk or another fault of the machine
MAX_TEXTS = 256
MAX_CHARS = 100_000
MAX_BUDGET_S = 60.0
READING_NICE = 10


class EmbedRequest(BaseModel):
    """Texts to embed, as queries or as passages."""

    texts: list[str] = Field(max_length=MAX_TEXTS)
    kind: str = Field(default="query", pattern="^(query|passage)$")
    model: str = Field(default="", max_length=200)
    """Whose vectors are wanted; '' = those that are searched."""


class CountRequest(BaseModel):
    """A text whose tokens are to be counted."""

    text: str = Field(max_length=MAX_CHARS)


class RerankRequest(BaseModel):
    """A question and the passages to read beside it, most promising first."""

    query: str = Field(max_length=MAX_CHARS)
    passages: list[str] = Field(max_length=MAX_TEXTS)
    budget_s: float = Field(gt=0, le=MAX_BUDGET_S)


class Stopped(Exception):
    """The worker was told to stop in the middle of a document; it stays queued."""


class Worker:
    """The models, once loaded, and the thread that reads documents.

    As a rule it is one. After a change of the settings there are two, until every passage has its
    vector of the new one: the old one's are searched meanwhile.
    """

    def __init__(
        self, home: Path, model_folder: Path | None, reranker_folder: Path | None = None
    ) -> None:
        """Without `model_folder` it only reranks."""
        self._home, self._model_folder = home, model_folder
        self._reranker_folder = reranker_folder
        self._wake, self._stop = threading.Event(), threading.Event()
        self.embedders: dict[str, Embedder] = {}
        self.serving = ""
        self.change: ChangeProgress | None = None
        self.reranker: LocalReranker | None = None
        self.problem = ""
        self.reranker_problem = "" if reranker_folder else "no reranker is installed"
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._folders = threading.Thread(target=self._follow_folders, name="folders", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._folders.start()

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
        embedder = self._warm(request.model)
        if request.kind == "query":
            return embedder.embed_queries(request.texts)
        return embedder.embed_passages(request.texts)

    def count_tokens(self, text: str) -> int:
        return self._warm().count_tokens(text)

    def unknown_share(self, text: str) -> float:
        return self._warm().unknown_share(text)

    def rerank(self, request: RerankRequest) -> list[float]:
        """Scores of the first passages, in order. Raises: EmbedError until it is loaded."""
        if self.reranker is None:
            raise EmbedError(self.reranker_problem or "the reranker is loading")
        return self.reranker.scores(request.query, request.passages, budget_s=request.budget_s)

    def _warm(self, model: str = "") -> Embedder:
        embedders = self.embedders
        if not embedders:
            raise EmbedError(self.problem) if self.problem else not_warm()
        if embedder := embedders.get(model or self.serving):
            return embedder
        raise EmbedError(
            f"the embedding model {model or self.serving} is not loaded",
            hint="search finds meanings again when every passage has its vector of the new model",
        )

    def health(self) -> dict[str, object]:
        """``{"ready", "model", "dim", "state", "change", "reranker"}``; model, dim and reranker are
        empty until they are loaded, change is None or what a ChangeProgress says.

        Ready = it can embed; one that only reranks: it can rerank.
        """
        embedder, reranker = self.embedders.get(self.serving), self.reranker
        is_ready = embedder is not None or (self._model_folder is None and reranker is not None)
        problem = self.problem if self._model_folder else self.reranker_problem
        return {
            "ready": is_ready,
            "model": embedder.model if embedder else "",
            "dim": embedder.dim if embedder else 0,
            "state": "ready" if is_ready else problem or "loading",
            "change": asdict(self.change) if self.change else None,
            "reranker": reranker.model if reranker else "",
        }

    def _run(self) -> None:
        lower_priority()
        wanted = self._model_folder
        if wanted is None:
            self._load_reranker()
            return
        database = Database(self._home / "kit.db")
        try:
            for_documents = self._load(wanted, serving_model(database))
        except KitError as problem:
            self.problem = problem.message
            print("\n".join(problem.lines()), file=sys.stderr)
            return
        self._load_reranker()  # after what every search needs
        while not self._stop.is_set():
            try:
                self._work(database, wanted.name, for_documents)
            except Stopped:
                return
            except KitError as problem:  # the machine's fault: nothing is lost, try again later
                print("\n".join(problem.lines()), file=sys.stderr)
                self._stop.wait(RETRY_S)
            except Exception:  # noqa: BLE001 - a bug in one document must not stop the others
                traceback.print_exc()
                self._stop.wait(RETRY_S)

    def _load_reranker(self) -> None:
        """It is there; or why not, which costs the order of search and nothing else."""
        if self._reranker_folder is None:
            return
        try:
            self.reranker = LocalReranker(self._reranker_folder)
        except KitError as problem:
            self.reranker_problem = problem.message
            print("\n".join(problem.lines()), file=sys.stderr)

    def _load(self, wanted: Path, serving: str | None) -> dict[str, Embedder]:
        """The embedders for documents, by model: that of the settings, and before it the one whose
        vectors are searched, if that is another and still installed."""
        folders = [wanted]
        if serving is not None and serving != wanted.name:
            old = wanted.with_name(serving)
            folders = [old, wanted] if (old / "modules.json").is_file() else folders
        for_documents: dict[str, Embedder] = {}
        for folder in folders:
            embedder = LocalEmbedder(folder)
            for_documents[embedder.model] = EmbedThread(embedder.twin(), yields=True)
            self.serving = self.serving or embedder.model
            self.embedders = {**self.embedders, embedder.model: EmbedThread(embedder)}
        return for_documents

    def _work(self, database: Database, wanted: str, for_documents: dict[str, Embedder]) -> None:
        """Read documents; what they leave of the time goes to a change to the model `wanted`."""
        settings = load_config(home=self._home).library
        change = ModelChange(database, for_documents[wanted], pause=self._pause)
        while not self._stop.is_set():
            reads_for = self.serving
            library = Library(self._home, database)
            ingestor = Ingestor(library, for_documents[reads_for], settings, pause=self._pause)
            try:
                while not self._stop.is_set() and reads_for == self.serving:
                    if not ingestor.run_next() and not self._change(
                        database, wanted, change, for_documents
                    ):
                        self._wake.wait(POLL_S)
                        self._wake.clear()
            finally:
                ingestor.close()

    def _change(
        self,
        database: Database,
        wanted: str,
        change: ModelChange,
        for_documents: dict[str, Embedder],
    ) -> bool:
        """One step of the change; False if there is nothing to change."""
        is_at_work = change.step()
        self.change = change.progress()
        serving = serving_model(database)
        if serving in for_documents:
            self.serving = serving
        if not is_at_work and serving == wanted and len(for_documents) > 1:
            if indexed_model(database) != serving:
                return False  # its vectors are still searched
            for name in [name for name in for_documents if name != serving]:
                del for_documents[name]  # its weights leave the memory
            self.embedders = {serving: self.embedders[serving]}
        return is_at_work

    def _follow_folders(self) -> None:
        """Looks into followed folders when they are due; one that fails keeps its problem."""
        lower_priority()
        config = load_config(home=self._home)
        library = Library(self._home, Database(self._home / "kit.db"))
        while not self._stop.is_set():
            try:
                sync_due(library, config)
            except Exception:  # noqa: BLE001 - a bug in one folder must not stop the others for good
                traceback.print_exc()
                self._stop.wait(RETRY_S)
            self._stop.wait(FOLDER_POLL_S)

    def _pause(self) -> None:
        if self._stop.is_set():
            raise Stopped


def sync_due(library: Library, config: Config) -> None:
    """Every followed folder that is due was looked into, or says why it could not be."""
    for folder in Folders(library.database).due(config.library.sync_minutes):
        try:
            sync_folder(library, folder, max_bytes=config.web.max_upload_mb << 20)
        except KitError as problem:  # kept with the folder, where the page and the command show it
            print("\n".join(problem.lines()), file=sys.stderr)


def lower_priority() -> None:
    """This thread, and the children it starts, yield to everything that answers people.

    Less than the embedding does: a file has limited time, and writing holds the database.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), READING_NICE)


def build_app(worker: Worker) -> FastAPI:
    """GET /health, POST /embed, /rerank, /count, /wake."""
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
        model = request.model or worker.serving
        return {"vectors": pack_vectors(rows), "dim": rows.shape[1], "model": model}

    @app.post("/rerank")
    def rerank(request: RerankRequest) -> dict[str, object]:
        return {"scores": worker.rerank(request)}

    @app.post("/count")
    def count(request: CountRequest) -> dict[str, object]:
        return {
            "num_tokens": worker.count_tokens(request.text),
            "unknown_share": worker.unknown_share(request.text),
        }

    @app.post("/wake")
    def wake() -> Response:
        worker.wake()
        return Response(status_code=204)

    return app


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kit.library.worker", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-dir", type=Path)
    parser.add_argument("--reranker-dir", type=Path)
    options = parser.parse_args(arguments)
    if options.model_dir is None and options.reranker_dir is None:
        parser.error("--model-dir or --reranker-dir is needed")
    os.environ.update(quiet_environment(os.environ))
    import uvicorn

    worker = Worker(options.home, options.model_dir, options.reranker_dir)
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
