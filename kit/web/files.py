"""Original files, their text and pictures of their pages, for those who may read them.

Knows headers and content types; the library is the gate. Invariant: no file that somebody loaded is
ever served as a page of ours: only a PDF opens in the browser, everything else is a download.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import FileResponse, Response

from kit.errors import UsageError
from kit.library.documents import DocumentRecord, span_on_page
from kit.library.parsers.detect import shows_pages
from kit.library.word_boxes import Area, areas_of
from kit.web.replies import Kit, Person, document_json, in_thread

router = APIRouter(prefix="/api/v1/documents")
PDF = "application/pdf"
CONTENT_TYPES = {
    ".pdf": PDF,
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Chromium's own PDF viewer works under this policy (tried: 2026-11). Threat: a file that only calls
# itself a PDF and runs as a page of ours.
FILE_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
MAX_OFFSET = 1 << 40
Offset = Annotated[int | None, Query(ge=0, le=MAX_OFFSET)]


@router.get("/{document_id}/original")
async def original(
    services: Kit, person: Person, document_id: str, download: bool = False
) -> Response:
    """The file as it was loaded."""
    record = await in_thread(services.library.get, document_id, person.id)
    path = await in_thread(services.library.original, document_id, person.id)
    kind = content_type(record.name)
    is_inline = kind == PDF and not download
    return FileResponse(
        path,
        media_type=kind,
        headers={
            "Content-Disposition": disposition(record.name, is_inline=is_inline),
            "Content-Security-Policy": FILE_CSP,
        },
    )


@router.get("/{document_id}/text")
async def text(services: Kit, person: Person, document_id: str) -> dict[str, Any]:
    """What was read from the file; all offsets count its characters."""
    record = await in_thread(services.library.get, document_id, person.id)
    parsed = await in_thread(services.library.text, document_id, person.id)
    sections = [
        {"kind": s.kind, "label": s.label, "start": s.start, "end": s.end, "page": s.page}
        for s in parsed.sections
    ]
    return {"document": document_json(record), "text": parsed.text, "sections": sections}


@router.get("/{document_id}/pages/{page}.png")
async def page_picture(
    services: Kit,
    person: Person,
    document_id: str,
    page: int,
    start: Offset = None,
    end: Offset = None,
    scale: Annotated[float, Query(ge=0.2, le=3)] = 1.5,
) -> Response:
    """A page of a PDF or a picture as PNG, the part of the span start-end that lies on it marked.

    `scale` is in pixels per point; a picture is drawn as large as a page of A4 at most.
    """
    from kit.library.reading.render import render_page

    record = await in_thread(services.library.get, document_id, person.id)
    if not shows_pages(record.name):
        raise UsageError("only a PDF or a picture has pictures of its pages")
    highlight, quoted, areas = None, "", list[Area]()
    if start is not None and end is not None:
        parsed = await in_thread(services.library.text, document_id, person.id)
        highlight, quoted = span_on_page(parsed, page, start, end)
    if highlight:
        words = await in_thread(services.library.words, document_id, person.id, page)
        areas = areas_of(words, highlight)
    path = await in_thread(services.library.original, document_id, person.id)
    png = await in_thread(
        render_page,
        path,
        page,
        highlight=highlight,
        quoted=quoted,
        areas=areas,
        scale=scale,
        work_folder=services.config.home / "tmp",
    )
    return Response(png, media_type="image/png")


def is_pdf(record: DocumentRecord) -> bool:
    return content_type(record.name) == PDF


def content_type(name: str) -> str:
    """Of formats that no browser runs; every other is bytes to save."""
    suffix = PurePosixPath(name).suffix.lower()
    return CONTENT_TYPES.get(suffix, "application/octet-stream")


def disposition(name: str, *, is_inline: bool = False) -> str:
    """A Content-Disposition, the name in ASCII for old clients and whole for others (RFC 6266).

    Threat: a name with quotes or line breaks that ends the header and begins another.
    """
    name = PurePosixPath(name).name or "document"
    plain = re.sub(r"[^ !#$&+.\w@^`|~()\[\]{},;=-]", "_", name, flags=re.ASCII)
    kind = "inline" if is_inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
