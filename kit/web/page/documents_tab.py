"""The library: handlers between the documents page and kit.library.

Knows widgets' values and the rooms' functions; decides nothing. Invariant: an uploaded file is gone
from Gradio's cache when its handler returns, whatever became of it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kit.errors import AccessError, KitError
from kit.files import format_bytes
from kit.library.documents import DocumentRecord
from kit.library.folders import Folder, Folders
from kit.people import audit
from kit.web.page.asked import explained, id_of, toast_html, user_of
from kit.web.page.lists import change_html, documents_html, is_settled, uploaded_html
from kit.web.page.pieces import sentence_case
from kit.web.page.places import place_arguments
from kit.web.page.reading import folders_html, pages_html, reading_html
from kit.web.page.sharing import SharingPanel
from kit.web.page.widgets import gr
from kit.web.services import Services
from kit.web.uploads import sent_name

SKIP = gr.skip()

# Values for: progress line, table, timer (and message to the reader).
Drawn = tuple[Any, Any, Any]


class DocumentsTab:
    """Handlers of the documents page; one object serves everybody and keeps nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._library = services.library
        self.sharing = SharingPanel(services)

    def _draw(self, user_id: str) -> Drawn:
        documents, is_admin = self._library.list(user_id), self._is_admin(user_id)
        progress = self._services.ledger.progress(user_id)
        folders = self._folders(user_id) if is_admin else []
        change = self._services.worker_status().change
        is_asked = any(folder.scanned_at is None for folder in folders)
        is_at_work = bool(change) or is_asked or not is_settled(documents)
        return (
            reading_html(progress, documents, is_admin) + folders_html(folders, time.time()),
            change_html(change) + documents_html(documents, self.sharing.places(user_id)),
            gr.Timer(refresh_s(len(documents)), active=is_at_work),
        )

    def _folders(self, user_id: str) -> list[Folder]:
        visible = self._library.visible_collection_ids(user_id)
        return Folders(self._services.database).visible(visible)

    def _is_admin(self, user_id: str) -> bool:
        return bool(self._services.accounts.get(user_id).role == "admin")

    @explained(3)
    def show(self, request: gr.Request) -> Drawn:
        """The documents this person may see; the timer runs while any of them is in work."""
        return self._draw(user_of(request))

    @explained(5)
    def open(self, request: gr.Request) -> tuple[Any, ...]:
        """As `show`, with the choice of where new documents go and who reads them there."""
        user_id = user_of(request)
        sharing, who = self.sharing.draw(user_id)
        return (*self._draw(user_id), who, "", sharing)

    @explained(4)
    def remove(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """The document is gone; then as `show`, with what was done."""
        user_id = user_of(request)
        document_id = id_of(event, "document")
        record = self._library.get(document_id, user_id)
        self._library.remove(document_id, user_id)
        audit.record(self._services.database, user_id, "document.remove", document_id, record.name)
        self._services.index.wake()
        return (*self._draw(user_id), uploaded_html([("ready", record.name, "was removed")]))

    @explained(4)
    def move(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """The document lies in another collection; then as `show`, with what was done."""
        user_id = user_of(request)
        place = self.sharing.move(id_of(event, "document"), id_of(event, "place"), user_id)
        self._services.index.wake()
        return (*self._draw(user_id), uploaded_html([("ready", *place)]))

    @explained(3)
    def retry(self, event: gr.EventData, request: gr.Request) -> Drawn:
        user_id = user_of(request)
        self._library.retry(id_of(event, "document"), user_id)
        self._services.wake_worker()
        return self._draw(user_id)

    @explained(3)
    def retry_failed(self, request: gr.Request) -> Drawn:
        """Every document without text that this person may change is read once more."""
        user_id = user_of(request)
        self._services.ledger.retry_failed(user_id)
        self._services.wake_worker()
        return self._draw(user_id)

    @explained(3)
    def stop(self, event: gr.EventData, request: gr.Request) -> Drawn:
        """A document that waits or is being read is not read."""
        user_id = user_of(request)
        self._services.ledger.stop(id_of(event, "document"), user_id)
        return self._draw(user_id)

    @explained(3)
    def pause(self, request: gr.Request) -> Drawn:
        user_id = user_of(request)
        self._services.ledger.pause(is_admin=self._is_admin(user_id))
        audit.record(self._services.database, user_id, "reading.pause", "")
        return self._draw(user_id)

    @explained(3)
    def resume(self, request: gr.Request) -> Drawn:
        user_id = user_of(request)
        self._services.ledger.resume(is_admin=self._is_admin(user_id))
        audit.record(self._services.database, user_id, "reading.resume", "")
        self._services.wake_worker()
        return self._draw(user_id)

    @explained(3)
    def sync(self, event: gr.EventData, request: gr.Request) -> Drawn:
        """The running kit looks into a followed folder next."""
        user_id = user_of(request)
        if not self._is_admin(user_id):
            raise AccessError("only an administrator has folders looked into")
        folders = Folders(self._services.database)
        folders.ask_for(folders.find(id_of(event, "folder")))
        self._services.wake_worker()
        return self._draw(user_id)

    @explained(1)
    def pages(self, event: gr.EventData, request: gr.Request) -> tuple[str]:
        """What became of each page of one document."""
        user_id, document_id = user_of(request), id_of(event, "document")
        record = self._library.get(document_id, user_id)
        return (pages_html(record, self._services.ledger.pages(document_id, user_id)),)

    def upload(
        self, paths: list[str] | None, who: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Each file moves into the library; yields (drop zone, results, then as `show`, message).

        The drop zone is free again at once: emptied any later, it would swallow what is dropped
        while these files are taken in.
        """
        results: list[tuple[str, str, str]] = []
        try:
            yield None, SKIP, SKIP, SKIP, SKIP, SKIP
            user_id = user_of(request)
            place = place_arguments(who, self._services.accounts.get(user_id))
            for path in paths or ():
                results.append(self._add(Path(path), user_id, place))
                self._services.wake_worker()
                yield SKIP, uploaded_html(results), *self._draw(user_id), SKIP
            yield SKIP, uploaded_html(results), *self._draw(user_id), SKIP
        except KitError as error:
            yield SKIP, SKIP, SKIP, SKIP, SKIP, toast_html(error.message, error.hint)
        finally:
            discard([Path(path) for path in paths or ()])

    def _add(self, path: Path, user_id: str, place: dict[str, Any]) -> tuple[str, str, str]:
        """(tone, name, what became of the file)."""
        max_bytes = self._services.config.web.max_upload_mb << 20
        name = sent_name(path.name)
        try:
            with path.open("rb") as stream:
                record = self._library.add(
                    stream, name, added_by=user_id, max_bytes=max_bytes, **place
                )
        except FileNotFoundError:  # the same file, added by another person at the same moment
            return "bad", name, "was not received whole; choose it again"
        except KitError as error:
            words = ". ".join(sentence_case(w) for w in (error.message, error.hint) if w)
            return "bad", name, words
        finally:
            discard([path])
        if not record.is_duplicate:
            audit.record(self._services.database, user_id, "document.add", record.id, record.name)
        return _became(record)


def refresh_s(num_documents: int) -> float:
    """Seconds between two drawings of the table: a long one, 1.4 kB a row, is drawn less often."""
    return max(1.5, num_documents / 200)


def _became(record: DocumentRecord) -> tuple[str, str, str]:
    if record.is_duplicate:
        return "warn", record.name, "is already here; nothing was added"
    if record.state == "duplicate":
        return "ready", record.name, f"has the same content as {record.related}, which answers"
    return "ready", record.name, f"is stored ({format_bytes(record.size_bytes)})"


def discard(paths: Sequence[Path]) -> None:
    """The files are gone from Gradio's cache.

    Threat: Gradio serves a cached upload to every signed-in person who knows its path. Each upload
    lies in a folder of its own, named by its digest.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            if not any(path.parent.iterdir()):
                shutil.rmtree(path.parent, ignore_errors=True)
