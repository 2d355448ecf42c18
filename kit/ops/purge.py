"""What was removed is gone from every file of the home, not only from what people see.

Knows every place that may hold something of a document. Invariants: a removal is forgotten only
when nothing of it is left, so a kill at any moment leaves the purge to be done again; what is not
done yet, and what is not touched on purpose, is said.

A row that is deleted is overwritten at once (secure_delete); what stays is what this module is for:
terms in the full-text index until its segments are merged, pages in the write-ahead log until it is
truncated, vectors in Chroma's files until they are built anew, originals of a removal that a kill
cut short, names in the audit log and in the logs, and the answers that repeat the document.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.answer.conversations.redact import RemovedDocument, empty_repeats
from kit.database import Database, time_text
from kit.library.index.index_folder import drop_index, forget_index, forgotten_by_index
from kit.library.index.lexical import merge_terms
from kit.library.index.vector_rows import count_vectors
from kit.library.store import Library
from kit.library.sweep import changed_at, sweep
from kit.ops.prefixes import remove_ended

AUTOMATIC_ROWS = 20_000  # so many vectors are scanned exactly meanwhile, and nobody notices
STREAM_S = 900.0  # an answer that began so long ago was cut off by a kill
KILLED_S = 900.0  # nothing is received, or read, for so long in one file of tmp
CLAIM_S = 5.0  # from taking a document off the queue to the folder it is read in
CHECKPOINT_TRIES = 20
CHECKPOINT_WAIT_S = 0.1
INDEX_PENDING = "the index of meanings is being built anew"
MAX_CHARS = 2_000_000  # of removed texts that conversations are compared with at once
MIN_LOGGED_CHARS = 6  # a shorter name is a word like others in a log


@dataclass(frozen=True)
class Purged:
    """What one purge did. `pending`: not done yet, in words; `kept`: copies it does not touch."""

    num_documents: int = 0
    num_messages: int = 0
    pending: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not self.pending

    def as_dict(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {"is_complete": self.is_complete, **asdict(self)}


def has_removals(database: Database) -> bool:
    return database.row("SELECT 1 FROM removals LIMIT 1") is not None


def purge(home: Path, database: Database, *, with_index: bool = False) -> Purged:
    """No file of the home holds anything of the documents that were removed.

    `with_index` also has the dense index built anew where that takes long enough to be noticed;
    for fewer than AUTOMATIC_ROWS vectors it always is. Whoever owns the index builds it: it is
    among `pending` until then. Raises: DiskFull, MachineError; the purge is then to be done again.
    """
    library = Library(home, database)
    begun = Purged(kept=_copies(home))
    if has_removals(database) and _has_file_in_hand(library):
        return replace(begun, pending=("a file that was in hand at the removal is being read",))
    is_first = database.row("SELECT 1 FROM removals WHERE emptied_at IS NULL") is not None
    num_messages, done = _empty(database) if is_first else (0, [])
    if _is_being_answered(database):
        pending = ("an answer that began before the removal is being written",)
        return replace(begun, num_messages=num_messages, pending=pending)
    if not is_first:  # once more, for the answers that were waited for
        num_messages, done = _empty(database)
    for removal_id in done:
        _clear_names(home, database, removal_id)
    for (sha256,) in database.rows("SELECT DISTINCT sha256 FROM removals"):
        library.drop_original(sha256)
    remove_ended(home, database)
    sweep(library, older_than_s=KILLED_S)
    if done or with_index:
        merge_terms(database)
        if with_index or count_vectors(database, AUTOMATIC_ROWS + 1) <= AUTOMATIC_ROWS:
            forget_index(database)
        with database.write() as connection:
            connection.executemany("DELETE FROM removals WHERE id = ?", [(i,) for i in done])
    return replace(
        begun,
        num_documents=len(done),
        num_messages=num_messages,
        pending=_still_there(home, database),
    )


def purge_alone(home: Path, database: Database, *, with_index: bool = False) -> Purged:
    """As `purge`, of a home that no kit runs on: an index that holds something of what was removed
    is dropped. The next kit builds it anew."""
    done = purge(home, database, with_index=with_index)
    if INDEX_PENDING in done.pending and drop_index(home):
        done = replace(done, pending=tuple(p for p in done.pending if p != INDEX_PENDING))
    return done


def _empty(database: Database) -> tuple[int, list[int]]:
    """(number of messages emptied, ids of the removals) of all that are noted now."""
    num_messages, done = 0, list[int]()
    while removed := _removed(database, after=done[-1] if done else 0):
        num_messages += empty_repeats(database, list(removed.values()))
        done += removed
    with database.write() as connection:
        connection.executemany(
            "UPDATE removals SET emptied_at = ? WHERE id = ? AND emptied_at IS NULL",
            [(time_text(time.time()), removal_id) for removal_id in done],
        )
    return num_messages, done


def _removed(database: Database, *, after: int) -> dict[int, RemovedDocument]:
    """The next ones by their removals' ids, as many as have their texts in memory together; at
    least one if there is."""
    found: dict[int, RemovedDocument] = {}
    num_chars = 0
    while num_chars < MAX_CHARS and (row := database.row(_NEXT, (after,))):
        after = int(row[0])
        found[after] = RemovedDocument(*row[1:])
        num_chars += len(row[-1])
    return found


_NEXT = (
    "SELECT id, document_id, name, coalesce(title, ''), text FROM removals"
    " WHERE id > ? ORDER BY id LIMIT 1"
)


def _has_file_in_hand(library: Library) -> bool:
    """Whether a file is being read since before the last removal: it may be a removed one."""
    sweep(library, older_than_s=KILLED_S)
    row = library.database.row("SELECT max(removed_at) FROM removals")
    removed_at = datetime.fromisoformat(str(row[0])).timestamp() if row else 0.0
    folders = (library.home / "tmp").glob("read-*")
    return any(changed_at(path) < removed_at + CLAIM_S for path in folders)


def _is_being_answered(database: Database) -> bool:
    """Whether an answer is being written that began before conversations were first cleared: it
    may have read what was in them."""
    sql = (
        "SELECT 1 FROM messages WHERE state = 'streaming' AND created_at > ?"
        " AND created_at <= (SELECT max(emptied_at) FROM removals)"
    )
    return database.row(sql, (time_text(time.time() - STREAM_S),)) is not None


def _clear_names(home: Path, database: Database, removal_id: int) -> None:
    for document_id, name in database.rows(
        "SELECT document_id, name FROM removals WHERE id = ?", (removal_id,)
    ):
        _clear_audit(database, document_id)
        _clear_logs(home / "logs", name)


def _clear_audit(database: Database, document_id: str) -> None:
    """Who added and removed it, and when, stays; what it was called goes."""
    with database.write() as connection:
        connection.execute(
            "UPDATE audit SET detail = '' WHERE subject = ? AND action LIKE 'document.%'",
            (document_id,),
        )


def _clear_logs(folder: Path, name: str) -> None:
    """The name is overwritten in every log, in place: whoever appends to it goes on."""
    if len(name) < MIN_LOGGED_CHARS:
        return
    spellings = {name.encode(), json.dumps(name)[1:-1].encode(), Path(name).name.encode()}
    for path in sorted(folder.glob("*.log*")):
        with path.open("r+b") as log:
            data = log.read()
            for spelling in sorted(spellings, key=len, reverse=True):
                at = data.find(spelling) if len(spelling) >= MIN_LOGGED_CHARS else -1
                while at >= 0:
                    os.pwrite(log.fileno(), b"*" * len(spelling), at)
                    at = data.find(spelling, at + len(spelling))


def _still_there(home: Path, database: Database) -> tuple[str, ...]:
    """What is not done, in words."""
    reasons = []
    if not forgotten_by_index(home, database):
        reasons.append(INDEX_PENDING)
    if not any(_truncates_log(database) for _ in range(CHECKPOINT_TRIES)):
        reasons.append("somebody reads the write-ahead log, which cannot be emptied meanwhile")
    return tuple(reasons)


def _truncates_log(database: Database) -> bool:
    """Whether the write-ahead log is empty now; waits a moment where it is not."""
    if database.truncate_log():
        return True
    time.sleep(CHECKPOINT_WAIT_S)
    return False


def _copies(home: Path) -> tuple[str, ...]:
    """Whole copies of an earlier home inside this one; whoever made them removes them."""
    patterns = ("replaced-*", "tmp/backup-*", "tmp/restore-*")
    found = [path for pattern in patterns for path in home.glob(pattern)]
    return tuple(sorted(str(path.relative_to(home)) for path in found))
