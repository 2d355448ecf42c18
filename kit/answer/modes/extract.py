"""Fields of many documents to one table: a row per document, a cell per field, with its place.

Knows retrieval and evidence, no language model. Invariant: a value is an exact span of its
document; what the evidence does not answer is 'not found'.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from kit.answer.events import Cell, Draft, Event, Finished, Table
from kit.answer.evidence.cite import Numbering
from kit.answer.evidence.evidence import find_evidence
from kit.answer.evidence.passages import Unit, span_text
from kit.answer.evidence.questions import read_question
from kit.answer.evidence.values import is_telling, kind_of, value_span
from kit.answer.evidence.words import content_stems
from kit.answer.modes.task import Field
from kit.answer.modes.work import Work
from kit.answer.retrieve import fold_duplicates
from kit.answer.sources import Searches
from kit.errors import KitError, LibraryError
from kit.library.documents import DocumentRecord
from kit.library.index.embed import Embedder

TOP_K = 5  # passages of a document that a field is looked for in
NOT_FOUND_CELL = "not found"
UNREAD_CELL = "not read: {reason}"
TITLE = "Fields"


async def extract(
    documents: Sequence[DocumentRecord],
    fields: Sequence[Field],
    *,
    reader: str,
    searcher: Searches,
) -> AsyncIterator[Event]:
    """Stream the growing table; the last event is Finished.

    A document that was removed meanwhile, or that has no text, has a row that says so.
    """
    work, numbering = Work(), Numbering()
    columns = ("Document", *(field.name for field in fields))
    rows: list[tuple[Cell, ...]] = []
    for done, record in enumerate(documents):
        yield work.progress(done, len(documents), f"reading {record.name}")
        rows.append(await _row(record, fields, reader, searcher, numbering))
        if work.may_show(done):
            table = Table(TITLE, columns, tuple(rows))
            yield Draft(_summary(table), numbering.citations, (table,))
    table = Table(TITLE, columns, tuple(rows))
    yield work.progress(len(documents), len(documents), "done")
    yield Finished(work.finish(_summary(table), numbering.citations, tables=(table,)))


async def _row(
    record: DocumentRecord,
    fields: Sequence[Field],
    reader: str,
    searcher: Searches,
    numbering: Numbering,
) -> tuple[Cell, ...]:
    cells, embedder = [Cell(record.name)], _Remembering(searcher.embedder)
    for field in fields:
        try:
            cells.append(await _cell(record, field, reader, searcher, embedder, numbering))
        except LibraryError as problem:
            cells.append(Cell(UNREAD_CELL.format(reason=_reason(problem))))
    return tuple(cells)


async def _cell(
    record: DocumentRecord,
    field: Field,
    reader: str,
    searcher: Searches,
    embedder: Embedder,
    numbering: Numbering,
) -> Cell:
    """The value of one field in one document. Raises: NotFound, DocumentRefused."""
    for question in field.questions:
        found = await searcher.search_document(question, reader=reader, document_id=record.id)
        hits = fold_duplicates(found.hits, TOP_K)
        evidence = await asyncio.to_thread(find_evidence, question, hits, embedder)
        if evidence.is_answered:
            cell = value_cell(evidence.best, field, question, numbering)
            if cell is not None:
                return cell
    return Cell(NOT_FOUND_CELL)


def value_cell(
    run: Sequence[Unit], field: Field, question: str, numbering: Numbering
) -> Cell | None:
    """The value in the sentences that answer, or those sentences where no value stands out.

    None where a date, a sum or an address is asked for and there is none: such a sentence is about
    the field and does not tell it.
    """
    text, start = span_text(run), run[0].start
    kind = kind_of(field.name, read_question(question).kind)
    asked = content_stems(f"{field.name} {field.description}")
    span = value_span(text, field.name, kind, asked)
    if span is None and is_telling(kind):
        return None
    begin, end = span or (0, len(text))
    value = " ".join(text[begin:end].split())
    return Cell(value, (numbering.number(run),), (start + begin, start + end))


class _Remembering:
    """An embedder that embeds each sentence of a document once, whatever is asked of it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._rows: dict[str, np.ndarray] = {}

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dim(self) -> int:
        return self._embedder.dim

    def embed_passages(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            made = self._embedder.embed_passages(new, batch_size=batch_size)
            self._rows |= dict(zip(new, made, strict=True))
        return np.stack([self._rows[text] for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._embedder.embed_queries(texts)

    def count_tokens(self, text: str) -> int:
        return self._embedder.count_tokens(text)

    def unknown_share(self, text: str) -> float:
        return self._embedder.unknown_share(text)


def _summary(table: Table) -> str:
    """How much was found, counted."""
    cells = [cell for row in table.rows for cell in row[1:]]
    found = sum(bool(cell.citations) for cell in cells)
    documents = "1 document" if len(table.rows) == 1 else f"{len(table.rows):,} documents"
    return f"{found:,} of {len(cells):,} values found in {documents}."


def _reason(problem: KitError) -> str:
    return problem.message.rpartition(": ")[2].rstrip(".")
