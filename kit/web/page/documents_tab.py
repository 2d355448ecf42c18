"""The library: handlers between the documents page and kit.library.

Knows widgets' values and the rooms' functions; decides nothing but which uploads may be shared, as
the API does. Invariant: an uploaded file is gone from Gradio's cache when its handler returns,
whatever became of it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from kit.errors import AccessError, KitError, UsageError
from kit.files import format_bytes
from kit.library.documents import DocumentRecord
from kit.people import audit
from kit.web.page.asked import explained, id_of, toast_html, user_of
from kit.web.page.lists import documents_html, is_settled, uploaded_html
from kit.web.page.pieces import sentence_case
from kit.web.services import Services
from kit.web.uploads import sent_name

PRIVATE, SHARED = "Only me", "Everyone here"
PRIVATE_COLLECTION = "My documents"
SKIP = gr.skip()

# Values for: table, timer (and message to the reader).
Drawn = tuple[Any, Any]


class DocumentsTab:
    """Handlers of the documents page; one object serves everybody and keeps nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._library = services.library

    def _draw(self, user_id: str) -> Drawn:
        documents = self._library.list(user_id)
        table = documents_html(documents, user_id, self._is_admin(user_id))
        return table, gr.Timer(refresh_s(len(documents)), active=not is_settled(documents))

    def _is_admin(self, user_id: str) -> bool:
        return bool(self._services.accounts.get(user_id).role == "admin")

    @explained(2)
    def show(self, request: gr.Request) -> Drawn:
        """The documents this person may see; the timer runs while any of them is in work."""
        return self._draw(user_of(request))

    @explained(4)
    def open(self, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """As `show`, with the choice of who may read new documents, for those who have it."""
        user_id = user_of(request)
        is_admin = self._is_admin(user_id)
        who = gr.Radio(value=SHARED if is_admin else PRIVATE, visible=is_admin)
        return (*self._draw(user_id), who, "")

    @explained(2)
    def remove(self, event: gr.EventData, request: gr.Request) -> Drawn:
        user_id = user_of(request)
        document_id = id_of(event, "document")
        record = self._library.get(document_id, user_id)
        self._library.remove(document_id, user_id, is_admin=self._is_admin(user_id))
        audit.record(self._services.database, user_id, "document.remove", document_id, record.name)
        self._services.index.wake()
        return self._draw(user_id)

    @explained(2)
    def retry(self, event: gr.EventData, request: gr.Request) -> Drawn:
        user_id = user_of(request)
        self._library.retry(id_of(event, "document"), user_id)
        self._services.wake_worker()
        return self._draw(user_id)

    def upload(
        self, paths: list[str] | None, who: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Each file moves into the library; yields (drop zone, results, table, timer, message).

        The drop zone is free again at once: emptied any later, it would swallow what is dropped
        while these files are taken in.
        """
        results: list[tuple[str, str, str]] = []
        try:
            yield None, SKIP, SKIP, SKIP, SKIP
            user_id = user_of(request)
            is_private = self._is_private(user_id, who)
            for path in paths or ():
                results.append(self._add(Path(path), user_id, is_private))
                self._services.wake_worker()
                yield SKIP, uploaded_html(results), *self._draw(user_id), SKIP
            yield SKIP, uploaded_html(results), *self._draw(user_id), SKIP
        except KitError as error:
            yield SKIP, SKIP, SKIP, SKIP, toast_html(error.message, error.hint)
        finally:
            discard([Path(path) for path in paths or ()])

    def _is_private(self, user_id: str, who: str) -> bool:
        if who not in (PRIVATE, SHARED):
            raise UsageError("choose who may read the documents")
        if who == SHARED and not self._is_admin(user_id):
            raise AccessError(
                "only an administrator may add documents for everyone",
                hint="add them for yourself, or ask an administrator",
            )
        return who == PRIVATE

    def _add(self, path: Path, user_id: str, is_private: bool) -> tuple[str, str, str]:
        """(tone, name, what became of the file)."""
        max_bytes = self._services.config.web.max_upload_mb << 20
        name = sent_name(path.name)
        try:
            with path.open("rb") as stream:
                record = self._library.add(
                    stream,
                    name,
                    added_by=user_id,
                    collection=PRIVATE_COLLECTION if is_private else "library",
                    is_private=is_private,
                    max_bytes=max_bytes,
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
