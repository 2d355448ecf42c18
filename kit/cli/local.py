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
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from kit.cli.session import Found, Say
from kit.config import Config
from kit.database import Database
from kit.errors import AlreadyRunning, EmbedError, EngineUnavailable, KitError, NotFound
from kit.instance import find_instance, own_home
from kit.library.documents import BUSY_STATES, require_read
from kit.library.ledger import Ledger
from kit.library.store import Library
from kit.ops.prefixes import remove_ended
from kit.silence import quiet_environment
from kit.supply.catalog import STARTER_EMBEDDING
from kit.supply.runnable import find_embedding_folder, find_reranker_folder

if TYPE_CHECKING:
    from kit.answer.conversations.conversations import Conversation
    from kit.answer.events import Event
    from kit.answer.modes.task import Task
    from kit.answer.retrieve import Searcher
    from kit.engine.client import ChatDelta, ChatMessage, Engine
    from kit.export.export import Exported, Format
    from kit.library.documents import DocumentRecord, Page
    from kit.library.index.embed import Embedder
    from kit.library.index.rerank import Reranker
    from kit.library.index.vectors import VectorIndex

READER = "local"
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
        self._ledger = Ledger(self._library)

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
        from kit.library.reading.ingest import Ingestor

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
        with contextlib.closing(ingestor):
            while waiting and ingestor.run_next():
                report()
        report()
        if waiting and self._ledger.is_paused:
            self._say("note: the reading is paused; go on: kit docs resume")

    def documents(self, collection: str | None = None) -> list[DocumentRecord]:
        return list(self._library.list(READER, collection))

    def document(self, document_id: str) -> DocumentRecord:
        return self._library.get(document_id, READER)

    def search(self, query: str, *, top_k: int, collection: str | None) -> Found:
        searching = self._searcher.search(query, reader=READER, top_k=top_k, collection=collection)
        result = self._runner.run(searching)
        return Found(result.hits, result.notices)

    def remove(self, document_id: str) -> None:
        self._library.remove(document_id, READER)
        self._stack.push(self._purge_at_last)

    def purge(self) -> dict[str, Any]:
        from kit.ops.purge import purge_alone

        return purge_alone(self._config.home, self._database, with_index=True).as_dict()

    def _purge_at_last(self, *_: object) -> None:
        """Once for all that this command removed; what cannot be done now, the next kit does."""
        from kit.ops.purge import has_removals, purge_alone

        if has_removals(self._database):
            purge_alone(self._config.home, self._database)

    def retry(self, document_id: str) -> None:
        self._library.retry(document_id, READER)

    def retry_failed(self) -> list[str]:
        return self._ledger.retry_failed(READER)

    def stop(self, document_id: str) -> None:
        self._ledger.stop(document_id, READER)

    def pages(self, document_id: str) -> tuple[Page, ...]:
        return self._ledger.pages(document_id, READER)

    def progress(self) -> dict[str, Any]:
        return self._ledger.progress(READER).as_dict()

    def pause(self) -> None:
        self._ledger.pause(is_admin=True)

    def resume(self) -> None:
        self._ledger.resume(is_admin=True)

    @contextlib.contextmanager
    def original(self, document_id: str) -> Iterator[IO[bytes]]:
        with self._library.original(document_id, READER).open("rb") as stream:
            yield stream

    def new_conversation(self) -> str:
        from kit.answer.conversations.conversations import Conversations

        return Conversations(self._database).create(READER).id

    def conversations(self) -> list[Conversation]:
        from kit.answer.conversations.conversations import Conversations

        return Conversations(self._database).list(READER)

    def export(self, conversation_id: str, form: Format, message_id: int | None = None) -> Exported:
        from kit.answer.conversations.conversations import Conversations
        from kit.export.export import export
        from kit.export.report import report_of

        kept = Conversations(self._database)
        conversation = kept.get(conversation_id, READER)
        messages = kept.messages(conversation_id, READER)
        return export(report_of(conversation, messages, message_id), form)

    def do(self, task: Task) -> Iterator[Event]:
        from kit.answer.modes.modes import Modes

        is_summary = task.kind == "summarise"
        modes = Modes(self._library, self._searcher, _NoEngine(), self._config.answer)
        modes.title(task, READER)  # before the language model is loaded
        if is_summary:
            modes = Modes(self._library, self._searcher, self._engine, self._config.answer)
        return self._stepped(modes.run(task, READER))

    def _stepped(self, events: AsyncIterator[Event]) -> Iterator[Event]:
        """The events one by one; closing this closes them."""
        try:
            while True:
                try:
                    yield self._runner.run(anext(events))  # type: ignore[arg-type]
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(events.aclose())  # type: ignore[attr-defined]

    def forget_conversation(self, conversation_id: str) -> None:
        from kit.answer.conversations.conversations import Conversations

        Conversations(self._database).delete(conversation_id, READER)

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
        yield from self._stepped(self._events(question, collection, conversation_id, document_id))

    async def _events(
        self,
        question: str,
        collection: str | None,
        conversation_id: str | None,
        document_id: str | None,
    ) -> AsyncIterator[Event]:
        from kit.answer.answer import answer_question
        from kit.answer.chat import Chat
        from kit.answer.conversations.conversations import Conversations
        from kit.answer.modes.modes import Modes

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
            modes = Modes(self._library, self._searcher, self._engine, settings)
            kept = Conversations(self._database)
            chat = Chat(kept, self._searcher, self._engine, settings, modes=modes)
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
        from kit.library.index.embed import LocalEmbedder

        if self._given_embedder is not None:
            return self._given_embedder
        name = self._config.library.embedding_model or STARTER_EMBEDDING
        try:
            folder = self._serving_folder() or find_embedding_folder(self._config.home, name)
        except NotFound:
            raise EmbedError(
                f"the embedding model {name} is not installed",
                hint=f"get it: kit model pull {name}",
            ) from None
        self._say("loading the embedding model")
        os.environ.update(quiet_environment(os.environ) | {"TQDM_DISABLE": "1"})
        return LocalEmbedder(folder)

    def _serving_folder(self) -> Path | None:
        """Of the model whose vectors are searched, also where the settings name another: the next
        kit that runs makes the change."""
        from kit.library.index.model_change import serving_model

        serving = serving_model(self._database)
        try:
            return find_embedding_folder(self._config.home, serving) if serving else None
        except NotFound:
            return None

    @cached_property
    def _searcher(self) -> Searcher:
        from kit.answer.retrieve import Searcher

        try:
            embedder = self._embedder
        except EmbedError as problem:
            return Searcher(self._library, self._database, _NoIndex(), _NoEmbedder(problem))
        return Searcher(
            self._library,
            self._database,
            self._index(embedder),
            embedder,
            reranker=self._reranker,
            rerank_budget_s=self._config.library.rerank_budget_s,
        )

    @property
    def _reranker(self) -> Reranker | None:
        """The installed reranker, loaded here; None if there is none, or it cannot be loaded."""
        from kit.library.index.rerank import LocalReranker

        try:
            folder = find_reranker_folder(self._config.home, self._config.library.reranker_model)
            return LocalReranker(folder) if folder else None
        except KitError as problem:
            self._say(f"note: {problem.message}; the passages are not reranked")
            return None

    def _index(self, embedder: Embedder) -> VectorIndex:
        from kit.library.index.vectors import VectorIndex

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
        from kit.ops.passing_engine import passing_engine

        remove_ended(self._config.home, self._database)
        return self._stack.enter_context(passing_engine(self._config, self._say))


class _NoIndex:
    """Ready, so that the reason given for a search by words is the embedder's."""

    is_ready = True

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        del vector, collection_ids, limit
        return []


class _NoEngine:
    """Stands for the engine where a task needs none: it is not started for that."""

    async def stream_chat(
        self, messages: Sequence[ChatMessage], **_: Any
    ) -> AsyncIterator[ChatDelta]:
        del messages
        raise EngineUnavailable("the language model was not started for this")
        yield

    async def count_tokens(self, text: str) -> int:
        del text
        raise EngineUnavailable("the language model was not started for this")

    async def context_tokens(self) -> int:
        raise EngineUnavailable("the language model was not started for this")


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

    def unknown_share(self, text: str) -> float:
        del text
        raise self._problem
