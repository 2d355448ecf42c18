"""The HTTP API for documents, search and status under /api/v1, and /health and /metrics.

Translates, never decides: what a person may see is decided by the library for that person's id.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

import kit
from kit.people import audit
from kit.web.metrics import metric_text
from kit.web.replies import Kit, Person, Text, document_json, hit_json, in_thread
from kit.web.services import Services

router = APIRouter()
MAX_TOP_K = 50
MAX_QUERY_CHARS = 2000
Collection = Annotated[Text | None, Query(max_length=200)]


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
    services: Kit, person: Person, collection: Collection = None
) -> dict[str, Any]:
    """The documents this person may see."""
    found = await in_thread(services.library.list, person.id, collection)
    return {"documents": [document_json(document) for document in found]}


@router.get("/api/v1/collections")
async def list_collections(services: Kit, person: Person) -> dict[str, Any]:
    """The collections this person may see."""
    found = await in_thread(services.library.collections, person.id)
    return {
        "collections": [
            {"name": name, "is_private": is_private, "num_documents": num_documents}
            for name, is_private, num_documents in found
        ]
    }


@router.get("/api/v1/documents/{document_id}")
async def show_document(services: Kit, person: Person, document_id: str) -> dict[str, Any]:
    """One document. 404 if it is not there or not this person's to see: the two look the same."""
    return {
        "document": document_json(await in_thread(services.library.get, document_id, person.id))
    }


@router.delete("/api/v1/documents/{document_id}")
async def remove_document(services: Kit, person: Person, document_id: str) -> dict[str, str]:
    """The document, its text and its passages are gone."""
    record = await in_thread(services.library.get, document_id, person.id)
    await in_thread(services.library.remove, document_id, person.id, is_admin=person.is_admin)
    await in_thread(
        audit.record, services.database, person.id, "document.remove", document_id, record.name
    )
    services.index.wake()
    return {"removed": document_id}


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
