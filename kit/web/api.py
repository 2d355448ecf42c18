"""The HTTP API for documents, search and status under /api/v1, and /health and /metrics.

Translates, never decides: what a person may see is decided by the library for that person's id.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

import kit
from kit.errors import UsageError
from kit.library.documents import states_named
from kit.people import audit
from kit.web.metrics import metric_text
from kit.web.replies import Kit, Person, Text, document_json, hit_json, in_thread
from kit.web.services import Services

router = APIRouter()
MAX_TOP_K = 50
MAX_QUERY_CHARS = 2000
Collection = Annotated[Text | None, Query(max_length=200)]
StateName = Annotated[Text, Query(max_length=40)]


@router.get("/health")
async def health(services: Kit) -> dict[str, str]:
    """How the parts are, for supervisors and load balancers. Open to all, so it says no more."""
    return {"status": "ok", **await _states(services)}


async def _states(services: Services) -> dict[str, str]:
    worker = services.worker_status()
    return {
        "engine": "ready" if await services.engine_healthy() else "unreachable",
        "worker": worker.state,
        "index": "ready" if services.index.is_ready else "waiting",
    }


@router.get("/api/v1/status")
async def status(services: Kit, person: Person) -> dict[str, Any]:
    """What a client wants to know first: who it is, what is ready, what is there."""
    worker = services.worker_status()
    return {
        "version": kit.__version__,
        "user": {"id": person.id, "name": person.name, "role": person.role},
        **await _states(services),
        "index_state": services.index.state,
        "embedding_model": worker.model or None,
        "embedding_change": worker.change,
        "documents": await in_thread(services.library.counts, person.id),
        "max_upload_mb": services.config.web.max_upload_mb,
    }


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: Kit) -> PlainTextResponse:
    """Counters for Prometheus."""
    by_state = await in_thread(
        services.database.rows, "SELECT state, count(*) FROM documents GROUP BY state"
    )
    states = await _states(services)
    text = metric_text(
        "kit_requests_total",
        "counter",
        "Requests answered, by method, route and status.",
        services.metrics.requests(),
    )
    text += metric_text(
        "kit_documents",
        "gauge",
        "Documents by state.",
        [({"state": state}, count) for state, count in by_state],
    )
    for part in ("engine", "worker", "index"):
        is_ready = float(states[part] == "ready")
        text += metric_text(
            f"kit_{part}_ready", "gauge", f"1 if the {part} is ready.", [({}, is_ready)]
        )
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/v1/documents")
async def list_documents(
    services: Kit, person: Person, collection: Collection = None, state: StateName | None = None
) -> dict[str, Any]:
    """The documents this person may see, of one state if it is named ('failed': without text)."""
    found = await in_thread(services.library.list, person.id, collection)
    wanted = states_named(state) if state else None
    shown = [document for document in found if wanted is None or document.state in wanted]
    return {"documents": [document_json(document) for document in shown]}


@router.get("/api/v1/documents/{document_id}")
async def show_document(services: Kit, person: Person, document_id: str) -> dict[str, Any]:
    """One document, and what became of each of its pages.

    404 if it is not there or not this person's to see: the two look the same.
    """
    record = await in_thread(services.library.get, document_id, person.id)
    pages = await in_thread(services.ledger.pages, document_id, person.id)
    return {"document": document_json(record), "pages": [vars(page) for page in pages]}


@router.delete("/api/v1/documents/{document_id}")
async def remove_document(services: Kit, person: Person, document_id: str) -> dict[str, str]:
    """The document, its text and its passages are gone."""
    record = await in_thread(services.library.get, document_id, person.id)
    await in_thread(services.library.remove, document_id, person.id)
    await in_thread(
        audit.record, services.database, person.id, "document.remove", document_id, record.name
    )
    services.index.wake()
    return {"removed": document_id}


@router.post("/api/v1/purge")
async def purge(services: Kit, person: Person) -> dict[str, Any]:
    """Nothing of what was removed is left in any file; answers when that is so, or says what is
    left after a minute and a half. For administrators."""
    if services.purging is None:
        raise UsageError("nothing is kept here, so nothing can be purged")
    done = await services.purging.finish()
    await in_thread(audit.record, services.database, person.id, "documents.purge")
    return done.as_dict()


@router.post("/api/v1/documents/{document_id}/retry")
async def retry_document(services: Kit, person: Person, document_id: str) -> dict[str, str]:
    """The document is read once more."""
    await in_thread(services.library.retry, document_id, person.id)
    services.wake_worker()
    return {"retried": document_id}


@router.get("/api/v1/search")
async def search(
    services: Kit,
    person: Person,
    q: Annotated[Text, Query(min_length=1, max_length=MAX_QUERY_CHARS)],
    top_k: Annotated[int, Query(ge=1, le=MAX_TOP_K)] = 10,
    collection: Collection = None,
) -> dict[str, Any]:
    """The passages that match best, without the model."""
    result = await services.searcher.search(q, reader=person.id, top_k=top_k, collection=collection)
    return {"hits": [hit_json(hit) for hit in result.hits], "notices": list(result.notices)}
