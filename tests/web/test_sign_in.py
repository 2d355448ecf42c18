"""Signing in over HTTP: cookies, redirects, words, throttling, and signing out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kit.web.security import safe_next
from kit.web.services import Services
from kit.web.shell import build_shell
from tests.web.conftest import PASSWORD, Browser

pytestmark = pytest.mark.anyio


async def test_signing_in_opens_the_kit(open_browser: Callable[[], Browser]) -> None:
    """After signing in with a name and password the person is who they are."""
    browser = open_browser()
    got = await browser.sign_in("Ana", next="/passage?document=d1")
    assert got.status_code == 303
    assert got.headers["location"] == "/passage?document=d1"
    assert (await browser.get("/api/v1/status")).json()["user"]["name"] == "ana"
    assert (await browser.get("/sign-in")).headers["location"] == "/"


async def test_cookie_is_locked(open_browser: Callable[[], Browser]) -> None:
    """Over plain HTTP the cookie is HttpOnly, SameSite=Lax, for the whole site and for a while."""
    cookie = (await open_browser().sign_in("ana")).headers["set-cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith("kit_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(attributes)
    assert not [a for a in attributes if a.lower().startswith("domain")]


async def test_cookie_is_secure_over_https(shared: Services) -> None:
    """Over HTTPS the cookie is also Secure and has the __Host- prefix that browsers enforce."""
    browser = Browser(build_shell(shared), "https://kit.example.org")
    got = await browser.sign_in("ana")
    assert got.headers["set-cookie"].startswith("__Host-kit_session=")
    assert "Secure" in got.headers["set-cookie"].split("; ")
    assert "max-age" in got.headers["strict-transport-security"]
    assert (await browser.get("/api/v1/status")).status_code == 200


async def test_plain_cookie_does_not_count_over_https(shared: Services, ana: Browser) -> None:
    """A cookie set over plain HTTP, where anybody could plant one, opens nothing over HTTPS."""
    token = ana.client.cookies["kit_session"]
    browser = Browser(build_shell(shared), "https://kit.example.org")
    got = await browser.get("/api/v1/status", headers={"cookie": f"kit_session={token}"})
    assert got.status_code == 401


@pytest.mark.parametrize("name", ["ana", "nobody", "", "<script>alert(1)</script>", "x" * 300])
async def test_refusal_is_the_same_page(open_browser: Callable[[], Browser], name: str) -> None:
    """A wrong password and an unknown name show the same words; the name comes back escaped."""
    got = await open_browser().sign_in(name, "wrong password")
    assert got.status_code == 401
    assert "The name or the password is not right." in got.text
    assert "<script" not in got.text
    assert "wrong password" not in got.text
    assert "set-cookie" not in got.headers


async def test_throttled_person_is_told_when_to_come_back(
    open_browser: Callable[[], Browser],
) -> None:
    """After five failures the page says how long to wait, with 429 and Retry-After."""
    browser = open_browser()
    for _ in range(5):
        assert (await browser.sign_in("ana", "wrong password")).status_code == 401
    got = await browser.sign_in("ana")
    assert got.status_code == 429
    assert "try again in 15 minutes" in got.text
    assert 0 < int(got.headers["retry-after"]) <= 900


async def test_signing_out_ends_the_session(ana: Browser) -> None:
    """After signing out the token opens nothing, even if somebody kept it."""
    token = ana.client.cookies["kit_session"]
    got = await ana.post("/sign-out")
    assert got.headers["location"] == "/sign-in"
    assert "cache" in got.headers["clear-site-data"]
    kept = await ana.get("/api/v1/status", headers={"cookie": f"kit_session={token}"})
    assert kept.status_code == 401


async def test_session_changes_at_sign_in(ana: Browser) -> None:
    """Signing in again gives a new token and ends the old one: a planted session gains nothing."""
    old = ana.client.cookies["kit_session"]
    await ana.sign_in("ana")
    assert ana.client.cookies["kit_session"] != old
    ana.client.cookies.clear()
    got = await ana.get("/api/v1/status", headers={"cookie": f"kit_session={old}"})
    assert got.status_code == 401


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "kit_session=",
        "kit_session=" + "A" * 43,
        "kit_session=\xff",
        "kit_session=a; kit_session=b",
        "=;;=",
        "x" * 10_000,
        "kit_session='; DROP TABLE sessions;--",
    ],
)
async def test_made_up_cookie_opens_nothing(
    open_browser: Callable[[], Browser], cookie: str
) -> None:
    """A cookie that nobody was given is a stranger's."""
    headers = {"cookie": cookie.encode("latin-1")}
    assert (await open_browser().get("/api/v1/status", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("target", "safe"),
    [
        ("/", "/"),
        ("/passage?document=d1&start=3", "/passage?document=d1&start=3"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\/evil.example", "/"),
        ("/a\\b", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/\tevil", "/"),
        (" /x", "/"),
        ("/é", "/"),
        ("/sign-out", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_next_stays_in_the_house(target: str | None, safe: str) -> None:
    """After signing in a person goes to a page of ours, whatever the link said."""
    assert safe_next(target) == safe


async def test_form_works_without_a_script(open_browser: Callable[[], Browser]) -> None:
    """The page is a plain form with labels that password managers know."""
    got = await open_browser().get("/sign-in?next=%2Fpassage%3Fdocument%3D%22%3E%3Cb%3E")
    assert "<script" not in got.text
    assert 'method="post" action="/sign-in"' in got.text
    assert 'autocomplete="username"' in got.text
    assert 'autocomplete="current-password"' in got.text
    assert '"><b>' not in got.text
    assert "script-src" not in got.headers["content-security-policy"]


@pytest.mark.parametrize(
    "content", [b"", b"name=%00&password=x", b"name=ana", b"\xff\xfe=\xff", b"&&&&"]
)
async def test_odd_form_is_refused(open_browser: Callable[[], Browser], content: bytes) -> None:
    """A form with missing or broken fields is refused in words."""
    kind = {"content-type": "application/x-www-form-urlencoded"}
    got = await open_browser().post("/sign-in", content=content, headers=kind)
    assert got.status_code in (400, 401)
    assert "<title>" in got.text


async def test_idle_session_ends(shared: Services) -> None:
    """A session is over after the idle time of the settings; the person is led to sign in."""
    shared.config = replace(shared.config)
    now = 1_800_000_000.0
    shared.sessions._now = lambda: now
    browser = Browser(build_shell(shared), "http://kit.example.org:7860")
    await browser.sign_in("ana", PASSWORD)
    now += shared.config.web.session_idle_minutes * 60 + 1
    got = await browser.get("/", headers={"accept": "text/html"})
    assert (got.status_code, got.headers["location"]) == (303, "/sign-in")
