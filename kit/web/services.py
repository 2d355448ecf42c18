"""Everything the web process works with, opened once and handed to its routes and its page.

Knows how the rooms are put together and nothing of HTTP. Tests build a Services of fakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from kit.config import Config
from kit.database import Database
from kit.instance import Instance
from kit.people.accounts import Accounts
from kit.people.sessions import Sessions
from kit.people.sign_in import SignIn
from kit.people.throttle import Throttle
from kit.web.index import EmbeddingModel, FollowedIndex
from kit.web.metrics import Metrics
from kit.web.neighbours import EngineWatch, WorkerStatus, WorkerWatch

if TYPE_CHECKING:
    from kit.answer.chat import Chat
    from kit.answer.conversations.conversations import Conversations
    from kit.answer.retrieve import Searcher
    from kit.engine.client import Engine
    from kit.library.ledger import Ledger
    from kit.library.store import Library
    from kit.web.index import Index
    from kit.web.purging import Purging


@dataclass
class Services:
    """The parts of a running web process."""

    config: Config
    database: Database
    library: Library
    index: FollowedIndex
    searcher: Searcher
    engine: Engine
    conversations: Conversations
    chat: Chat
    accounts: Accounts
    sessions: Sessions
    sign_in: SignIn
    worker_status: Callable[[], WorkerStatus] = WorkerStatus
    engine_healthy: Callable[[], Awaitable[bool]] = field(default=lambda: _yes())
    wake_worker: Callable[[], None] = field(default=lambda: None)
    token: str = ""
    """The bearer token of this run; '' opens nothing."""
    metrics: Metrics = field(default_factory=Metrics)
    is_stopping: bool = False
    """Set when the process is told to stop, so that streams end in words."""
    purging: Purging | None = None
    """None where nothing is kept on disk."""
    background: Callable[[], Awaitable[None]] = field(default=lambda: _nothing())
    """What runs beside the requests until the process stops."""
    close: Callable[[], Awaitable[None]] = field(default=lambda: _nothing())

    @property
    def ledger(self) -> Ledger:
        """What became of the library's documents."""
        from kit.library.ledger import Ledger

        return Ledger(self.library)


def build_services(config: Config, instance: Instance | None) -> Services:
    """Open the rooms on `config.home`. Returns at once: the dense index opens in the background."""
    from kit.answer.chat import Chat
    from kit.answer.conversations.conversations import Conversations
    from kit.answer.modes.modes import Modes
    from kit.answer.retrieve import Searcher
    from kit.engine.client import EngineClient
    from kit.library.index.embed import WorkerEmbedder
    from kit.library.index.rerank import WorkerReranker
    from kit.library.store import Library
    from kit.supply.runnable import find_reranker_folder
    from kit.web.forgetting import keep_forgetting
    from kit.web.purging import Purging

    database = Database(config.home / "kit.db")
    library = Library(config.home, database)
    worker_url = instance.worker_url if instance else ""
    watch = WorkerWatch(worker_url)
    index = FollowedIndex(
        lambda: _model_of(database, watch()),
        partial(_open_index, config, database),
        partial(_index_opened, config, database),
    )
    embedder = WorkerEmbedder(worker_url, lambda: index.model)
    reranks = find_reranker_folder(config.home, config.library.reranker_model) is not None
    searcher = Searcher(
        library,
        database,
        index,
        embedder,
        reranker=WorkerReranker(worker_url) if reranks else None,
        rerank_budget_s=config.library.rerank_budget_s,
    )
    engine = EngineClient(
        config.engine.url or (instance.engine_url if instance else ""),
        api_key=config.engine.api_key,
        model=config.engine.model if config.engine.url else "",
    )
    conversations = Conversations(database)
    conversations.repair()
    modes = Modes(library, searcher, engine, config.answer)
    accounts, sessions = open_people(config, database)
    purging = Purging(config.home, database, index.wake)

    async def background() -> None:
        await asyncio.gather(keep_forgetting(engine, database), purging.keep())

    async def close() -> None:
        watch.close()
        index.close()
        await engine.close()
        database.close()

    watch.start()
    index.start()
    return Services(
        config=config,
        database=database,
        library=library,
        index=index,
        searcher=searcher,
        engine=engine,
        conversations=conversations,
        chat=Chat(conversations, searcher, engine, config.answer, modes=modes),
        accounts=accounts,
        sessions=sessions,
        sign_in=SignIn(database, accounts, sessions, Throttle(database)),
        worker_status=watch,
        engine_healthy=EngineWatch(engine.healthy),
        wake_worker=watch.wake_worker,
        token=instance.token if instance else "",
        purging=purging,
        background=background,
        close=close,
    )


def open_people(config: Config, database: Database) -> tuple[Accounts, Sessions]:
    """Accounts and sessions under the limits of `config`."""
    sessions = Sessions(
        database, config.web.session_idle_minutes * 60.0, config.web.session_hours * 3600.0
    )
    return Accounts(database), sessions


def _model_of(database: Database, worker: WorkerStatus) -> EmbeddingModel | None:
    """The model whose vectors are searched; the worker's as long as there are none."""
    from kit.library.index.model_change import dim_of, serving_model

    name = serving_model(database) or worker.model
    dim = dim_of(database, name) or (worker.dim if worker.model == name else 0)
    return EmbeddingModel(name, dim) if name and dim else None


def _open_index(config: Config, database: Database, model: EmbeddingModel) -> Index:
    from kit.library.index.vectors import VectorIndex

    return VectorIndex(config.home, database, model=model.name, dim=model.dim)


def _index_opened(config: Config, database: Database, model: EmbeddingModel) -> None:
    """The index of that model serves from now on: the others' folders and vectors may go."""
    from kit.library.index.index_folder import remove_other_indexes
    from kit.library.index.model_change import note_indexed

    remove_other_indexes(config.home, model.name)
    note_indexed(database, model.name)


async def _yes() -> bool:
    return True


async def _nothing() -> None:
    return None
