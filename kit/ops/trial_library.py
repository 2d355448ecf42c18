"""A library of given texts in a passing home, read and searched as any other: for measuring.

Composes library and answer. Invariant: chunks, vectors, terms and both halves of the search are the
product's own; only the parsing of files is left out, as these are texts already.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kit.answer.retrieve import Searcher
from kit.config import LibrarySettings
from kit.database import Database
from kit.library.documents import ParsedDocument, Section
from kit.library.index.embed import Embedder
from kit.library.index.rerank import Reranker
from kit.library.index.vectors import VectorIndex
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library

READER, COLLECTION = "local", "trial"
DEPTH = 300  # passages from each half, for the 100 best documents
Progress = Callable[[str, int, int], None]


class TrialLibrary:
    """Texts by id, searchable. `rank` gives ids, best first, of each way to search."""

    def __init__(self, searcher: Searcher, ids: dict[str, str]) -> None:
        """`ids`: document id -> the text's own id."""
        self._searcher, self._ids = searcher, ids

    def rank(self, question: str) -> dict[str, list[str]]:
        """{'lexical', 'dense', 'hybrid', …} -> the ids of the texts, each by its best passage."""
        found = asyncio.run(self._searcher.rank(question, reader=READER, depth=DEPTH))
        return {mode: self._texts(documents) for mode, documents in found.items()}

    def _texts(self, documents: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(self._ids[document] for document in documents))


@contextlib.contextmanager
def trial_library(
    home: Path,
    texts: Sequence[tuple[str, str, str]],
    embedder: Embedder,
    settings: LibrarySettings,
    *,
    reranker: Reranker | None = None,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Iterator[TrialLibrary]:
    """A library in `home` with these (id, title, text). Raises: DiskFull, EmbedError."""
    database = Database(home / "kit.db")
    library = Library(home, database)
    index: VectorIndex | None = None
    try:
        ids, parsed = _add_all(library, texts)
        ingestor = Ingestor(library, embedder, settings, parse=lambda job: parsed[job.document_id])
        while ingestor.run_next():
            on_progress("reading", ingestor.num_ended, len(parsed))
        index = VectorIndex(home, database, model=embedder.model, dim=embedder.dim)
        while not index.is_ready:
            index.follow()
        searcher = Searcher(
            library,
            database,
            index,
            embedder,
            reranker=reranker,
            rerank_budget_s=settings.rerank_budget_s,
        )
        yield TrialLibrary(searcher, ids)
    finally:
        if index is not None:
            index.close()
        database.close()


def _add_all(
    library: Library, texts: Sequence[tuple[str, str, str]]
) -> tuple[dict[str, str], dict[str, ParsedDocument]]:
    ids: dict[str, str] = {}
    parsed: dict[str, ParsedDocument] = {}
    for number, (own_id, title, text) in enumerate(texts):
        whole = f"{title}\n\n{text}" if title else text
        name = f"text-{number}.txt"  # two texts may be the same
        record = library.add(
            io.BytesIO(whole.encode()),
            name,
            added_by=READER,
            collection=COLLECTION,
            folds_duplicates=False,
        )
        ids[record.id] = own_id
        section = Section("heading", title, 0, len(whole))
        parsed[record.id] = ParsedDocument(whole, (section,), title)
    return ids, parsed
