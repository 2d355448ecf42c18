"""The composed application, Gradio's sixty routes included: who reaches what, and whose is what."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route

from kit.database import Database
from kit.web.gate import Gate
from kit.web.gradio_guard import drop_outside_meta
from kit.web.ownership import Owned, Ownership, file_paths
from kit.web.services import Services
from kit.web.shell import build_shell, mount_gradio
from tests.web.conftest import PASSWORD, Browser, make_services

pytestmark = pytest.mark.anyio

# Every address of the composed application that somebody may reach, but our own API, whose table is
# in test_routes.py. What Gradio adds with another version is not in it, and the test below fails
# until somebody has decided about it.
PUBLIC = {"/favicon.ico", "/health", "/robots.txt", "/shell/{}", "/sign-in"}
PEOPLE = {
    "/", "/assets/{}", "/static/{}", "/theme.css", "/passage", "/sign-out",
    "/gradio_api/cancel", "/gradio_api/queue/data", "/gradio_api/queue/join", "/gradio_api/reset",
    "/gradio_api/run/{}", "/gradio_api/upload", "/gradio_api/upload_progress",
}  # fmt: skip
ADMINS = {"/metrics"}


@pytest.fixture(scope="module")
def page_kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Gate]]:
    """One kit for a network with the real page, for all tests here: Gradio is slow to load."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"GRADIO_TEMP_DIR": str(home / "tmp"), "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        database = Database(home / "kit.db")
        services = make_services(home, database, host="10.0.0.1")
        for name in ("ana", "ben"):
            services.accounts.add(name, PASSWORD)

        async def build() -> (
            Gate
        ):  # without a running loop Gradio makes some of its own and leaks them
            return build_shell(services, mount_gradio(services))

        yield services, asyncio.run(build())
        database.close()


@pytest.fixture
def open_page(page_kit: tuple[Services, Gate]) -> Callable[[], Browser]:
    return lambda: Browser(page_kit[1], "http://kit.example.org:7860")


@pytest.fixture
async def ana(open_page: Callable[[], Browser]) -> Browser:
    browser = open_page()
    await browser.sign_in("ana")
    return browser


@pytest.fixture
async def ben(open_page: Callable[[], Browser]) -> Browser:
    browser = open_page()
    await browser.sign_in("ben")
    return browser


def _all_routes(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path template) of every route, mounted applications included."""
    for route in routes:
        if isinstance(route, Route):
            for method in route.methods or {"GET"}:
                yield method, prefix + route.path
        elif isinstance(route, Mount):
            yield from _all_routes(list(route.routes), prefix + route.path)
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "app", None)
            assert inner is not None, f"cannot see into {route!r}"
            yield from _all_routes(list(inner.routes), prefix)


def _sample(template: str) -> str:
    return re.sub(r"\{[^}]*\}", lambda m: "predict" if "api_name" in m[0] else "1", template)


def _general(template: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", template)


async def test_every_route_is_decided_about(
    page_kit: tuple[Services, Gate],
    open_page: Callable[[], Browser],
    ana: Browser,
) -> None:
    """All routes x {stranger, person, person who is no administrator}: what is unlisted is 404."""
    app: Any = page_kit[1].ours
    templates = sorted(set(_all_routes(app.routes)))
    assert len({path for _, path in templates}) > 60  # Gradio's are among them
    stranger, reached = open_page(), set()
    for method, template in templates:
        path, general = _sample(template), _general(template)
        theirs = await stranger.request(method, path)
        if general in PUBLIC:
            assert theirs.status_code < 500
        else:
            assert theirs.status_code == 401, (method, template, theirs.status_code)
        if general == "/sign-out":
            reached.add(general)
            continue
        got = await ana.request("GET" if method == "HEAD" else method, path)
        is_known = "there is nothing here" not in got.text and got.status_code != 405
        if general in ADMINS:
            assert got.status_code == 403
        elif is_known and not general.startswith("/api/v1/"):
            reached.add(general)
        assert got.status_code < 500, (method, template, got.text)
    assert reached == PUBLIC | PEOPLE


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/info", "/gradio_api/openapi.json", "/config", "/config/", "/monitoring",
        "/monitoring/summary", "/gradio_api/call/predict", "/gradio_api/call/predict/e1",
        "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/x", "/gradio_api/component_server",
        "/gradio_api/deep_link?session_hash=x", "/gradio_api/runs", "/gradio_api/mcp/sse",
        "/gradio_api/heartbeat/abcd1234", "/gradio_api/startup-events", "/gradio_api/app_id",
        "/gradio_api/queue/status", "/gradio_api/vibe-code", "/gradio_api/token", "/login",
        "/logout", "/svelte/x", "/docs", "/redoc", "/openapi.json", "/gradio_api/login_check",
        "/gradio_api/stream/x/1/2/playlist.m3u8", "/gradio_api/run/other", "/manifest.json",
        "/gradio_api/queue/join/", "//gradio_api/info", "/gradio_api//info",
        "/GRADIO_API/info", "/gradio_api/upload/../info", "/pwa_icon", "/gradio_api/dev/reload",
        "/gradio_api/custom_component/a/client/b/c", "/gradio_api/process_recording",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_rest_of_gradio_is_closed(ana: Browser, method: str, path: str) -> None:
    """File server, proxy, function runner and API pages are not there, signed in or not."""
    got = await ana.request(method, path, json={} if method == "POST" else None)
    assert got.status_code in (404, 405)


@pytest.mark.parametrize(
    ("path", "accept", "is_page"),
    [
        ("/no-such-page", "text/html,*/*;q=0.8", True),
        ("/no-such-page", "application/json", False),
        ("/api/v1/nothing", "text/html,*/*;q=0.8", False),
        ("/gradio_api/info", "text/html,*/*;q=0.8", False),
    ],
)
async def test_unknown_address_is_told_to_people_as_a_page(
    ana: Browser, path: str, accept: str, is_page: bool
) -> None:
    """A browser that opens an address we do not have gets the error page; a program gets JSON."""
    got = await ana.get(path, headers={"accept": accept})
    assert got.status_code == 404
    assert got.headers["content-type"].startswith("text/html" if is_page else "application/json")
    assert got.headers["cache-control"] == "no-store"
    assert "script" not in got.text
    assert ('href="/"' in got.text) is is_page


async def test_page_is_ours_alone(ana: Browser) -> None:
    """The page loads for the person, names no outside host and carries the policy."""
    got = await ana.get("/", headers={"accept": "text/html", "x-forwarded-host": "evil.example"})
    assert got.status_code == 200
    assert "evil.example" not in got.text
    head = got.text.split("<script>window.gradio_config")[0]
    assert "https://" not in head
    assert "og:image" not in got.text
    assert got.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'self'" in got.headers["content-security-policy"]


async def test_deep_links_are_refused(ana: Browser) -> None:
    """No address can put a stored state into the page."""
    for query in ("deep_link=abc", "deep%5Flink=abc", "x=1&deep_link"):
        assert (await ana.get(f"/?{query}")).status_code == 403


async def test_assets_stay_in_their_folder(ana: Browser) -> None:
    """Gradio's own files are served, nothing beside them."""
    assert (await ana.get("/static/img/logo.svg")).status_code in (200, 404)
    for path in ("..%2f..%2fpackage.json", "%2fetc%2fpasswd", "a/../../../routes.py", "%5c..%5cx"):
        for folder in ("assets", "static"):
            assert (await ana.get(f"/{folder}/{path}")).status_code in (403, 404)


def _join(session_hash: Any, **more: Any) -> dict[str, Any]:
    return {"json": {"data": [], "fn_index": 0, "session_hash": session_hash, **more}}


async def test_session_hash_has_one_owner(ana: Browser, ben: Browser) -> None:
    """Who uses a session hash first owns it: nobody else can listen to, join or stop it."""
    assert (await ana.post("/gradio_api/run/predict", **_join("anahash1"))).status_code != 403
    for method, path, rest in [
        ("GET", "/gradio_api/queue/data?session_hash=anahash1", {}),
        ("POST", "/gradio_api/queue/join", _join("anahash1")),
        ("POST", "/gradio_api/run/predict", _join("anahash1")),
        ("POST", "/gradio_api/cancel", _join("anahash1", event_id="e1")),
    ]:
        assert (await ben.request(method, path, **rest)).status_code == 403, path
    listening = await ben.get("/gradio_api/queue/data?session_hash=benhash1&session_hash=anahash1")
    assert listening.status_code == 403
    hidden = await ben.get("/gradio_api/queue/data?session_hash=benhash1&session%5Fhash=anahash1")
    assert hidden.status_code == 403


@pytest.mark.parametrize("session_hash", [None, "", "a b", 7, ["x"], "x" * 100, "../x", "é" * 8])
async def test_odd_hash_is_nobodys(ana: Browser, session_hash: Any) -> None:
    """A hash that Gradio's page would not make opens nothing."""
    assert (await ana.post("/gradio_api/queue/join", **_join(session_hash))).status_code == 403


async def test_hash_given_twice_is_refused(ana: Browser, ben: Browser) -> None:
    """A body that names two hashes, one to pass the check and one to be used, is refused."""
    await ana.post("/gradio_api/run/predict", **_join("anahash2"))
    body = '{"data": [], "fn_index": 0, "session_hash": "benhash2", "session_hash": "anahash2"}'
    got = await ben.post(
        "/gradio_api/queue/join", content=body, headers={"content-type": "application/json"}
    )
    assert got.status_code == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 10_000, b'"x"'])
async def test_odd_gradio_body_is_refused(ana: Browser, body: bytes) -> None:
    """A body that is no JSON object never reaches Gradio."""
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel"):
        got = await ana.post(path, content=body, headers={"content-type": "application/json"})
        assert got.status_code == 400


async def test_event_of_another_cannot_be_stopped(ana: Browser, ben: Browser) -> None:
    """Stopping needs the event to be one's own, even with a hash of one's own."""
    got = await ben.post("/gradio_api/cancel", **_join("benhash3", event_id="0" * 32))
    assert got.status_code == 403
    assert (await ben.post("/gradio_api/cancel", **_join("benhash3"))).status_code == 403


async def test_upload_is_its_owners(ana: Browser, ben: Browser) -> None:
    """A file in Gradio's cache is given to the page by the person who loaded it, by no other."""
    sent = await ana.post("/gradio_api/upload", files={"files": ("a.md", b"secret")})
    assert sent.status_code == 200
    (path,) = sent.json()
    payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    theirs = await ben.post("/gradio_api/run/predict", **_join("benhash4", data=[[payload]]))
    assert theirs.status_code == 403
    own = await ana.post("/gradio_api/run/predict", **_join("anahash4", data=[[payload]]))
    assert own.status_code != 403
    for address in (f"/gradio_api/file={path}", f"/gradio_api/file{path}"):
        assert (await ana.get(address)).status_code == 404
        assert (await ben.get(address)).status_code == 404


async def test_progress_of_an_upload_is_its_owners(ana: Browser, ben: Browser) -> None:
    """Nobody watches another person's upload, whose name it would tell."""
    files = {"files": ("secret-name.md", b"x")}
    assert (
        await ana.post("/gradio_api/upload?upload_id=anaupload1", files=files)
    ).status_code == 200
    assert (await ben.get("/gradio_api/upload_progress?upload_id=anaupload1")).status_code == 403
    hidden = await ben.get("/gradio_api/upload_progress?upload%5Fid=anaupload1")
    assert hidden.status_code == 403
    theirs = await ben.post("/gradio_api/upload?upload_id=anaupload1", files=files)
    assert theirs.status_code == 403


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://127.0.0.1:1/x", "https://evil.example/x", "kit.db", ""]
)
async def test_page_cannot_be_made_to_open_a_path(ana: Browser, path: str) -> None:
    """A payload that names a file of the server, or an address to fetch, is refused."""
    for data in ([{"path": path}], [[{"files": [{"path": path}]}]], {"x": {"path": path}}):
        got = await ana.post("/gradio_api/queue/join", **_join("anahash5", data=data))
        assert got.status_code == 403


async def test_large_gradio_upload_is_refused(ana: Browser) -> None:
    """Gradio's own upload holds to web.max_upload_mb, too."""
    big = {"files": ("a.md", b"x" * ((1 << 20) + 1))}
    assert (await ana.post("/gradio_api/upload", files=big)).status_code == 413


# Pure parts --------------------------------------------------------------------------------------


def test_flood_of_names_pushes_out_ones_own_only() -> None:
    """A person who claims many hashes loses their own oldest ones, never another's."""
    owned = Owned(max_per_person=3)
    assert owned.claim("anas", "ana")
    for number in range(10):
        assert owned.claim(f"b{number}", "ben")
    assert owned.is_owner("anas", "ana")
    assert not owned.claim("anas", "ben")
    assert not owned.is_owner("b0", "ben")
    assert owned.is_owner("b9", "ben")


def test_same_upload_by_two_people_belongs_to_both() -> None:
    """Two people who load the same bytes under the same name share a path in Gradio's cache."""
    ownership = Ownership()
    ownership.add_files(["/tmp/x/a.md"], "ana")
    ownership.add_files(["/tmp/x/a.md"], "ben")
    body = {"data": [{"path": "/tmp/x/a.md"}]}
    assert ownership.may_use_files(body, "ana")
    assert ownership.may_use_files(body, "ben")
    assert not ownership.may_use_files(body, "eve")


def test_paths_are_found_at_any_depth() -> None:
    """A path is found wherever it hides, however deep."""
    deep: Any = {"path": "/etc/passwd"}
    for _ in range(5000):
        deep = [{"x": deep}]
    assert list(file_paths(deep)) == ["/etc/passwd"]
    assert list(file_paths(json.loads('{"path": {"path": "a"}}'))) == ["a"]
    assert list(file_paths([1, "path", None])) == []


def test_preview_tags_are_dropped() -> None:
    """Tags that name hosts outside are taken out of a page, and nothing else is."""
    page = (
        b'<head><meta charset="utf-8"><meta property="og:image"\n content="https://x.example/a">'
        b'<meta name="twitter:creator" content="@x"><title>Kit</title></head><p>og: twitter:</p>'
    )
    kept = b'<head><meta charset="utf-8"><title>Kit</title></head><p>og: twitter:</p>'
    assert drop_outside_meta(page) == kept
    assert drop_outside_meta(b"<meta \xff unfinished") == b"<meta \xff unfinished"


@pytest.mark.parametrize(
    "path", ["/", "/theme.css", "/gradio_api/queue/data?session_hash=anahash9"]
)
async def test_no_other_origin_may_read(ana: Browser, path: str) -> None:
    """Gradio would let any origin read a signed-in person's page; no answer of ours says so."""
    evil = {"origin": "https://evil.example"}
    got = await ana.get(path, headers=evil)
    assert not [name for name in got.headers if name.startswith("access-control-")]
    preflight = evil | {"access-control-request-method": "POST"}
    asked = await ana.request("OPTIONS", path, headers=preflight)
    assert asked.status_code in (403, 404, 405)
    assert not [name for name in asked.headers if name.startswith("access-control-")]
