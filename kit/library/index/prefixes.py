"""Names for what a language model keeps of a document it has read, and which of them are over.

Knows tables, no engine. Invariants: a name belongs to one reading of one document of one kit. Chunk
ids are never given twice, so what was removed or read again leaves its name to nobody, and a kit
that shares an engine with others knows its own names. What not everyone may read any more is over.
"""

from __future__ import annotations

from collections.abc import Iterable

from kit.database import Database
from kit.library.gate import SHARED

# Kept is only what everyone may read (kit.answer.prompt).
_READING = f"""
SELECT 1 FROM chunks k JOIN documents d ON d.id = k.document_id
JOIN collections c ON c.id = d.collection_id
WHERE k.id = ? AND k.document_id = ? AND k.ordinal = 0 AND {SHARED}
"""  # noqa: S608 - constant text


def prefix_name(database: Database, document_id: str, first_chunk_id: int) -> str:
    """The name for the passages of a document, the first of which is that chunk."""
    return f"{_own(database)} {document_id} {first_chunk_id}"


def ended_prefixes(database: Database, names: Iterable[str]) -> list[str]:
    """Those of the names that this kit gave to documents as they are no more, or not for all."""
    own = _own(database) + " "
    return [name for name in names if name.startswith(own) and not _is_current(database, name)]


def _is_current(database: Database, name: str) -> bool:
    document_id, _, first_chunk_id = name.removeprefix(_own(database) + " ").partition(" ")
    return database.row(_READING, (first_chunk_id, document_id)) is not None


def _own(database: Database) -> str:
    """What this kit's names begin with."""
    row = database.row("SELECT id FROM this_kit")
    return f"document {row[0] if row else ''}"
