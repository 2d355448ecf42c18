"""Processes are killed while documents are added, removed and asked; nothing is lost or doubled.

KIT_TEST_KILLS and KIT_TEST_SEED make it longer, and another; see docs/measurements/durability.md.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import ParsedDocument
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library
from kit.testing import FakeEmbedder
from tests.e2e.kill_loop import Ledger, Loop, check_documents, content

pytestmark = pytest.mark.e2e


def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """The page's process, the worker, the engine and whoever adds files are killed at random
    moments and at drawn steps: each acknowledged document is there once and whole, none that was
    removed left a trace, conversations are whole, and Chroma holds what SQLite holds."""
    home = tmp_path / "home"
    home.mkdir()
    loop = Loop(home, int(os.environ.get("KIT_TEST_SEED", "3")))
    loop.run(int(os.environ.get("KIT_TEST_KILLS", "20")))
    assert {name.split()[0] for name in loop.deaths} >= {"web", "worker", "adder"}
    assert loop.ledger.added
    assert loop.ledger.removed
    assert loop.ledger.answered


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM documents WHERE name = 'b.md'",
        "UPDATE documents SET name = 'c.md' WHERE name = 'b.md'",
        "UPDATE documents SET state = 'queued' WHERE name = 'b.md'",
        "UPDATE chunks SET text = 'x' WHERE ordinal = 1",
        "DELETE FROM chunks WHERE ordinal = 1",
        "DELETE FROM chunk_terms WHERE rowid = 1",
    ],
)
def test_the_check_sees_what_it_is_for(home: Path, database: Database, damage: str) -> None:
    """A document that is missing, doubled, waiting, half or not searchable fails the check."""
    library = Library(home, database)
    for name in ("a.md", "b.md"):
        library.add(io.BytesIO(content(name).encode()), name, added_by="local")

    def parse(job: object) -> ParsedDocument:
        return ParsedDocument(library.original_path(job.sha256).read_text(), ())  # type: ignore

    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings(), parse=parse)
    while ingestor.run_next():
        pass
    ledger = Ledger(added={"a.md", "b.md"})
    check_documents(library, ledger)
    with database.write() as connection:
        connection.execute(damage)
    with pytest.raises(AssertionError):
        check_documents(library, ledger)
