"""The gate: host, person, origin, headers, sizes. Tables of what is allowed and what is not."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kit.people.accounts import Accounts
from kit.web import security
from kit.web.routes import GRADIO, OURS
from kit.web.services import Services
from kit.web.shell import build_shell
from tests.web.conftest import TOKEN, Browser

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}


# Host -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("localhost:7860", True),
        ("LOCALHOST:9", True),
        ("127.0.0.1:7860", True),
        ("127.8.8.8", True),
        ("[::1]:7860", True),
        ("evil.example", False),
        ("evil.example:7860", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost:99999", False),
        ("localhost:", False),
        ("user@localhost", False),
        ("localhost/evil", False),
        ("2130706433", False),
        ("127.1", False),
        ("", False),
        ("localhost\u0000", False),
    ],
)
async def test_loopback_kit_answers_to_loopback_names_only(
    services: Services, host: str, is_ours: bool
) -> None:
    """A page whose name was pointed at this machine (DNS rebinding) gets nothing from it."""
    sent = await _raw(build_shell(services), "GET", "/api/v1/status", [(b"host", host.encode())])
    assert (sent[0] == 200) is is_ours
    assert sent[0] in (200, 400, 403)


async def test_missing_and_double_host_are_refused(services: Services) -> None:
    """A request without a host, or with two, is refused."""
    app = build_shell(services)
    assert (await _raw(app, "GET", "/health", []))[0] == 400
    twice = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert (await _raw(app, "GET", "/health", twice))[0] == 400


# Person -----------------------------------------------------------------------------------------


async def test_loopback_visitor_is_the_local_user(local: Browser) -> None:
    """On loopback nobody signs in: everybody is 'local', an administrator."""
    user = (await local.get("/api/v1/status")).json()["user"]
    assert user == {"id": "local", "name": "local", "role": "admin"}
    assert (await local.get("/sign-in")).headers["location"] == "/"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer \xff",
    ],
)
@pytest.mark.parametrize("mode", ["local", "shared"])
async def test_wrong_token_opens_nothing(
    request: pytest.FixtureRequest, mode: str, authorization: str
) -> None:
    """A token that is not ours is refused, even on loopback where none is needed."""
    services = request.getfixturevalue("services" if mode == "local" else "shared")
    headers = [(b"host", b"localhost"), (b"authorization", authorization.encode("latin-1"))]
    status, _, body = await _raw(build_shell(services), "GET", "/api/v1/status", headers)
    assert status == 401
    assert json.loads(body)["error"]["code"] == "access"


async def test_empty_token_of_ours_opens_nothing(shared: Services) -> None:
    """A kit without a run token cannot be opened with an empty one."""
    shared.token = ""
    headers = [(b"host", b"kit"), (b"authorization", b"Bearer ")]
    assert (await _raw(build_shell(shared), "GET", "/api/v1/status", headers))[0] == 401


async def test_run_token_is_the_local_user(open_browser: Callable[[], Browser]) -> None:
    """The token of the run file is 'local' on any address, and needs no origin."""
    browser = open_browser()
    response = await browser.get("/api/v1/status", headers=BEARER | {"origin": None})
    assert response.json()["user"]["id"] == "local"
    made = await browser.post("/api/v1/conversations", headers=BEARER | {"origin": None})
    assert made.status_code == 201


async def test_stranger_is_sent_to_the_sign_in_page(open_browser: Callable[[], Browser]) -> None:
    """A person who opens a page is led to sign in and back; a program gets 401 in JSON."""
    stranger = open_browser()
    page = await stranger.get("/passage?document=d1&start=3", headers={"accept": "text/html"})
    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?next=%2Fpassage%3Fdocument%3Dd1%26start%3D3"
    api = await stranger.get("/api/v1/documents")
    assert api.status_code == 401
    assert api.json()["error"]["message"] == "please sign in"


# Origin -----------------------------------------------------------------------------------------

OWN = "http://kit.example.org:7860"


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"origin": OWN}, True),
        ({"origin": OWN, "sec-fetch-site": "same-origin"}, True),
        ({"referer": f"{OWN}/passage?x=1"}, True),
        ({"origin": "HTTP://KIT.example.org:7860"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://kit.example.org:7860"}, False),
        ({"origin": "http://kit.example.org"}, False),
        ({"origin": "http://kit.example.org:7861"}, False),
        ({"origin": f"{OWN}.evil.example"}, False),
        ({"origin": f"{OWN}/"}, False),
        ({"origin": OWN, "sec-fetch-site": "cross-site"}, False),
        ({"origin": OWN, "sec-fetch-site": "same-site"}, False),
        ({"origin": OWN, "sec-fetch-site": "none"}, False),
        ({"origin": "https://evil.example", "referer": f"{OWN}/"}, False),
        ({"referer": "https://evil.example/?http://kit.example.org:7860"}, False),
        ({"referer": "http://kit.example.org:7860@evil.example/"}, False),
        ({"referer": "http://[::1"}, False),
        ({"content-type": "text/plain"}, False),
    ],
)
async def test_forged_requests_are_refused(
    open_browser: Callable[[], Browser], headers: dict[str, str], is_ours: bool
) -> None:
    """A request that changes something counts only if it proves that it comes from our own page."""
    boss = open_browser()
    await boss.sign_in("boss")
    for route in (*OURS, *GRADIO):
        path = route.pattern.pattern.replace("[^/]{1,128}", "x").replace("\\", "")
        path = re.sub(r"\((\w+)\|[^)]*\)", r"\1", path)  # the first of several names
        for method in route.methods - security.SAFE_METHODS:
            response = await boss.request(method, path, headers={"origin": None} | headers)
            is_refused = response.status_code == 403 and "another site" in response.text
            assert is_refused is not is_ours, (method, path)
            await boss.sign_in("boss")  # for /sign-out was among them


async def test_sign_in_cannot_be_forged(open_browser: Callable[[], Browser]) -> None:
    """Another site cannot sign a person in to an account of its own (login CSRF)."""
    form = {"name": "ana", "password": "four quiet green herons"}
    response = await open_browser().post(
        "/sign-in", data=form, headers={"origin": "https://evil.example"}
    )
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("site", "mode", "dest", "is_ours"),
    [
        (None, None, None, True),
        ("same-origin", "cors", "empty", True),
        ("none", "navigate", "document", True),
        ("cross-site", "navigate", "document", True),
        ("cross-site", "no-cors", "image", False),
        ("cross-site", "no-cors", "script", False),
        ("cross-site", "navigate", "iframe", False),
        ("cross-site", "navigate", "object", False),
        ("same-site", "cors", "empty", False),
        ("same-site", "no-cors", "image", False),
    ],
)
def test_other_sites_cannot_embed_answers(
    site: str | None, mode: str | None, dest: str | None, is_ours: bool
) -> None:
    """A link to us works; an image, script or frame of ours inside another site does not."""
    allowed = security.is_allowed_read(fetch_site=site, fetch_mode=mode, fetch_dest=dest)
    assert allowed is is_ours


async def test_embedding_is_refused_on_the_wire(local: Browser) -> None:
    """The rule holds for a real request to a loopback kit, where no cookie is needed."""
    headers = {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "no-cors",
        "sec-fetch-dest": "image",
    }
    assert (await local.get("/api/v1/documents", headers=headers)).status_code == 403


# Headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/health", "/sign-in", "/api/v1/documents", "/api/v1/documents/none", "/nowhere", "/passage",
     "/shell/shell.css", "/metrics", "/favicon.ico", "/%00", "/gradio_api/info"],
)  # fmt: skip
@pytest.mark.parametrize("who", ["ana", "stranger"])
async def test_every_answer_is_guarded(
    ana: Browser, open_browser: Callable[[], Browser], path: str, who: str
) -> None:
    """Whatever the answer, it carries the policy and names neither server nor other origins."""
    browser = ana if who == "ana" else open_browser()
    headers = (await browser.get(path, headers={"origin": "http://localhost:3000"})).headers
    assert "default-src" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"].split("img-src")[1].split(";")[0]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] in ("SAMEORIGIN", "DENY")
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control-")]
    if path not in ("/shell/shell.css", "/favicon.ico"):
        assert headers["cache-control"] == "no-store"


def test_policy_names_no_host() -> None:
    """The policies let a page load from its own origin and from nowhere else."""
    for policy in (security.PAGE_CSP, security.PLAIN_CSP):
        assert "http" not in policy
        assert "*" not in policy


# Size -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize(
    ("path", "kind", "num_bytes"),
    [
        ("/api/v1/ask", "application/json", (256 << 10) + 1),
        ("/sign-in", "application/x-www-form-urlencoded", 9 << 10),
        ("/gradio_api/cancel", "application/json", 17 << 10),
    ],
)
async def test_large_body_is_refused_in_words(
    ana: Browser, path: str, kind: str, num_bytes: int, says_length: bool
) -> None:
    """A body over its limit is refused with 413, whether it says its length or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(num_bytes // 1024 + 1):
            yield b"x" * 1024

    response = await ana.post(
        path, content=b"x" * num_bytes if says_length else chunks(), headers={"content-type": kind}
    )
    assert response.status_code == 413
    assert "larger than" in response.json()["error"]["message"]


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣", "1, 2", ""])
async def test_odd_content_length_is_refused(services: Services, length: str) -> None:
    """A length that is no number is refused, not guessed."""
    headers = [
        (b"host", b"localhost"),
        (b"origin", b"http://localhost"),
        (b"content-length", length.encode()),
    ]
    assert (await _raw(build_shell(services), "POST", "/api/v1/ask", headers))[0] == 400


async def test_websocket_is_refused(services: Services) -> None:
    """Nothing of ours speaks websocket, so none is opened."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await build_shell(services)({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]", "localhost", "127.9.9.9"])
def test_loopback_addresses(address: str) -> None:
    """These are reachable from this machine alone."""
    assert security.is_loopback_address(address)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "10.0.0.1", "kit.example.org", "", "127.0.0.1.x"]
)
def test_other_addresses_are_not_loopback(address: str) -> None:
    """These may be reachable by others, so people sign in."""
    assert not security.is_loopback_address(address)


async def test_disabled_person_is_out_at_once(ana: Browser, shared: Services) -> None:
    """The next request of a disabled account is refused."""
    assert (await ana.get("/api/v1/status")).status_code == 200
    accounts: Accounts = shared.accounts
    accounts.disable(accounts.find("ana").id)
    assert (await ana.get("/api/v1/status")).status_code == 401


async def _raw(
    app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]]
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of a request that no client library would send."""
    sent: list[Any] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body
