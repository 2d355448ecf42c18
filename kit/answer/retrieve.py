"""Questions to passages: by words and by meanings at once, and reranked where it can be.

Knows no model and no answer. Invariant: what the reader may see is decided before either half
searches, so a document that is closed to a reader can influence nothing of the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kit.answer.evidence.facts import facts
from kit.answer.evidence.words import content_stems
from kit.answer.fusion import Meanings, fuse, quoting_first, rank_all, with_scores
from kit.database import Database
from kit.errors import EmbedError, LibraryError
from kit.library.documents import BUSY_STATES, Hit, WholeDocument
from kit.library.index.embed import Embedder
from kit.library.index.lexical import CommonTerms
from kit.library.index.rerank import Reranker

MIN_DEPTH = 50  # candidates from each half; 20 cost 0.02 nDCG@10, 100 gave nothing
FILTERED_DEPTH = 200  # as many when only some documents count
SAME_WORDS = 0.9  # passages that share this part of their words and all their facts are one
RERANK_DEPTH = 20  # passages that a reranker gets to read, as many as its time allows
RERANK_BUDGET_S = 2.0
NOT_RERANKED = "The passages were not reranked: {reason}."
LEXICAL_ONLY = "The search went by words only: {reason}."
ONE_UNREAD = "One document is still being read and was not searched."
MANY_UNREAD = "{number:,} documents are still being read and were not searched."
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

    def beside(self, hits: Sequence[Hit], reader: str) -> list[Hit]: ...

    def counts(self, reader: str) -> dict[str, int]: ...

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
        self,
        library: HitSource,
        database: Database,
        index: DenseIndex,
        embedder: Embedder,
        *,
        reranker: Reranker | None = None,
        rerank_budget_s: float = RERANK_BUDGET_S,
    ) -> None:
        """Without `reranker` the fused order is the order."""
        self._reranker, self._rerank_budget_s = reranker, rerank_budget_s
        self._common_terms = CommonTerms()
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
        lexical, meanings = await asyncio.gather(
            asyncio.to_thread(self._search_lexical, query, visible, depth),
            asyncio.to_thread(self._search_dense, query, visible, depth),
        )
        fused, notices = fuse(meanings.found, lexical, weight=meanings.weight), meanings.notices
        hits = await asyncio.to_thread(self._library.hits, fused, reader)
        if document_ids is not None:
            hits = [hit for hit in hits if hit.document_id in document_ids]
        ordered = quoting_first(with_scores(hits, fused, meanings, lexical), query)
        if self._reranker is not None:
            ordered, said = await asyncio.to_thread(self._rerank, query, ordered)
            notices += said
        notices += await asyncio.to_thread(self._still_reading, reader)
        return SearchResult(fold_duplicates(ordered, top_k), notices)

    def _still_reading(self, reader: str) -> tuple[str, ...]:
        """What cannot be found yet: an answer that is missing may be in it."""
        counts = self._library.counts(reader)
        number = sum(counts.get(state, 0) for state in BUSY_STATES)
        if number == 0:
            return ()
        return (ONE_UNREAD if number == 1 else MANY_UNREAD.format(number=number),)

    def _rerank(self, query: str, hits: Sequence[Hit]) -> tuple[list[Hit], tuple[str, ...]]:
        """The hits as the reranker orders their first ones; as they were where it cannot."""
        if self._reranker is None or len(hits) < 2:
            return list(hits), ()
        first = hits[:RERANK_DEPTH]
        try:
            scores = self._reranker.scores(
                query, [shown_to_reranker(hit) for hit in first], budget_s=self._rerank_budget_s
            )
        except EmbedError as problem:
            return list(hits), (NOT_RERANKED.format(reason=problem.message.rstrip(".")),)
        return reranked(hits, scores), ()

    async def beside(self, hits: Sequence[Hit], *, reader: str) -> tuple[Hit, ...]:
        """What stands just before and after these passages and belongs to them, best first."""
        return tuple(await asyncio.to_thread(self._library.beside, hits, reader))

    async def rank(self, query: str, *, reader: str, depth: int) -> dict[str, list[str]]:
        """{'lexical', 'dense', 'hybrid'} -> documents by their best passage, best first; with a
        reranker 'reranked' too.

        For measuring: as `search` orders its candidates, then as deep as `depth` passages of each
        half go; none is folded into another.
        """
        visible = await asyncio.to_thread(self._library.visible_collection_ids, reader, None)
        lexical = await asyncio.to_thread(self._search_lexical, query, visible, depth)
        meanings = await asyncio.to_thread(self._search_dense, query, visible, depth)
        dense, weight = meanings.found, meanings.weight
        found = {"lexical": fuse((), lexical), "dense": fuse(dense, ())}
        as_searched = fuse(dense[:MIN_DEPTH], lexical[:MIN_DEPTH], weight=weight)
        seen = {chunk_id for chunk_id, _ in as_searched}
        deeper = [pair for pair in fuse(dense, lexical, weight=weight) if pair[0] not in seen]
        found["hybrid"] = [*as_searched, *deeper]
        ranked: dict[str, list[str]] = {}
        for mode, scores in found.items():
            hits = await asyncio.to_thread(self._library.hits, scores, reader)
            if mode == "hybrid":
                found_first = [hit for hit in hits if hit.chunk_id in seen]
                later = [hit for hit in hits if hit.chunk_id not in seen]
                hits = [*quoting_first(found_first, query), *later]
            ranked[mode] = _documents(hits)
            if mode == "hybrid" and self._reranker is not None:
                hits, _ = await asyncio.to_thread(self._rerank, query, hits)
                ranked["reranked"] = _documents(hits)
        return ranked

    async def search_document(self, query: str, *, reader: str, document_id: str) -> DocumentSearch:
        """Every passage of one document, each scored exactly, ranks from 1.

        Raises: NotFound if it is not there for this reader, or not read yet; DocumentRefused if
        it has no text.
        """
        document = await asyncio.to_thread(self._library.whole, document_id, reader)
        visible = await asyncio.to_thread(self._library.visible_collection_ids, reader, None)
        chunks = [hit.chunk_id for hit in document.hits]
        lexical, meanings = await asyncio.gather(
            asyncio.to_thread(self._score_lexical, query, chunks, visible),
            asyncio.to_thread(self._score_dense, query, chunks, visible),
        )
        ranked = rank_all(document.hits, meanings, lexical)
        return DocumentSearch(document, ranked, meanings.notices)

    def _score_lexical(
        self, query: str, chunks: Sequence[int], visible: Sequence[int]
    ) -> list[tuple[int, float]]:
        from kit.library.index.lexical import score_lexical

        return score_lexical(self._database, query, chunks, visible)

    def _score_dense(self, query: str, chunks: Sequence[int], visible: Sequence[int]) -> Meanings:
        """By the vectors as SQLite holds them: no index, so none that is being built."""
        from kit.library.index.vector_rows import VectorRows

        try:
            model, vector = self._embed(query)
            rows = VectorRows(self._database, model=model, dim=vector.size)
            unknown_share = self.embedder.unknown_share(query)
        except EmbedError as problem:
            return _without_meanings(problem.message)
        found = rows.score(vector, chunks, visible)
        return Meanings(tuple(found), unknown_share) if found else _without_meanings(OTHER_MODEL)

    def _embed(self, query: str) -> tuple[str, np.ndarray]:
        """(model, its vector of the query)."""
        model = self.embedder.model
        vector = self.embedder.embed_queries([query])[0]
        if self.embedder.model != model:
            model = self.embedder.model
            vector = self.embedder.embed_queries([query])[0]
        return model, vector

    def _search_lexical(
        self, query: str, visible: Sequence[int], limit: int
    ) -> list[tuple[int, float]]:
        from kit.library.index.lexical import search_lexical

        return list(
            search_lexical(self._database, query, visible, limit, common=self._common_terms)
        )

    def _search_dense(self, query: str, visible: Sequence[int], limit: int) -> Meanings:
        """Nothing and a plain reason where the dense half cannot work now."""
        if not self._index.is_ready:
            return _without_meanings("the index of meanings is being built")
        try:
            model, vector = self._embed(query)
            found = self._index.search(vector, visible, limit)
            if self.embedder.model != model:  # another took its place in between: once more
                found = self._index.search(self._embed(query)[1], visible, limit)
            return Meanings(tuple(found), self.embedder.unknown_share(query))
        except (EmbedError, LibraryError) as problem:
            return _without_meanings(problem.message)


def _without_meanings(reason: str) -> Meanings:
    return Meanings(notices=(LEXICAL_ONLY.format(reason=reason.rstrip(".")),))


def _documents(hits: Sequence[Hit]) -> list[str]:
    return list(dict.fromkeys(hit.document_id for hit in hits))


def shown_to_reranker(hit: Hit) -> str:
    """The passage under its place, as it was embedded: a heading may hold what is asked for."""
    is_page = hit.place.startswith(("page ", "slide "))
    return hit.text if is_page or not hit.place else f"{hit.place}\n{hit.text}"


def reranked(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """The first of the hits by their score, equal ones as they were; then those without one."""
    read = [
        replace(hit, reranked=score) for hit, score in zip(hits[: len(scores)], scores, strict=True)
    ]
    best = sorted(read, key=lambda hit: -(hit.reranked or 0.0))
    return [*best, *hits[len(scores) :]]


def fold_duplicates(hits: Sequence[Hit], limit: int) -> tuple[Hit, ...]:
    """The first `limit` hits that say something new, ranked from 1.

    Two passages with the same words but another number or date are both kept: an old and a new
    version of a rule look like that.
    """
    kept: list[tuple[Hit, set[str]]] = []
    for hit in hits:
        if len(kept) == limit:
            break
        stems = set(content_stems(hit.text))
        same_words = (
            other
            for other, theirs in kept
            if len(stems & theirs) >= SAME_WORDS * len(stems | theirs)
        )
        if not any(facts(hit.text).values == facts(other.text).values for other in same_words):
            kept.append((replace(hit, rank=len(kept) + 1), stems))
    return tuple(hit for hit, _ in kept)
