"""Questions to passages: BM25 and dense vectors fused by reciprocal rank.

Knows no model and no answer. Invariant: what the reader may see is decided before either half
searches, so a document that is closed to a reader can influence nothing of the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kit.answer.facts import facts
from kit.answer.words import content_stems
from kit.database import Database
from kit.errors import EmbedError, LibraryError
from kit.library.documents import Hit, WholeDocument
from kit.library.embed import Embedder

RRF_K = 60  # Cormack, Clarke and Buettcher, SIGIR 2009
MIN_DEPTH = 20  # candidates from each half
FILTERED_DEPTH = 200  # as many when only some documents count
SAME_WORDS = 0.9  # passages that share this part of their words and all their facts are one
LEXICAL_ONLY = "The search went by words only: {reason}."
OTHER_MODEL = "the document was read with another embedding model"


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first, and what the reader should know about how they were found."""

    hits: tuple[Hit, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class DocumentSearch:
    """One document, and all its passages best first."""

    document: WholeDocument
    hits: tuple[Hit, ...]
    notices: tuple[str, ...] = ()


class HitSource(Protocol):
    """What the library gives: the gate, and chunks as hits for those who may read them."""

    def visible_collection_ids(self, reader: str, collection: str | None = None) -> list[int]: ...

    def hits(self, scores: Sequence[tuple[int, float]], reader: str) -> list[Hit]: ...

    def whole(self, document_id: str, reader: str) -> WholeDocument: ...


class DenseIndex(Protocol):
    @property
    def is_ready(self) -> bool: ...

    def search(
        self, vector: np.ndarray, collection_ids: Sequence[int], limit: int
    ) -> list[tuple[int, float]]: ...


class Searcher:
    """Both halves of retrieval over one library."""

    def __init__(
        self, library: HitSource, database: Database, index: DenseIndex, embedder: Embedder
    ) -> None:
        self.embedder = embedder
        self._library = library
        self._database = database
        self._index = index

    async def search(
        self,
        query: str,
        *,
        reader: str,
        top_k: int,
        collection: str | None = None,
        document_ids: Collection[str] | None = None,
    ) -> SearchResult:
        """The `top_k` best passages that `reader` may see, ranks from 1.

        Raises: NotFound if `collection` is not there for this reader.
        """
        visible = await asyncio.to_thread(self._library.visible_collection_ids, reader, collection)
        if not visible or not query.strip() or top_k < 1:
            return SearchResult(())
        depth = max(MIN_DEPTH, 4 * top_k) if document_ids is None else FILTERED_DEPTH
        lexical, (dense, notices) = await asyncio.gather(
            asyncio.to_thread(self._search_lexical, query, visible, depth),
            asyncio.to_thread(self._search_dense, query, visible, depth),
        )
        fused = fuse(dense, lexical)
        hits = await asyncio.to_thread(self._library.hits, fused, reader)
        if document_ids is not None:
            hits = [hit for hit in hits if hit.document_id in document_ids]
        kept = fold_duplicates(with_scores(hits, fused, dense, lexical), top_k)
        return SearchResult(kept, notices)

    async def rank(self, query: str, *, reader: str, depth: int) -> dict[str, list[str]]:
        """{'lexical', 'dense', 'hybrid'} -> documents by their best passage, best first.

        For measuring: `depth` passages of each half count, and none is folded into another.
        """
        visible = await asyncio.to_thread(self._library.visible_collection_ids, reader, None)
        lexical = await asyncio.to_thread(self._search_lexical, query, visible, depth)
        dense, _ = await asyncio.to_thread(self._search_dense, query, visible, depth)
        found = {"lexical": fuse((), lexical), "dense": fuse(dense, ())}
        found["hybrid"] = fuse(dense, lexical)
        ranked: dict[str, list[str]] = {}
        for mode, scores in found.items():
            hits = await asyncio.to_thread(self._library.hits, scores, reader)
            ranked[mode] = list(dict.fromkeys(hit.document_id for hit in hits))
        return ranked

    async def search_document(self, query: str, *, reader: str, document_id: str) -> DocumentSearch:
        """Every passage of one document, each scored exactly, ranks from 1.

        Raises: NotFound if it is not there for this reader, or not read yet; DocumentRefused if
        it has no text.
        """
        document = await asyncio.to_thread(self._library.whole, document_id, reader)
        visible = await asyncio.to_thread(self._library.visible_collection_ids, reader, None)
        chunks = [hit.chunk_id for hit in document.hits]
        lexical, (dense, notices) = await asyncio.gather(
            asyncio.to_thread(self._score_lexical, query, chunks, visible),
            asyncio.to_thread(self._score_dense, query, chunks, visible),
        )
        return DocumentSearch(document, rank_all(document.hits, dense, lexical), notices)

    def _score_lexical(
        self, query: str, chunks: Sequence[int], visible: Sequence[int]
    ) -> list[tuple[int, float]]:
        from kit.library.lexical import score_lexical

        return score_lexical(self._database, query, chunks, visible)

    def _score_dense(
        self, query: str, chunks: Sequence[int], visible: Sequence[int]
    ) -> tuple[list[tuple[int, float]], tuple[str, ...]]:
        """By the vectors as SQLite holds them: no index, so none that is being built."""
        from kit.library.vector_rows import VectorRows

        try:
            vector = self.embedder.embed_queries([query])[0]
            rows = VectorRows(self._database, model=self.embedder.model, dim=self.embedder.dim)
        except EmbedError as problem:
            return [], (LEXICAL_ONLY.format(reason=problem.message.rstrip(".")),)
        found = rows.score(vector, chunks, visible)
        return found, () if found else (LEXICAL_ONLY.format(reason=OTHER_MODEL),)

    def _search_lexical(
        self, query: str, visible: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        from kit.library.lexical import search_lexical

        return list(search_lexical(self._database, query, visible, limit))

    def _search_dense(
        self, query: str, visible: Sequence[int], limit: int
    ) -> tuple[list[tuple[int, float]], tuple[str, ...]]:
        """Nothing and a plain reason where the dense half cannot work now."""
        if not self._index.is_ready:
            reason = "the index of meanings is being built"
            return [], (LEXICAL_ONLY.format(reason=reason),)
        try:
            vector = self.embedder.embed_queries([query])[0]
            return list(self._index.search(vector, visible, limit)), ()
        except (EmbedError, LibraryError) as problem:
            return [], (LEXICAL_ONLY.format(reason=problem.message.rstrip(".")),)


def fuse(
    dense: Sequence[tuple[int, float]], lexical: Sequence[tuple[int, float]], *, k: int = RRF_K
) -> list[tuple[int, float]]:
    """(chunk id, score) best first, where score = sum over the lists of 1 / (k + rank).

    Within a list ranks follow the score, equal scores the smaller id; the order of the input does
    not matter.
    """
    scores: dict[int, float] = {}
    for ranked in (dense, lexical):
        best_first = sorted(ranked, key=lambda pair: (-pair[1], pair[0]))
        for rank, (chunk_id, _) in enumerate(best_first, start=1):
            scores[chunk_id] = scores.get(chunk_id, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def with_scores(
    hits: Sequence[Hit],
    fused: Sequence[tuple[int, float]],
    dense: Sequence[tuple[int, float]],
    lexical: Sequence[tuple[int, float]],
) -> list[Hit]:
    """The hits in order of their fused score, with the score of each half kept."""
    order = {chunk_id: place for place, (chunk_id, _) in enumerate(fused)}
    fused_score: Mapping[int, float] = dict(fused)
    cosine, bm25 = dict(dense), dict(lexical)
    return [
        replace(
            hit,
            score=fused_score[hit.chunk_id],
            dense=cosine.get(hit.chunk_id),
            lexical=bm25.get(hit.chunk_id),
        )
        for hit in sorted(hits, key=lambda hit: order[hit.chunk_id])
    ]


def rank_all(
    hits: Sequence[Hit],
    dense: Sequence[tuple[int, float]],
    lexical: Sequence[tuple[int, float]],
) -> tuple[Hit, ...]:
    """All the hits, ranked from 1 by their fused score; what neither half scored comes last, in
    the order given."""
    fused = fuse(dense, lexical)
    scored = {chunk_id for chunk_id, _ in fused}
    best = with_scores([hit for hit in hits if hit.chunk_id in scored], fused, dense, lexical)
    rest = [hit for hit in hits if hit.chunk_id not in scored]
    return tuple(replace(hit, rank=rank) for rank, hit in enumerate([*best, *rest], start=1))


def fold_duplicates(hits: Sequence[Hit], limit: int) -> tuple[Hit, ...]:
    """The first `limit` hits that say something new, ranked from 1.

    Two passages with the same words but another number or date are both kept: an old and a new
    version of a rule look like that.
    """
    kept: list[Hit] = []
    for hit in hits:
        if len(kept) == limit:
            break
        if not any(_says_the_same(hit, other) for other in kept):
            kept.append(replace(hit, rank=len(kept) + 1))
    return tuple(kept)


def _says_the_same(hit: Hit, other: Hit) -> bool:
    mine, theirs = set(content_stems(hit.text)), set(content_stems(other.text))
    if len(mine & theirs) < SAME_WORDS * len(mine | theirs):
        return False
    return facts(hit.text).values == facts(other.text).values
