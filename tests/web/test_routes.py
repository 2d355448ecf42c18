"""Every route that we answer, and what each kind of person gets: one table, and nothing beside it.

`doc` is ben's document in the collection 'plans', which ana owns, ben writes and cyn reads; dan has
no right in it, boss is an administrator without any. A route that is not in the table fails here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kit.answer.chat import Chat
from kit.answer.modes.modes import Modes
from kit.answer.retrieve import Searcher
from kit.config import LibrarySettings
from kit.library.documents import ParsedDocument
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.ops.sharing import Sharing
from kit.people.groups import Groups
from kit.testing import FakeEmbedder
from kit.web.routes import GRADIO, OURS
from kit.web.services import Services
from tests.access.world import ScanIndex
from tests.web.conftest import PASSWORD, Browser, make_services

pytestmark = pytest.mark.anyio
ROLES = ("stranger", "dan", "cyn", "ben", "ana", "boss")

# (method, path, body) -> the statuses for: stranger, other staff, reader, writer, owner, admin.
ALL = (200, 200, 200, 200, 200, 200)
SIGNED_IN = (401, 200, 200, 200, 200, 200)
READERS = (401, 404, 200, 200, 200, 404)
ADMINS = (401, 403, 403, 403, 403, 200)
TABLE: tuple[tuple[str, str, Any, tuple[int, ...]], ...] = (
    ("GET", "/health", None, ALL),
    ("GET", "/metrics", None, ADMINS),
    ("GET", "/shell/shell.css", None, ALL),
    ("GET", "/favicon.ico", None, ALL),
    ("GET", "/robots.txt", None, ALL),
    ("GET", "/sign-in", None, (200, 303, 303, 303, 303, 303)),
    ("POST", "/sign-in", "a=b", (401, 401, 401, 401, 401, 401)),  # no such account
    ("GET", "/passage?document={doc}", None, READERS),
    ("GET", "/api/v1/status", None, SIGNED_IN),
    ("GET", "/api/v1/documents", None, SIGNED_IN),
    ("POST", "/api/v1/documents", "{plans}", (401, 404, 403, 201, 201, 404)),
    ("GET", "/api/v1/documents/{doc}", None, READERS),
    ("PATCH", "/api/v1/documents/{doc}", {"collection_id": "{plans}"},
        (401, 404, 403, 200, 200, 404)),
    ("POST", "/api/v1/documents/{doc}/retry", {}, (401, 404, 403, 200, 200, 404)),
    ("GET", "/api/v1/documents/{doc}/original", None, READERS),
    ("GET", "/api/v1/documents/{doc}/text", None, READERS),
    ("GET", "/api/v1/documents/{doc}/pages/1.png", None, (401, 404, 400, 400, 400, 404)),  # no PDF
    ("POST", "/api/v1/documents/{doc}/stop", {}, (401, 404, 403, 200, 200, 404)),
    ("GET", "/api/v1/reading", None, SIGNED_IN),
    ("POST", "/api/v1/reading/retry", {}, SIGNED_IN),
    ("POST", "/api/v1/reading/pause", {}, ADMINS),
    ("POST", "/api/v1/reading/resume", {}, ADMINS),
    ("GET", "/api/v1/folders", None, ADMINS),
    ("POST", "/api/v1/folders/1/sync", {}, (401, 403, 403, 403, 403, 404)),  # there is none
    ("POST", "/api/v1/purge", {}, (401, 403, 403, 403, 403, 400)),  # no purge runs here
    ("GET", "/api/v1/collections", None, SIGNED_IN),
    ("POST", "/api/v1/collections", {"name": "new"}, (401, 201, 201, 201, 201, 201)),
    ("GET", "/api/v1/collections/{plans}", None, (401, 404, 200, 200, 200, 200)),
    ("PUT", "/api/v1/collections/{plans}/grants", {"to": "group:hr"},
        (401, 404, 403, 403, 200, 200)),
    ("PUT", "/api/v1/collections/{plans}/grants", {"to": "everyone"},
        (401, 404, 403, 403, 403, 200)),
    ("DELETE", "/api/v1/collections/{plans}/grants?to=cyn", None, (401, 404, 403, 403, 200, 200)),
    ("PUT", "/api/v1/collections/{plans}/owner", {"owner": "ben"}, (401, 404, 403, 403, 200, 200)),
    ("DELETE", "/api/v1/collections/{empty}", None, (401, 404, 404, 404, 200, 200)),
    ("GET", "/api/v1/people", None, SIGNED_IN),
    ("POST", "/api/v1/groups", {"name": "new"}, (401, 403, 403, 403, 403, 201)),
    ("DELETE", "/api/v1/groups/hr", None, ADMINS),
    ("PUT", "/api/v1/groups/hr/members/dan", None, ADMINS),
    ("DELETE", "/api/v1/groups/hr/members/eve", None, ADMINS),
    ("GET", "/api/v1/search?q=fee&collection=plans", None, READERS),
    ("POST", "/api/v1/ask", {"question": "fee", "document_id": "{doc}"}, READERS),
    ("POST", "/api/v1/ask", {"question": "hello"}, SIGNED_IN),
    ("POST", "/api/v1/summarise", {"document_ids": ["{doc}"]}, READERS),
    ("POST", "/api/v1/compare", {"document_ids": ["{doc}", "none"]},
        (401, 404, 404, 404, 404, 404)),
    ("POST", "/api/v1/extract", {"document_ids": ["{doc}"], "fields": [{"name": "fee"}]}, READERS),
    ("GET", "/api/v1/conversations", None, SIGNED_IN),
    ("POST", "/api/v1/conversations", {"document_id": "{doc}"}, (401, 404, 201, 201, 201, 404)),
    # The conversation and its message are ana's.
    ("GET", "/api/v1/conversations/{chat}", None, (401, 404, 404, 404, 200, 404)),
    ("GET", "/api/v1/conversations/{chat}/export?format=md", None, (401, 404, 404, 404, 200, 404)),
    ("PATCH", "/api/v1/conversations/{chat}", {"title": "x"}, (401, 404, 404, 404, 200, 404)),
    ("POST", "/api/v1/messages/{answer}/feedback", {"value": 1}, (401, 404, 404, 404, 200, 404)),
    ("DELETE", "/api/v1/conversations/{chat}", None, (401, 404, 404, 404, 200, 404)),
    ("DELETE", "/api/v1/documents/{doc}", None, (401, 404, 403, 200, 200, 404)),
    ("POST", "/sign-out", "", (401, 303, 303, 303, 303, 303)),
)  # fmt: skip


@dataclass
class Scene:
    """What the paths of the table stand for."""

    open_browser: Callable[[], Browser]
    names: dict[str, str]


@pytest.fixture
def shared(home: Any, database: Any, make: Callable[..., Services]) -> Services:
    return make(home, database)


@pytest.fixture
def make() -> Callable[..., Services]:
    """A kit for a network with a real library, and the people of the table."""

    def run(home: Any, database: Any) -> Services:
        made = make_services(home, database, host="10.0.0.1")
        made.library = library = Library(home, database)
        made.searcher = Searcher(library, database, ScanIndex(database), FakeEmbedder())
        settings, engine = made.config.answer, made.engine
        modes = Modes(library, made.searcher, engine, settings)
        made.chat = Chat(made.conversations, made.searcher, engine, settings, modes=modes)
        for name in ("ana", "ben", "cyn", "dan", "eve", "boss"):
            made.accounts.add(name, PASSWORD, role="admin" if name == "boss" else "staff")
        return made

    return run


@pytest.fixture
def scene(shared: Services, open_browser: Callable[[], Browser]) -> Scene:
    sharing, groups = Sharing(shared.database), Groups(shared.database)
    ana, ben, eve = (shared.accounts.find(name) for name in ("ana", "ben", "eve"))
    groups.add_member(groups.add("hr", actor="local"), eve, actor="local")
    plans, empty = sharing.create(ana, "plans"), sharing.create(ana, "empty")
    sharing.grant(ana, plans.id, "ben", "write")
    sharing.grant(ana, plans.id, "cyn", "read")
    doc = shared.library.add(
        io.BytesIO(b"The fee."), "fee.md", added_by=ben.id, collection_id=plans.id
    )
    parsed = ParsedDocument("The fee is 12 euro.", ())
    settings = LibrarySettings()
    ingestor = Ingestor(shared.library, FakeEmbedder(), settings, parse=lambda _: parsed)
    while ingestor.run_next():
        pass
    ingestor.close()
    chat = shared.conversations.create(ana.id).id
    answer = shared.conversations.begin(chat, ana.id, "What?")
    names = {"doc": doc.id, "plans": str(plans.id), "empty": str(empty.id)}
    return Scene(open_browser, names | {"chat": chat, "answer": str(answer)})


@pytest.mark.parametrize("role", ROLES)
async def test_every_route_for_every_role(scene: Scene, shared: Services, role: str) -> None:
    """Each person gets exactly the status of the table, whatever was tried before."""
    wrong = {}
    for method, path, body, expected in TABLE:
        browser = scene.open_browser()
        if role != "stranger":
            cookie = shared.sessions.create(shared.accounts.find(role))
            browser.client.cookies.set("kit_session", cookie)
        if path in ALONE:  # what it takes away others need: nobody is refused for it elsewhere
            status = await _on_its_own(scene, browser, shared, method, path, body)
        else:
            status = (await _send(scene, browser, method, path, body)).status_code
        if status != expected[ROLES.index(role)]:
            wrong[method, path] = (status, expected[ROLES.index(role)])
    assert wrong == {}


ALONE = {
    "/api/v1/collections/{plans}/grants",
    "/api/v1/collections/{plans}/owner",
    "/api/v1/collections/{plans}/grants?to=cyn",
    "/api/v1/groups/hr",
    "/api/v1/documents/{doc}/retry",  # while it is read again it cannot be asked alone
}


async def _on_its_own(
    scene: Scene, browser: Browser, shared: Services, method: str, path: str, body: Any
) -> int:
    """The status, after which everything is as it was before."""
    tables = ("user_groups", "group_members", "grants")
    kept = {table: shared.database.rows(f"SELECT * FROM {table}") for table in tables}
    owners = shared.database.rows("SELECT id, owner_id FROM collections")
    states = shared.database.rows("SELECT id, state FROM documents")
    status = (await _send(scene, browser, method, path, body)).status_code
    with shared.database.write() as connection:
        for table in reversed(tables):
            connection.execute(f"DELETE FROM {table}")
        for table in tables:
            for row in kept[table]:
                marks = ",".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)
        for document_id, state in states:
            connection.execute("UPDATE documents SET state = ? WHERE id = ?", (state, document_id))
        for number, owner_id in owners:
            connection.execute(
                "UPDATE collections SET owner_id = ? WHERE id = ?", (owner_id, number)
            )
    return status


async def _send(scene: Scene, browser: Browser, method: str, path: str, body: Any) -> Any:
    path = path.format(**scene.names)
    if path == "/api/v1/documents" and body is not None:
        return await browser.post(
            path,
            files={"file": ("new.md", io.BytesIO(b"new"))},
            data={"collection_id": scene.names["plans"]},
        )
    if isinstance(body, str):
        return await browser.request(
            method,
            path,
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    if isinstance(body, dict):
        body = {name: _filled(value, scene.names) for name, value in body.items()}
        if "collection_id" in body:
            body["collection_id"] = int(body["collection_id"])
    return await browser.request(method, path, json=body)


def _filled(value: Any, names: dict[str, str]) -> Any:
    """The value with what its braces stand for."""
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value.format(**names) if isinstance(value, str) else value


def test_no_route_is_missing_in_the_table() -> None:
    """Every method of every route of ours is tried above; a new one fails until it is."""
    tried = {(method, path.partition("?")[0]) for method, path, *_ in TABLE}
    for route in OURS:
        for method in route.methods - {"HEAD"}:
            assert any(
                one == method and route.pattern.fullmatch(path.replace("{", "x").replace("}", "x"))
                for one, path in tried
            ), f"{method} {route.name} is not in the table"
    for method, path in tried:
        filled = path.replace("{", "x").replace("}", "x")
        assert any(r.pattern.fullmatch(filled) and method in r.methods for r in OURS), path


def test_the_pages_routes_are_for_persons() -> None:
    """Of Gradio's routes none is for strangers; whose things each may touch, its guard decides."""
    assert {route.access for route in GRADIO} == {"person"}


def test_every_handler_has_a_route(shared: Services, open_browser: Callable[[], Browser]) -> None:
    """A handler that no row of the route table allows is never reached: it is a mistake."""
    from fastapi import FastAPI
    from fastapi.routing import APIRoute

    from kit.web.shell import build_shell

    app: Any = build_shell(shared).ours
    assert isinstance(app, FastAPI)
    for route in app.routes:
        if isinstance(route, APIRoute):
            path = route.path.replace("{", "x").replace("}", "x")
            for method in route.methods or ():
                is_listed = any(
                    method in r.methods and r.pattern.fullmatch(path.replace("xnamex", "x"))
                    for r in OURS
                )
                assert is_listed, f"{method} {route.path} is in no row of kit.web.routes"
