"""Everything the web process works with, opened once and handed to its routes and its page.

Knows how the rooms are put together and nothing of HTTP. Tests build a Services of fakes.
"""

from __future__ import annotations

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
    from kit.answer.conversations import Conversations
    from kit.answer.retrieve import Searcher
    from kit.engine.client import Engine
    from kit.library.store import Library
    from kit.web.index import Index


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
    background: Callable[[], Awaitable[None]] = field(default=lambda: _nothing())
    """What runs beside the requests until the process stops."""
    close: Callable[[], Awaitable[None]] = field(default=lambda: _nothing())


def build_services(config: Config, instance: Instance | None) -> Services:
    """Open the rooms on `config.home`. Returns at once: the dense index opens in the background."""
    from kit.answer.chat import Chat
    from kit.answer.conversations import Conversations
    from kit.answer.retrieve import Searcher
    from kit.engine.client import EngineClient
    from kit.library.embed import WorkerEmbedder
    from kit.library.store import Library
    from kit.web.forgetting import keep_forgetting

    database = Database(config.home / "kit.db")
    library = Library(config.home, database)
    worker_url = instance.worker_url if instance else ""
    watch = WorkerWatch(worker_url)
    index = FollowedIndex(
        lambda: _model_of(database, watch()), partial(_open_index, config, database)
    )
    searcher = Searcher(library, database, index, WorkerEmbedder(worker_url))
    engine = EngineClient(
        config.engine.url or (instance.engine_url if instance else ""),
        api_key=config.engine.api_key,
        model=config.engine.model if config.engine.url else "",
    )
    conversations = Conversations(database)
    conversations.repair()
    accounts, sessions = open_people(config, database)

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
        chat=Chat(conversations, searcher, engine, config.answer),
        accounts=accounts,
        sessions=sessions,
        sign_in=SignIn(database, accounts, sessions, Throttle(database)),
        worker_status=watch,
        engine_healthy=EngineWatch(engine.healthy),
        wake_worker=watch.wake_worker,
        token=instance.token if instance else "",
        background=partial(keep_forgetting, engine, database),
        close=close,
    )


def open_people(config: Config, database: Database) -> tuple[Accounts, Sessions]:
    """Accounts and sessions under the limits of `config`."""
    sessions = Sessions(
        database, config.web.session_idle_minutes * 60.0, config.web.session_hours * 3600.0
    )
    return Accounts(database), sessions


def _model_of(database: Database, worker: WorkerStatus) -> EmbeddingModel | None:
    """The worker's model; until it is loaded that of the newest vector, as a rule the same."""
    if worker.model:
        return EmbeddingModel(worker.model, worker.dim)
    row = database.row(
        "SELECT model, length(vector) / 4 FROM vectors ORDER BY chunk_id DESC LIMIT 1"
    )
    return EmbeddingModel(*row) if row else None


def _open_index(config: Config, database: Database, model: EmbeddingModel) -> Index:
    from kit.library.vectors import VectorIndex

    return VectorIndex(config.home, database, model=model.name, dim=model.dim)


async def _yes() -> bool:
    return True


async def _nothing() -> None:
    return None
