"""The HTTP API for the reading of documents, and for the folders that are followed.

Translates, never decides: what a person may see or change is decided by the ledger.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from kit.library.folders import Folders
from kit.people import audit
from kit.web.replies import Kit, Person, in_thread

router = APIRouter()


@router.get("/api/v1/reading")
async def show_reading(services: Kit, person: Person) -> dict[str, Any]:
    """How far the reading of this person's documents is: done, waiting, speed, what is read now."""
    progress = await in_thread(services.ledger.progress, person.id)
    return {"reading": progress.as_dict()}


@router.post("/api/v1/reading/pause")
async def pause_reading(services: Kit, person: Person) -> dict[str, bool]:
    """Nothing further is read until it is resumed. For administrators."""
    await in_thread(services.ledger.pause, is_admin=person.is_admin)
    await in_thread(audit.record, services.database, person.id, "reading.pause", "")
    return {"is_paused": True}


@router.post("/api/v1/reading/resume")
async def resume_reading(services: Kit, person: Person) -> dict[str, bool]:
    """The reading goes on. For administrators."""
    await in_thread(services.ledger.resume, is_admin=person.is_admin)
    await in_thread(audit.record, services.database, person.id, "reading.resume", "")
    services.wake_worker()
    return {"is_paused": False}


@router.post("/api/v1/reading/retry")
async def retry_failed(services: Kit, person: Person) -> dict[str, list[str]]:
    """Every document without text that this person may change is read once more."""
    again = await in_thread(services.ledger.retry_failed, person.id)
    services.wake_worker()
    return {"retried": again}


@router.post("/api/v1/documents/{document_id}/stop")
async def stop_document(services: Kit, person: Person, document_id: str) -> dict[str, str]:
    """A document that waits or is being read is not read."""
    await in_thread(services.ledger.stop, document_id, person.id)
    return {"stopped": document_id}


@router.get("/api/v1/folders")
async def list_folders(services: Kit, person: Person) -> dict[str, Any]:
    """The followed folders whose documents this person may see. For administrators."""
    visible = await in_thread(services.library.visible_collection_ids, person.id)
    folders = await in_thread(Folders(services.database).visible, visible)
    return {"folders": [folder.as_dict() for folder in folders]}


@router.post("/api/v1/folders/{folder_id}/sync")
async def sync_folder(services: Kit, person: Person, folder_id: str) -> dict[str, str]:
    """The running kit looks into the folder next. For administrators."""
    folders = Folders(services.database)
    folder = await in_thread(folders.find, folder_id)
    await in_thread(folders.ask_for, folder)
    await in_thread(audit.record, services.database, person.id, "folder.sync", folder.name)
    services.wake_worker()
    return {"asked": folder_id}
