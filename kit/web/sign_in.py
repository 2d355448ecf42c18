"""The sign-in page and signing out. Plain forms: they work without a script.

Knows cookies and forms; people/sign_in.py decides. On a loopback kit there is nobody to sign in.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.responses import RedirectResponse, Response

from kit.errors import AccessError, UsageError
from kit.web.gate import USER_KEY
from kit.web.identity import session_cookie
from kit.web.markup import LOGO, escape, page, sentence
from kit.web.replies import Kit, Person, in_thread
from kit.web.security import cookie_name, is_loopback_address, safe_next
from kit.web.services import Services

router = APIRouter()
Next = Annotated[str | None, Query(max_length=2000)]


@router.get("/sign-in")
async def show(request: Request, services: Kit, next: Next = None) -> Response:
    """The form; or straight on for whoever is signed in or need not be."""
    if is_loopback_address(services.config.web.host) or request.scope.get(USER_KEY):
        return RedirectResponse(safe_next(next), 303)
    return _form(safe_next(next))


@router.post("/sign-in")
async def sign_in(request: Request, services: Kit) -> Response:
    """A new session and the way to where the person wanted to go; or the form with the reason."""
    form = await _read_form(request)
    name, password = _field(form, "name").strip(), _field(form, "password")
    target = safe_next(_field(form, "next"))
    if is_loopback_address(services.config.web.host):
        return RedirectResponse(target, 303)
    address = request.client.host if request.client else ""
    try:
        _, token = await in_thread(services.sign_in.sign_in, name, password, address=address)
    except AccessError as problem:
        return _form(target, name=name, problem=problem)
    await _end_session(request, services)  # a session fixed before signing in does not live on
    response = RedirectResponse(target, 303)
    is_https = request.url.scheme == "https"
    response.set_cookie(
        cookie_name(is_https=is_https),
        token,
        max_age=int(services.sessions.absolute_s),
        path="/",
        secure=is_https,
        httponly=True,
        samesite="lax",
    )
    return response


@router.post("/sign-out")
async def sign_out(request: Request, services: Kit, person: Person) -> Response:
    """The session is over, here and in the browser."""
    token = session_cookie(request.scope)
    if token:
        await in_thread(services.sign_in.sign_out, person, token)
    response = RedirectResponse("/sign-in", 303, {"Clear-Site-Data": '"cache", "storage"'})
    is_https = request.url.scheme == "https"
    response.delete_cookie(
        cookie_name(is_https=is_https), path="/", secure=is_https, httponly=True, samesite="lax"
    )
    return response


async def _end_session(request: Request, services: Services) -> None:
    if old := session_cookie(request.scope):
        await in_thread(services.sessions.end, old)


async def _read_form(request: Request) -> FormData:
    try:
        return await request.form(max_files=0, max_fields=5, max_part_size=8192)
    except MultiPartException as problem:
        raise UsageError(f"the form cannot be read: {problem.message}") from None


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if not isinstance(value, str) or "\0" in value:
        raise UsageError("the form is not right", hint="load the page again")
    return value


def _form(target: str, *, name: str = "", problem: AccessError | None = None) -> Response:
    alert = ""
    if problem:
        alert = (
            f'<p class="alert" role="alert" id="problem">{escape(sentence(problem.message))}</p>'
        )
    described = ' aria-describedby="problem"' if problem else ""
    focus_name, focus_password = ("", " autofocus") if name else (" autofocus", "")
    response = page(
        "Sign in",
        f'<main class="door"><div class="card"><div class="brand">{LOGO}<h1>Sign in</h1></div>'
        "<p>Ask your own documents. Nothing you ask leaves this organisation.</p>"
        f'{alert}<form method="post" action="/sign-in"{described}>'
        f'<input type="hidden" name="next" value="{escape(target)}">'
        f'<label>Name<input name="name" value="{escape(name[:64])}" autocomplete="username"'
        f' autocapitalize="none" spellcheck="false" required maxlength="64"{focus_name}></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password"'
        f' required maxlength="256"{focus_password}></label>'
        '<button class="button main">Sign in</button></form>'
        '<p class="small">No account, or the password is lost? Ask your administrator.</p>'
        "</div></main>",
        status=problem.status if problem else 200,
    )
    if problem and problem.retry_after_s:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response
