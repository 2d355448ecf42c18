"""Loading documents over HTTP: multipart bodies into the library, never held in memory.

Knows multipart and limits, not what becomes of a document. Invariant: a file over the limit is
refused while it arrives, not after.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from kit.errors import KitError, UsageError
from kit.files import explain_os_errors, format_bytes, require_space
from kit.people import audit
from kit.people.access import require_may_share
from kit.people.accounts import User
from kit.web.gate import TooLarge, status_of
from kit.web.limits import drain
from kit.web.replies import Kit, Person, document_json, in_thread
from kit.web.services import Services

router = APIRouter()
MAX_FILES = 200
SHARED, OWN = "library", "My documents"  # where documents go that name no collection
MAX_NAME_CHARS = 500


class _LimitedParser(MultiPartParser):
    """Spools files to disk as Starlette does, and stops at a file that is too large."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], max_bytes: int
    ) -> None:
        super().__init__(headers, stream, max_files=MAX_FILES, max_fields=10)
        self._max_bytes = max_bytes
        self._num_bytes = 0

    def on_part_begin(self) -> None:
        self._num_bytes = 0
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._num_bytes += end - start
        if self._num_bytes > self._max_bytes:
            raise _FileTooLarge(self._part_name())
        super().on_part_data(data, start, end)

    def _part_name(self) -> str:
        file = self._current_part.file
        shown = sent_name(file.filename or "") if file else ""
        return "".join(c for c in shown if c.isprintable())[:MAX_NAME_CHARS] or "a file"


class _FileTooLarge(Exception):
    """Its text is the name of the file."""


@router.post("/api/v1/documents")
async def add_documents(request: Request, services: Kit, person: Person) -> JSONResponse:
    """Documents that are stored durably when this answers; a worker reads them afterwards.

    Multipart: one or more `file`, and where they go: a `collection_id`; or `collection`, the name
    of one the person may write; with `private` one that nobody else reads ('true'), or everyone
    ('false', for administrators). One refused file does not stop the others.
    """
    max_bytes = services.config.web.max_upload_mb << 20
    async with _parsed(request, services, max_bytes) as form:
        files = [item for item in form.getlist("file") if isinstance(item, UploadFile)]
        if not files:
            raise UsageError("no file was sent", hint="send one or more fields named 'file'")
        place = _place(form, person)
        added, problems = [], []
        for file in files:
            try:
                added.append(await _add(services, person, file, place, max_bytes))
            except KitError as problem:
                problems.append((file.filename or "", problem))
    if added:
        services.wake_worker()
    elif len(problems) == 1:
        raise problems[0][1]
    return JSONResponse(
        {
            "documents": added,
            "problems": [{"name": name, "error": p.as_dict()} for name, p in problems],
        },
        201 if added else status_of(problems[0][1]),
    )


@dataclass(frozen=True)
class Place:
    """Where new documents go, as `Library.add` takes it."""

    collection: str
    is_private: bool | None = None
    collection_id: int | None = None


def _place(form: FormData, person: User) -> Place:
    """Raises: AccessError, UsageError."""
    number = _text_field(form, "collection_id")
    if number and not (number.isascii() and number.isdigit() and len(number) < 19):
        raise UsageError(f"collection_id is a number, not {number!r}")
    collection, choice = _text_field(form, "collection"), _text_field(form, "private").lower()
    choices = {"true": True, "1": True, "false": False, "0": False, "": None}
    if choice not in choices:
        raise UsageError(f"private is true or false, not {choice!r}")
    is_private = choices[choice]
    if number:
        return Place("", collection_id=int(number))
    if is_private is None and not collection:
        is_private = not person.is_admin
    if is_private is False:
        require_may_share(person)
    return Place(collection or (OWN if is_private else SHARED), is_private)


async def _add(
    services: Services,
    person: User,
    file: UploadFile,
    place: Place,
    max_bytes: int,
) -> dict[str, Any]:
    name = clean_name(sent_name(file.filename or ""))
    record = await in_thread(
        services.library.add,
        file.file,
        name,
        added_by=person.id,
        max_bytes=max_bytes,
        **vars(place),
    )
    if not record.is_duplicate:
        await in_thread(audit.record, services.database, person.id, "document.add", record.id, name)
    return document_json(record)


class _parsed:
    """The form of a request, its spooled files closed at the end."""

    def __init__(self, request: Request, services: Services, max_bytes: int) -> None:
        self._request, self._services, self._max_bytes = request, services, max_bytes
        self._form = FormData()

    async def __aenter__(self) -> FormData:
        if not self._request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise UsageError(
                "the request is no multipart form", hint="send the file as a field named 'file'"
            )
        folder = self._services.config.home / "tmp"
        length = int(self._request.headers.get("content-length") or 0)
        require_space(folder, 2 * length)  # spooled once, stored once
        parser = _LimitedParser(self._request.headers, self._request.stream(), self._max_bytes)
        try:
            with explain_os_errors(folder):  # the parser closes what it spooled on any error
                self._form = await parser.parse()
        except _FileTooLarge as problem:
            await drain(self._request.receive)
            raise TooLarge(
                f"{problem} is larger than {format_bytes(self._max_bytes)}; nothing was added",
                hint="split it and send the others alone, or have web.max_upload_mb raised",
            ) from None
        except MultiPartException as problem:
            raise UsageError(f"the form cannot be read: {problem.message}") from None
        except ClientDisconnect:
            raise UsageError("the sender went away") from None
        return self._form

    async def __aexit__(self, *_: object) -> None:
        await self._form.close()


def _text_field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise UsageError(f"the field {name!r} is not right")
    return value.strip()


def sent_name(filename: str) -> str:
    """The name as its sender meant it: browsers and httpx write `"`, CR and LF as %22, %0D, %0A.

    Source: the multipart encoding of the HTML standard, which escapes these three and no others.
    """
    return filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def clean_name(name: str) -> str:
    """The name people will see: a file's name, or its path inside an added folder.

    Threat: a name that leaves its folder, misleads by control characters or breaks a header.
    Raises: UsageError for a name that is nothing but that.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    cleaned = "/".join("".join(c for c in part if c.isprintable()).strip() for part in parts)
    cleaned = cleaned.strip("/")
    if not cleaned:
        raise UsageError("a file has no name")
    if len(cleaned) > MAX_NAME_CHARS:
        raise UsageError(f"a file's name is longer than {MAX_NAME_CHARS} characters")
    return cleaned
