"""The kit of a home that is not running: the same verbs, done in this process.

Loads only what a verb needs: listing opens the database, searching the embedding model too, asking
also starts the engine as a child for as long as this command runs. Invariant: what only one
process may own (the dense index, reading documents) is touched under the home's lock alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from kit.cli.session import BUSY_STATES, Found, Say
from kit.config import Config
from kit.database import Database
from kit.errors import AlreadyRunning, EmbedError, EngineUnavailable, KitError, NotFound
from kit.instance import find_instance, own_home
from kit.library.documents import require_read
from kit.library.store import Library
from kit.ops.prefixes import remove_ended
from kit.silence import quiet_environment
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING
from kit.supply.store import find_chat_file, find_embedding_folder

if TYPE_CHECKING:
    from kit.answer.events import Event
    from kit.answer.retrieve import Searcher
    from kit.engine.client import Engine
    from kit.library.documents import DocumentRecord
    from kit.library.embed import Embedder
    from kit.library.vectors import VectorIndex

READER = "local"
ENGINE_START_S = 300.0
LOCK_POLL_S = 0.5


class LocalKit:
    """See kit.cli.session.Kit."""

    def __init__(
        self,
        config: Config,
        say: Say,
        *,
        embedder: Embedder | None = None,
        engine: Engine | None = None,
    ) -> None:
        """`embedder` and `engine` stand in for those that the settings name."""
        self._given_embedder = embedder
        self._given_engine = engine
        self._config = config
        self._say = say
        self._stack = contextlib.ExitStack()
        self._database = Database(config.home / "kit.db")
        self._stack.callback(self._database.close)
        self._library = Library(config.home, self._database)

    def close(self) -> None:
        self._stack.close()

    def add(self, stream: IO[bytes], name: str, collection: str) -> DocumentRecord:
        max_bytes = self._config.web.max_upload_mb << 20
        return self._library.add(
            stream, name, added_by=READER, collection=collection, max_bytes=max_bytes
        )

    def read_documents(
        self, ids: Sequence[str], on_change: Callable[[DocumentRecord], None]
    ) -> None:
        from kit.library.ingest import Ingestor

        waiting = set(ids)

        def report() -> None:
            for document_id in sorted(waiting):
                record = self.document(document_id)
                if record.state not in BUSY_STATES:
                    waiting.discard(document_id)
                    on_change(record)

        report()
        if not waiting:
            return
        self._own()
        ingestor = Ingestor(self._library, self._embedder, self._config.library)
        while waiting and ingestor.run_next():
            report()
        report()

    def documents(self, collection: str | None = None) -> list[DocumentRecord]:
        return list(self._library.list(READER, collection))

    def document(self, document_id: str) -> DocumentRecord:
        return self._library.get(document_id, READER)

    def search(self, query: str, *, top_k: int, collection: str | None) -> Found:
        searching = self._searcher.search(query, reader=READER, top_k=top_k, collection=collection)
        result = self._runner.run(searching)
        return Found(result.hits, result.notices)

    def remove(self, document_id: str) -> None:
        self._library.remove(document_id, READER, is_admin=True)
        remove_ended(self._config.home, self._database)

    def retry(self, document_id: str) -> None:
        self._library.retry(document_id, READER)

    @contextlib.contextmanager
    def original(self, document_id: str) -> Iterator[IO[bytes]]:
        with self._library.original(document_id, READER).open("rb") as stream:
            yield stream

    def new_conversation(self) -> str:
        from kit.answer.conversations import Conversations

        return Conversations(self._database).create(READER).id

    def ask(
        self,
        question: str,
        *,
        collection: str | None,
        conversation_id: str | None = None,
        document_id: str | None = None,
    ) -> Iterator[Event]:
        if document_id is not None:  # before the models are loaded
            require_read(self.document(document_id))
        # Loaded here and not inside the event loop, where Ctrl-C would wait for them.
        _ = self._searcher, self._engine
        events = self._events(question, collection, conversation_id, document_id)
        try:
            while True:
                try:
                    yield self._runner.run(anext(events))  # type: ignore[arg-type]
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(events.aclose())  # type: ignore[attr-defined]

    async def _events(
        self,
        question: str,
        collection: str | None,
        conversation_id: str | None,
        document_id: str | None,
    ) -> AsyncIterator[Event]:
        from kit.answer.answer import answer_question
        from kit.answer.chat import Chat
        from kit.answer.conversations import Conversations

        settings = self._config.answer
        if conversation_id is None:
            events = answer_question(
                question,
                history=(),
                reader=READER,
                searcher=self._searcher,
                engine=self._engine,
                settings=settings,
                collection=collection,
                document_id=document_id,
            )
        else:
            chat = Chat(Conversations(self._database), self._searcher, self._engine, settings)
            events = chat.ask(
                question,
                owner_id=READER,
                conversation_id=conversation_id,
                collection=collection,
                document_id=document_id,
            )
        async with contextlib.aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    def status(self) -> dict[str, Any]:
        return {"running": False, "documents": self._library.counts(READER)}

    @cached_property
    def _runner(self) -> asyncio.Runner:
        return self._stack.enter_context(asyncio.Runner())

    def _own(self) -> None:
        """Hold the home's lock from here on. Another command is waited for, however long it reads.

        Raises: AlreadyRunning if a kit has started on this home meanwhile; it does our work.
        """
        if "_owned" in self.__dict__:
            return
        for attempt in itertools.count():
            try:
                self._stack.enter_context(own_home(self._config.home))
                break
            except AlreadyRunning:
                if find_instance(self._config.home):
                    raise
                if attempt == 0:
                    self._say("another kit command works on this folder; waiting for it to finish")
                time.sleep(LOCK_POLL_S)
        self.__dict__["_owned"] = True

    @cached_property
    def _embedder(self) -> Embedder:
        """The embedding model in this process. Raises EmbedError if none is installed."""
        from kit.library.embed import LocalEmbedder

        if self._given_embedder is not None:
            return self._given_embedder
        name = self._config.library.embedding_model or STARTER_EMBEDDING
        try:
            folder = find_embedding_folder(self._config.home, name)
        except NotFound:
            raise EmbedError(
                f"the embedding model {name} is not installed",
                hint=f"get it: kit model pull {name}",
            ) from None
        self._say("loading the embedding model")
        os.environ.update(quiet_environment(os.environ) | {"TQDM_DISABLE": "1"})
        return LocalEmbedder(folder)

    @cached_property
    def _searcher(self) -> Searcher:
        from kit.answer.retrieve import Searcher

        try:
            embedder = self._embedder
        except EmbedError as problem:
            return Searcher(self._library, self._database, _NoIndex(), _NoEmbedder(problem))
        return Searcher(self._library, self._database, self._index(embedder), embedder)

    def _index(self, embedder: Embedder) -> VectorIndex:
        from kit.library.vectors import VectorIndex

        self._own()
        index = VectorIndex(
            self._config.home, self._database, model=embedder.model, dim=embedder.dim
        )
        self._stack.callback(index.close)
        if not index.is_ready:  # a small library is scanned exactly, without Chroma
            index.follow()
        return index

    @cached_property
    def _engine(self) -> Engine:
        from kit.engine.client import EngineClient

        if self._given_engine is not None:
            return self._given_engine
        settings = self._config.engine
        url = settings.url or self._start_engine()
        model = settings.model if settings.url else ""
        return EngineClient(url, api_key=settings.api_key, model=model)

    def _start_engine(self) -> str:
        """A local engine for as long as this command runs; returns its URL."""
        from kit.ops.child import Child, ChildSpec
        from kit.ops.engine_command import engine_flags
        from kit.ops.ports import claim_port
        from kit.ops.start import answers
        from kit.ops.supervise import last_error

        settings, home = self._config.engine, self._config.home
        remove_ended(home, self._database)
        try:
            model = find_chat_file(home, settings.model or STARTER_CHAT)
        except NotFound as problem:
            raise EngineUnavailable(problem.message, hint=problem.hint) from None
        port = claim_port("127.0.0.1", 0)
        flags = engine_flags(
            replace(settings, parallel=1), home=home, model=model, host="127.0.0.1", port=port
        )
        command = [sys.executable, "-m", "kit.engine.server", *flags]
        log = home / "logs" / "engine.log"
        child = Child(ChildSpec("engine", tuple(command), log, quiet_environment(os.environ)))
        self._say("starting the language model (the running kit keeps it warm: kit up)")
        child.start(time.monotonic())
        self._stack.callback(child.bury)
        deadline = time.monotonic() + ENGINE_START_S
        while not answers(f"http://127.0.0.1:{port}/health"):
            if child.has_ended or time.monotonic() > deadline:
                reason = (last_error(log) or ["error: it did not start"])[0]
                raise EngineUnavailable(
                    f"the language model: {reason.removeprefix('error: ')}", hint=f"see {log}"
                )
            time.sleep(0.1)
        return f"http://127.0.0.1:{port}/v1"


class _NoIndex:
    """Ready, so that the reason given for a search by words is the embedder's."""

    is_ready = True

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        del vector, collection_ids, limit
        return []


class _NoEmbedder:
    """Stands for an embedding model that is not installed: every call says so."""

    model = ""
    dim = 0

    def __init__(self, problem: KitError) -> None:
        self._problem = problem

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        del texts, batch_size
        raise self._problem

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        del texts
        raise self._problem

    def count_tokens(self, text: str) -> int:
        del text
        raise self._problem
