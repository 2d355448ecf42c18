"""The kit as the commands see it: the same verbs whether it is running or not.

Two implementations keep one contract (tests/cli/test_session.py asserts the same table against
both): RemoteKit asks the running kit over its HTTP API, LocalKit works on the folder itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from kit.errors import KitError, NotFound, Problem, UsageError
from kit.library.documents import BUSY_STATES

if TYPE_CHECKING:
    from kit.answer.conversations.conversations import Conversation
    from kit.answer.events import Event
    from kit.answer.modes.task import Task
    from kit.export.export import Exported, Format
    from kit.library.documents import DocumentRecord, Hit, Page

Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What a search found, best first, and what the reader should know about it."""

    hits: tuple[Hit, ...]
    notices: tuple[str, ...] = ()


class Kit(Protocol):
    """What the commands need. Every method raises KitError with words for a person."""

    def add(self, stream: IO[bytes], name: str, collection: str) -> DocumentRecord:
        """The document is stored durably; reading it may come later."""
        ...

    def read_documents(
        self, ids: Sequence[str], on_change: Callable[[DocumentRecord], None]
    ) -> None:
        """Return when none of these documents is waiting to be read any more.

        Raises: EmbedError if they cannot be read now; they stay stored.
        """
        ...

    def documents(self, collection: str | None = None) -> list[DocumentRecord]: ...

    def document(self, document_id: str) -> DocumentRecord: ...

    def search(self, query: str, *, top_k: int, collection: str | None) -> Found: ...

    def remove(self, document_id: str) -> None: ...

    def purge(self) -> dict[str, Any]:
        """What was removed is in no file any more: `kit.ops.purge.Purged` as JSON."""
        ...

    def retry(self, document_id: str) -> None: ...

    def retry_failed(self) -> list[str]:
        """Every document without text is queued again; returns their ids."""
        ...

    def stop(self, document_id: str) -> None:
        """A document that waits or is being read is not read."""
        ...

    def pages(self, document_id: str) -> tuple[Page, ...]: ...

    def progress(self) -> dict[str, Any]:
        """How far the reading is; see kit.library.ledger.Progress."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def original(self, document_id: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """The document as it was added."""
        ...

    def new_conversation(self) -> str: ...

    def forget_conversation(self, conversation_id: str) -> None: ...

    def ask(
        self,
        question: str,
        *,
        collection: str | None,
        conversation_id: str | None = None,
        document_id: str | None = None,
    ) -> Iterator[Event]:
        """The answer as it is made. Closing the iterator stops it and frees the engine.

        With a document that one alone is asked, and by its conversation from then on.
        """
        ...

    def do(self, task: Task) -> Iterator[Event]:
        """Summarise, compare or extract; as `ask`, but nothing is kept."""
        ...

    def conversations(self) -> list[Conversation]:
        """Latest first."""
        ...

    def export(self, conversation_id: str, form: Format, message_id: int | None = None) -> Exported:
        """A conversation, or one answer of it, as a file. Raises: NotFound, UsageError."""
        ...

    def status(self) -> dict[str, Any]: ...


def find_document(kit: Kit, wanted: str) -> DocumentRecord:
    """The document with that id or name. Raises NotFound; UsageError if several have it."""
    try:
        return kit.document(wanted)
    except NotFound:
        pass
    named = [record for record in kit.documents() if record.name == wanted]
    if len(named) == 1:
        return named[0]
    if not named:
        raise NotFound(f"no document {wanted!r}", hint="see them all: kit docs list")
    raise UsageError(
        f"{len(named)} documents are called {wanted!r}",
        hint="name one by its id",
        problems=[Problem(record.id, f"in {record.collection}") for record in named],
    )


def unread(kit: Kit) -> list[str]:
    """How many documents no search finds yet, and what will read them; empty if there are none."""
    status = kit.status()
    waiting = sum(status["documents"].get(state, 0) for state in BUSY_STATES)
    if not waiting:
        return []
    count, them = ("1 document is", "it") if waiting == 1 else (f"{waiting} documents are", "them")
    if status["running"]:
        return [f"{count} not read yet; the running kit reads {them}"]
    return [f"{count} not read yet; kit up reads {them}, and so does adding {them} again"]


def error_from_json(record: dict[str, Any]) -> KitError:
    """The error that `KitError.as_dict` described, of the same class and exit code."""
    kinds = {kind.code: kind for kind in _kinds(KitError)}
    kind = kinds.get(str(record.get("code")), KitError)
    error = kind(str(record.get("message")), hint=record.get("hint"))
    error.problems = tuple(Problem(p["where"], p["what"]) for p in record.get("problems", ()))
    return error


def _kinds(root: type[KitError]) -> list[type[KitError]]:
    return [*(kind for child in root.__subclasses__() for kind in _kinds(child)), root]
