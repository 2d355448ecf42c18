"""Answers and errors as JSON, and what every endpoint needs of a request.

Knows the nouns' JSON shapes and the shape of errors. Invariant: whatever goes wrong, a client gets
{"error": {message, code, hint, problems}} with a status that says the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, ParamSpec, TypeVar, cast

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kit.errors import AccessError, EngineUnavailable, KitError, NotFound, Problem, UsageError
from kit.library.dates import dated_to_json
from kit.library.documents import DocumentRecord, Hit
from kit.people.accounts import User
from kit.web.gate import USER_KEY, status_of
from kit.web.limits import BodyTooLarge
from kit.web.services import Services

log = logging.getLogger("kit.web")
P = ParamSpec("P")
T = TypeVar("T")


def current_user(request: Request) -> User:
    """The person the gate found. A route that the gate lets a stranger reach must not ask."""
    user: User | None = request.scope.get(USER_KEY)
    if user is None:
        raise AccessError("please sign in", status=401)
    return user


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _storable(text: str) -> str:
    """Threat: NUL and lone surrogates are legal in JSON and break storage, logs and terminals."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("holds characters that no text may hold")
    return text


Person = Annotated[User, Depends(current_user)]
Kit = Annotated[Services, Depends(services_of)]
Text = Annotated[str, AfterValidator(_storable)]


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function that reads the database or a file, without holding up others."""
    return await asyncio.to_thread(function, *args, **kwargs)


def document_json(document: DocumentRecord) -> dict[str, Any]:
    """A document as lists show it."""
    shown = {
        "id": document.id,
        "name": document.name,
        "state": document.state,
        "num_pages": document.num_pages,
        "num_chunks": document.num_chunks,
        "error": document.error,
        "hint": document.hint,
        "notes": list(document.notes),
        "collection": document.collection,
        "collection_id": document.collection_id,
        "is_private": document.audience == "owner",
        "audience": document.audience,
        "may_change": document.may_change,
        "title": document.title,
        "size_bytes": document.size_bytes,
        "sha256": document.sha256,
        "dated": dated_to_json(document.dated),
        "created_at": document.created_at,
        "duplicate_of": document.duplicate_of,
        "superseded_by": document.superseded_by,
        "archive_id": document.archive_id,
        "related": document.related,
    }
    return shown | ({"is_duplicate": True} if document.is_duplicate else {})


def hit_json(hit: Hit) -> dict[str, Any]:
    """A passage that was found. Which half found it how well is of no use to a client."""
    shown = asdict(hit)
    for name in ("chunk_id", "num_tokens", "is_shared"):
        del shown[name]
    return shown


def error_json(problem: KitError) -> JSONResponse:
    """The error with its status."""
    headers = {}
    if isinstance(problem, AccessError) and problem.retry_after_s:
        headers["Retry-After"] = str(problem.retry_after_s)
    elif isinstance(problem, EngineUnavailable):
        headers["Retry-After"] = "3"
    return JSONResponse({"error": problem.as_dict()}, status_of(problem), headers)


ErrorPage = Callable[[KitError], Response]


def add_error_handlers(app: FastAPI, error_page: ErrorPage, page_paths: frozenset[str]) -> None:
    """Every error of the app as JSON, or as a page where a person opened a page."""

    def answer(request: Request, problem: KitError) -> Response:
        if request.url.path in page_paths:
            return error_page(problem)
        return error_json(problem)

    async def on_kit_error(request: Request, problem: Exception) -> Response:
        return answer(request, cast(KitError, problem))  # registered for this class alone

    async def on_validation(request: Request, problem: Exception) -> Response:
        return answer(request, _usage_error(cast(RequestValidationError, problem)))

    async def on_http(request: Request, unknown: Exception) -> Response:
        problem = cast(HTTPException, unknown)
        if problem.status_code == 404:
            return answer(request, NotFound("there is nothing here", hint="the page is at /"))
        response = answer(request, UsageError(str(problem.detail)))
        response.status_code = problem.status_code
        return response

    async def on_large(_: Request, __: Exception) -> Response:
        return Response(status_code=413)  # the gate says it in words

    async def on_bug(request: Request, problem: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
        return answer(request, InternalError())

    app.add_exception_handler(KitError, on_kit_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(BodyTooLarge, on_large)
    app.add_exception_handler(Exception, on_bug)


class InternalError(KitError):
    """A bug of ours, told without its insides."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__("the kit failed on this request", hint="the reason is in logs/web.log")


def _usage_error(problem: RequestValidationError) -> UsageError:
    """What is wrong with each field; the value itself is not repeated."""
    problems = [
        Problem(".".join(str(part) for part in error["loc"]), str(error["msg"]))
        for error in problem.errors()
    ]
    return UsageError("the request is not right", problems=problems)
