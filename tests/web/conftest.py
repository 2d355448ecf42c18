"""A web application over fakes: a library in memory, an engine from a script, people we know."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from argon2 import PasswordHasher

from kit.answer.chat import Chat
from kit.answer.conversations.conversations import Conversations
from kit.answer.modes.modes import Modes
from kit.answer.retrieve import DocumentSearch, SearchResult
from kit.config import Config, WebSettings
from kit.database import Database
from kit.errors import NotFound
from kit.library.documents import (
    DocumentRecord,
    Hit,
    ParsedDocument,
    Section,
    WholeDocument,
)
from kit.library.gate import own_to_write, shared_to_write
from kit.library.word_boxes import Word
from kit.people import passwords
from kit.people.sign_in import SignIn
from kit.people.throttle import Throttle
from kit.testing import FakeEmbedder, FakeEngine
from kit.web.gate import Gate
from kit.web.index import FollowedIndex
from kit.web.services import Services, open_people
from kit.web.shell import build_shell

PASSWORD = "four quiet green herons"
TOKEN = "t" * 43
PAGES = ("Travel begins with a form.", "Per diem is 80 euro <b>a day</b> & no more.", "The end.")


class FakeLibrary:
    """Documents in memory: text 'PAGES' for every one, private to `owner_id` if set."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.database = database
        self.documents: dict[str, DocumentRecord] = {}
        self.placed: dict[tuple[str, int], tuple[Word, ...]] = {}

    def add(
        self,
        stream: IO[bytes],
        name: str,
        *,
        added_by: str,
        collection: str = "library",
        is_private: bool | None = None,
        collection_id: int | None = None,
        max_bytes: int | None = None,
    ) -> DocumentRecord:
        data = stream.read()
        sha256 = hashlib.sha256(data).hexdigest()
        made = DocumentRecord(
            id=f"d{len(self.documents) + 1}", name=name, collection=collection,
            owner_id=added_by if is_private else None, sha256=sha256, size_bytes=len(data),
            state="indexed", error=None, hint=None, notes=(), num_pages=len(PAGES), num_chunks=3,
            title=None, created_at="2026-11-21T10:00:00Z",
            audience="owner" if is_private else "everyone", may_change=True,
        )  # fmt: skip
        for there in self.documents.values():
            if (there.sha256, there.name, there.collection) == (sha256, name, collection):
                return replace(there, is_duplicate=True)
        self._plant(made, added_by)
        self.documents[made.id] = made
        (self.folder / made.id).write_bytes(data)
        return made

    def _plant(self, made: DocumentRecord, added_by: str) -> None:
        """A row that the gate knows: conversations tell of no document that is not there."""
        with self.database.write() as connection:
            to_write = own_to_write if made.owner_id else shared_to_write
            owner = made.owner_id or "local"
            connection.execute(
                "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes,"
                " state, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 1, 'indexed', '', '')",
                (made.id, made.name, to_write(connection, owner, made.collection), added_by,
                 made.sha256),
            )  # fmt: skip

    def get(self, document_id: str, reader: str) -> DocumentRecord:
        found = self.documents.get(document_id)
        if found is None or found.owner_id not in (None, reader):
            raise NotFound("there is no such document")
        return found

    def list(self, reader: str, collection: str | None = None) -> list[DocumentRecord]:
        self.visible_collection_ids(reader, collection)
        return [d for d in self.documents.values() if d.owner_id in (None, reader)]

    def collections(self, reader: str) -> Any:
        return [("library", False, len(self.list(reader)))]

    def visible_collection_ids(self, reader: str, collection: str | None = None) -> Any:
        if collection not in (None, "library"):
            raise NotFound("there is no such collection")
        return [1]

    def whole(self, document_id: str, reader: str) -> WholeDocument:
        record, parsed = self.get(document_id, reader), self.text(document_id, reader)
        hits = tuple(
            Hit(
                n, 0.0, n, record.id, record.name, section.page, section.label,
                section.start, section.end, parsed.text[section.start : section.end], 9,
            )
            for n, section in enumerate(parsed.sections, start=1)
        )  # fmt: skip
        return WholeDocument(record, hits, f"document {document_id}")

    def remove(self, document_id: str, reader: str) -> None:
        self.get(document_id, reader)
        del self.documents[document_id]

    def retry(self, document_id: str, reader: str) -> None:
        self.get(document_id, reader)

    def may_change(self, record: DocumentRecord, reader: str, *, is_admin: bool) -> bool:
        return is_admin or record.owner_id == reader

    def original(self, document_id: str, reader: str) -> Path:
        self.get(document_id, reader)
        return self.folder / document_id

    def text(self, document_id: str, reader: str) -> ParsedDocument:
        self.get(document_id, reader)
        sections, start = [], 0
        for number, text in enumerate(PAGES, start=1):
            sections.append(Section("page", f"page {number}", start, start + len(text), number))
            start += len(text) + 1
        return ParsedDocument("\n".join(PAGES), tuple(sections), num_pages=len(PAGES))

    def words(self, document_id: str, reader: str, page: int) -> tuple[Word, ...]:
        self.get(document_id, reader)
        return self.placed.get((document_id, page), ())

    def counts(self, reader: str) -> dict[str, int]:
        return {"indexed": len(self.list(reader))}


class FakeSearcher:
    """Finds page 2 of every document that the reader may see."""

    embedder = FakeEmbedder()

    def __init__(self, library: FakeLibrary) -> None:
        self._library = library

    async def beside(self, *_: Any, **__: Any) -> tuple[Hit, ...]:
        return ()

    async def search(
        self, query: str, *, reader: str, top_k: int, collection: str | None = None, **_: Any
    ) -> SearchResult:
        start = len(PAGES[0]) + 1
        hits = [
            Hit(
                rank,
                1.0,
                rank,
                d.id,
                d.name,
                2,
                "page 2",
                start,
                start + len(PAGES[1]),
                PAGES[1],
                9,
            )
            for rank, d in enumerate(self._library.list(reader, collection), start=1)
        ]
        return SearchResult(tuple(hits[:top_k]))

    async def search_document(self, query: str, *, reader: str, document_id: str) -> DocumentSearch:
        record = self._library.get(document_id, reader)
        found = await self.search(query, reader=reader, top_k=50)
        is_shared = record.owner_id is None
        hits = tuple(
            replace(hit, is_shared=is_shared)
            for hit in found.hits
            if hit.document_id == document_id
        )
        return DocumentSearch(WholeDocument(record, hits, f"document {document_id}"), hits)


def make_services(home: Path, database: Database, host: str = "127.0.0.1") -> Services:
    config = Config(home=home, web=WebSettings(host=host, max_upload_mb=1))
    (home / "tmp").mkdir(exist_ok=True)
    (home / "originals").mkdir(exist_ok=True)
    library: Any = FakeLibrary(home / "originals", database)
    searcher: Any = FakeSearcher(library)
    engine = FakeEngine("Per diem is 80 euro a day.")
    conversations = Conversations(database)
    accounts, sessions = open_people(config, database)
    modes = Modes(library, searcher, engine, config.answer)
    return Services(
        config=config,
        database=database,
        library=library,
        index=FollowedIndex(lambda: None),
        searcher=searcher,
        engine=engine,
        conversations=conversations,
        chat=Chat(conversations, searcher, engine, config.answer, modes=modes),
        accounts=accounts,
        sessions=sessions,
        sign_in=SignIn(database, accounts, sessions, Throttle(database)),
        token=TOKEN,
    )


class Browser:
    """A client that behaves as a browser on the page does: origin and cookies."""

    def __init__(self, app: Gate, base: str, address: str = "10.0.0.9") -> None:
        self.base = base
        transport = httpx.ASGITransport(
            app=app, raise_app_exceptions=False, client=(address, 40_000)
        )  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url=base)

    async def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        headers = {"origin": self.base} | rest.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        return await self.client.request(method, path, headers=headers, **rest)

    async def get(self, path: str, **rest: Any) -> httpx.Response:
        return await self.request("GET", path, **rest)

    async def post(self, path: str, **rest: Any) -> httpx.Response:
        return await self.request("POST", path, **rest)

    async def sign_in(self, name: str, password: str = PASSWORD, **rest: Any) -> httpx.Response:
        return await self.post("/sign-in", data={"name": name, "password": password, **rest})


CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of the real kind but without their cost, which tests/people measures."""
    monkeypatch.setattr(passwords, "_hasher", lambda: CHEAP)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def services(home: Path, database: Database) -> Services:
    """A kit on loopback."""
    return make_services(home, database)


@pytest.fixture
def shared(home: Path, database: Database) -> Services:
    """A kit for a network, with ana and ben, and boss the administrator."""
    made = make_services(home, database, host="10.0.0.1")
    made.accounts.add("ana", PASSWORD)
    made.accounts.add("ben", PASSWORD)
    made.accounts.add("boss", PASSWORD, role="admin")
    return made


@pytest.fixture
async def local(services: Services) -> AsyncIterator[Browser]:
    """The page of the loopback kit."""
    browser = Browser(build_shell(services), "http://127.0.0.1:7860", "127.0.0.1")
    async with browser.client:
        yield browser


@pytest.fixture
def open_browser(shared: Services) -> Callable[[], Browser]:
    """Makes browsers of different people on one kit for a network."""
    app = build_shell(shared)
    return lambda: Browser(app, "http://kit.example.org:7860")


@pytest.fixture
async def ana(open_browser: Callable[[], Browser]) -> Browser:
    browser = open_browser()
    assert (await browser.sign_in("ana")).status_code == 303
    return browser


@pytest.fixture
async def ben(open_browser: Callable[[], Browser]) -> Browser:
    browser = open_browser()
    assert (await browser.sign_in("ben")).status_code == 303
    return browser


@pytest.fixture
def file() -> Callable[..., dict[str, Any]]:
    """The parts of an upload form with one file."""

    def make(name: str = "policy.pdf", data: bytes = b"%PDF-1.4 a policy") -> dict[str, Any]:
        return {"files": {"file": (name, io.BytesIO(data))}}

    return make
