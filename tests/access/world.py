"""A whole kit over fakes: the real database, library, search, chat and web application, an
embedder of words, an engine that repeats all it was given, and an index that only scans.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.modes.modes import Modes
from kit.answer.modes.task import Task
from kit.answer.retrieve import Searcher
from kit.answer.suggest import suggested_questions
from kit.config import Config, WebSettings
from kit.database import Database
from kit.engine.client import ChatMessage
from kit.library.documents import Chunk
from kit.library.index.vector_rows import VectorRows
from kit.library.lineage import delete_chunks, insert_terms, settle
from kit.library.store import Library
from kit.ops.sharing import Sharing
from kit.people.accounts import User
from kit.people.groups import Groups
from kit.people.sign_in import SignIn
from kit.people.throttle import Throttle
from kit.testing import FakeEmbedder, FakeEngine
from kit.web.index import FollowedIndex
from kit.web.services import Services, open_people
from kit.web.shell import build_shell

PEOPLE = {"boss": True, "ana": False, "ben": False, "cyn": False}
CANARY = re.compile(r"canary\d{5}x")
QUESTION = "What is the daily fee?"
GET = (
    "/api/v1/documents",
    "/api/v1/collections",
    "/api/v1/status",
    "/api/v1/people",
    "/api/v1/conversations",
    "/api/v1/search?q=daily+fee&top_k=50",
    "/api/v1/documents/{document}",
    "/api/v1/documents/{document}/text",
    "/api/v1/documents/{document}/original",
    "/api/v1/documents/{document}/pages/1.png",
    "/api/v1/conversations/{conversation}",
    "/passage?document={document}",
)


def text_of(canary: str) -> str:
    return f"The daily fee for {canary} is 12 euro. More is told by {canary}."


class ScanIndex:
    """The dense half without Chroma: every vector of the collections, exactly."""

    is_ready = True

    def __init__(self, database: Database) -> None:
        self._rows = VectorRows(database, model=FakeEmbedder.model, dim=FakeEmbedder.dim)

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        return (self._rows.scan(vector, collection_ids, max_rows=10_000) or [])[:limit]

    def follow(self) -> int:
        return 0


def parrot(messages: Sequence[ChatMessage]) -> str:
    """A model that says again what it was given, so that nothing it was given can hide."""
    said = " ".join(CANARY.findall(" ".join(message.content for message in messages)))
    return f"The daily fee is 12 euro. It says {said}."


class World:
    """Everything of one KIT_HOME, with people boss (an administrator), ana, ben and cyn."""

    def __init__(self, home: Path, index: Any = None) -> None:
        self.database = Database(home / "kit.db")
        with self.database.write() as connection:
            for name, is_admin in PEOPLE.items():
                role = "admin" if is_admin else "staff"
                connection.execute(
                    "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (name, name, role)
                )
        self.library = Library(home, self.database)
        self.embedder, self.engine = FakeEmbedder(), FakeEngine(parrot)
        self.index = index(home, self.database) if index else ScanIndex(self.database)
        self.searcher = Searcher(self.library, self.database, self.index, self.embedder)
        self.conversations = Conversations(self.database)
        config = Config(home=home, web=WebSettings(host="10.0.0.1"))
        modes = Modes(self.library, self.searcher, self.engine, config.answer)
        self.chat = Chat(self.conversations, self.searcher, self.engine, config.answer, modes=modes)
        self.accounts, self.sessions = open_people(config, self.database)
        self.groups, self.sharing = Groups(self.database), Sharing(self.database)
        self.app = build_shell(self._services(config))
        self.runner = asyncio.Runner()

    def _services(self, config: Config) -> Services:
        return Services(
            config=config,
            database=self.database,
            library=self.library,
            index=FollowedIndex(lambda: None),
            searcher=self.searcher,
            engine=self.engine,
            conversations=self.conversations,
            chat=self.chat,
            accounts=self.accounts,
            sessions=self.sessions,
            sign_in=SignIn(self.database, self.accounts, self.sessions, Throttle(self.database)),
        )

    def close(self) -> None:
        self.runner.close()
        if hasattr(self.index, "close"):
            self.index.close()
        self.database.close()

    def user(self, who: str) -> User:
        return User(who, who, "admin" if PEOPLE.get(who, who == "local") else "staff")

    # What a person does, and all that they are shown by it -------------------------------------

    def add(self, who: str, canary: str, **where: Any) -> Any:
        record = self.library.add(
            io.BytesIO(text_of(canary).encode()), f"{canary}.md", added_by=who, **where
        )
        self.read_queued()
        return record

    def read_queued(self) -> None:
        """As the ingestor leaves a document, without its threads."""
        with self.database.write() as connection:
            queued = "SELECT id, name FROM documents WHERE state = 'queued'"
            for document_id, name in list(connection.execute(queued)):
                delete_chunks(connection, document_id)
                canary = name.partition(".")[0]
                text, place = text_of(canary), f"Is it {canary}?"
                chunk = Chunk(0, 0, len(text), text, place, None, 15)
                sections = json.dumps([["heading", place, 0, len(text), None]])
                connection.execute(
                    "INSERT INTO texts VALUES (?, ?, ?)", (document_id, text, sections)
                )
                connection.execute(
                    "INSERT INTO chunks (document_id, ordinal, start, end, place, num_tokens, text)"
                    " VALUES (?, 0, 0, ?, ?, 15, ?)",
                    (document_id, len(text), place, text),
                )
                chunk_id = connection.last_insert_rowid()
                row = self.embedder.embed_passages([text])[0].astype("<f4").tobytes()
                connection.execute(
                    "INSERT INTO vectors VALUES (?, ?, ?)", (chunk_id, self.embedder.model, row)
                )
                insert_terms(connection, chunk_id, name, chunk, canary)
                connection.execute(
                    "INSERT INTO index_log (op, chunk_id) VALUES ('add', ?)", (chunk_id,)
                )
                connection.execute(
                    "UPDATE documents SET state = 'indexed', num_chunks = 1, title = ?"
                    " WHERE id = ?",
                    (canary, document_id),
                )
                settle(connection, document_id)

    def search(self, who: str, query: str, collection: str | None = None) -> str:
        found = self.runner.run(
            self.searcher.search(query, reader=who, top_k=50, collection=collection)
        )
        return str(found)

    def ask(self, who: str, conversation: str, question: str = QUESTION, **what: Any) -> str:
        """Every event, and all that was put before the model for it."""
        before = len(self.engine.seen)

        async def run() -> str:
            stream = self.chat.ask(question, owner_id=who, conversation_id=conversation, **what)
            return " ".join([str(event) async for event in stream])

        events = self.runner.run(run())
        return events + str(self.engine.seen[before:])

    def do(self, who: str, conversation: str, task: Task) -> str:
        """As `ask`, for what is to be done with whole documents."""
        before = len(self.engine.seen)

        async def run() -> str:
            stream = self.chat.do(task, owner_id=who, conversation_id=conversation)
            return " ".join([str(event) async for event in stream])

        return self.runner.run(run()) + str(self.engine.seen[before:])

    def conversation(self, who: str, conversation: str) -> str:
        listed = self.conversations.list(who)
        return f"{listed} {self.conversations.messages(conversation, who)}"

    def suggestions(self, who: str) -> str:
        return str(suggested_questions(self.library, who, limit=100))

    def get(self, who: str, path: str) -> tuple[int, str]:
        """(status, headers and body) of a request with a session of that person's."""
        token = self._token(who)
        path, _, query = path.partition("?")
        cookie = f"kit_session={token}" if token else ""
        headers = [(b"host", b"kit"), (b"cookie", cookie.encode()), (b"accept", b"*/*")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": quote(path).encode(),
            "query_string": query.encode(), "root_path": "", "headers": headers,
            "client": ("10.0.0.9", 1), "server": ("10.0.0.1", 1),
        }  # fmt: skip
        sent: list[Any] = []
        bodies = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (body := next(bodies, None)) is not None:
                return body
            await asyncio.Event().wait()  # the caller stays until it is answered
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        self.runner.run(self.app(scope, receive, send))
        body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        return sent[0]["status"], f"{sent[0]['headers']}\n{body.decode(errors='replace')}"

    def _token(self, who: str) -> str:
        if not self.database.row("SELECT 1 FROM users WHERE id = ?", (who,)):
            return ""
        tokens = self.__dict__.setdefault("_tokens", {})
        found = self.sessions.find(tokens.get(who, ""))
        if found is None:  # a new one, also for a disabled account: it opens nothing
            tokens[who] = self.sessions.create(self.user(who))
        return str(tokens[who])


def canaries(shown: Any) -> set[str]:
    """Every canary in what was shown."""
    text = shown if isinstance(shown, str) else json.dumps(shown, default=str)
    return set(CANARY.findall(text))
