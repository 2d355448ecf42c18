"""Retrieval fuses by rank, asks the gate first and survives a missing half."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kit.answer import retrieve
from kit.answer.retrieve import Searcher, fold_duplicates
from kit.errors import EmbedError
from kit.library.documents import Hit
from kit.testing import FakeEmbedder


class Library:
    """A gate with one shared collection (1) and one of ann (2); chunk n is in n % 2 + 1."""

    def __init__(self, texts: Sequence[str], make_hit: Callable[..., Hit]) -> None:
        self.texts, self.make_hit = texts, make_hit
        self.asked: list[tuple[int, ...]] = []
        self.states: dict[str, int] = {"indexed": 5}

    def counts(self, reader: str) -> dict[str, int]:
        return self.states if reader == "bob" else {}

    def visible_collection_ids(self, reader: str, collection: str | None = None) -> list[int]:
        return [1, 2] if reader == "ann" else [1]

    def hits(self, scores: Sequence[tuple[int, float]], reader: str) -> list[Hit]:
        return [
            self.make_hit(self.texts[c], chunk_id=c, document_id=f"d{c}", score=s)
            for c, s in scores
            if c % 2 + 1 in self.visible_collection_ids(reader)
        ]


class Index:
    is_ready = True

    def __init__(self, library: Library) -> None:
        self.library = library

    def search(self, vector: np.ndarray, collection_ids: Sequence[int], limit: int) -> list:
        self.library.asked.append(tuple(collection_ids))
        rows = FakeEmbedder().embed_passages(self.library.texts) @ vector
        found = [(c, float(s)) for c, s in enumerate(rows) if c % 2 + 1 in collection_ids]
        return sorted(found, key=lambda pair: -pair[1])[:limit]


TEXTS = (
    "alpha beta", "alpha beta gamma", "delta", "alpha beta delta", "Rate R5 a day", "x",
    "due in may is the fee of the boat", "x",
    "and so the fee of the boat is due in may, or when not",
)  # fmt: skip


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, make_hit: Callable[..., Hit]):
    library = Library(TEXTS, make_hit)

    def lexical(database, query, collection_ids, limit, *, common):
        library.asked.append(tuple(collection_ids))
        words = set(query.split())
        found = [(c, float(len(words & set(t.split())))) for c, t in enumerate(TEXTS)]
        return [(c, s) for c, s in found if s and c % 2 + 1 in collection_ids][:limit]

    monkeypatch.setattr("kit.library.index.lexical.search_lexical", lexical)

    def build(embedder=None, is_ready: bool = True, reranker=None) -> tuple[Searcher, Library]:
        index = Index(library)
        index.is_ready = is_ready
        embedder = embedder or FakeEmbedder()
        return Searcher(library, None, index, embedder, reranker=reranker), library

    return build


def search(searcher: Searcher, query: str, **options):
    return asyncio.run(searcher.search(query, **({"reader": "bob", "top_k": 3} | options)))


def test_both_halves_get_only_visible_collections(make) -> None:
    """The gate is asked first, and neither half sees a collection that is closed to the reader."""
    searcher, library = make()
    result = search(searcher, "alpha beta")
    assert library.asked == [(1,), (1,)]
    assert {hit.chunk_id % 2 for hit in result.hits} == {0}
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert result.hits[0].dense is not None
    assert result.hits[0].lexical is not None


def test_a_loading_embedder_leaves_the_lexical_half_and_a_notice(make) -> None:
    """Without the embedding model the search goes by words and says so."""

    class Loading(FakeEmbedder):
        def embed_queries(self, texts):
            raise EmbedError("the embedding model is loading")

    result = search(make(Loading())[0], "alpha")
    assert [hit.chunk_id for hit in result.hits] == [0]
    assert result.notices == ("The search went by words only: the embedding model is loading.",)


def test_a_question_that_the_model_cannot_read_goes_by_words(make) -> None:
    """What only the meanings found has no score; what the words found comes first."""

    class Unread(FakeEmbedder):
        def unknown_share(self, text):
            return 1.0

    def scores(embedder) -> dict[int, float]:
        return {hit.chunk_id: hit.score for hit in search(make(embedder)[0], "alpha").hits}

    assert scores(Unread())[0] == 1.0
    assert {score for chunk, score in scores(Unread()).items() if chunk} == {0.0}
    assert {score for chunk, score in scores(FakeEmbedder()).items() if chunk} != {0.0}


def test_an_index_in_the_making_leaves_the_lexical_half_and_a_notice(make) -> None:
    """While the dense index is rebuilt the search goes by words and says so."""
    result = search(make(is_ready=False)[0], "alpha")
    assert [hit.chunk_id for hit in result.hits] == [0]
    assert len(result.notices) == 1


def test_what_is_still_being_read_is_said(make) -> None:
    """Whoever finds nothing learns that documents they may read wait; of others, nothing."""
    searcher, library = make()
    assert search(searcher, "alpha").notices == ()
    library.states = {"indexed": 3, "queued": 1, "refused": 4}
    assert search(searcher, "alpha").notices == (retrieve.ONE_UNREAD,)
    library.states = {"queued": 1200, "parsing": 1, "embedding": 1}
    assert search(searcher, "alpha").notices == (retrieve.MANY_UNREAD.format(number=1202),)
    assert search(searcher, "alpha", reader="ann").notices == ()


def test_a_pasted_sentence_is_found_where_it_stands(make) -> None:
    """Also where the same words in another order are closer by both halves."""
    searcher, _ = make()
    assert search(searcher, "boat due fee in is may of the").hits[0].chunk_id == 6
    assert search(searcher, "the fee of the boat is due in may").hits[0].chunk_id == 8
    ranked = asyncio.run(searcher.rank("the fee of the boat is due in may", reader="bob", depth=9))
    assert ranked["hybrid"][:2] == ["d8", "d6"]


def test_only_chosen_documents(make) -> None:
    """A filter of documents leaves only those."""
    result = search(make()[0], "alpha delta", document_ids={"d2"})
    assert [hit.document_id for hit in result.hits] == ["d2"]


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query_finds_nothing(make, query: str) -> None:
    """Nothing is searched for an empty query."""
    searcher, library = make()
    assert search(searcher, query).hits == ()
    assert library.asked == []


def test_duplicates_fold_but_versions_do_not(make_hit: Callable[..., Hit]) -> None:
    """The same passage twice counts once; the same rule with another sum counts twice."""
    texts = ["The daily rate is R5.", "The daily rate is R5.", "The daily rate is R6."]
    hits = [make_hit(text, chunk_id=n, document_id=f"d{n}") for n, text in enumerate(texts)]
    kept = fold_duplicates(hits, 5)
    assert [(hit.chunk_id, hit.rank) for hit in kept] == [(0, 1), (2, 2)]


class Backwards:
    """Likes the last of the passages it has time for best."""

    def __init__(self, num_read: int) -> None:
        self.num_read = num_read

    def scores(self, query: str, passages: Sequence[str], *, budget_s: float) -> list[float]:
        if not self.num_read:
            raise EmbedError("the reranker is loading")
        return [float(n) for n in range(len(passages))][: self.num_read]


def test_a_reranker_orders_what_it_had_time_to_read(make) -> None:
    """The passages it read come first, by its scores; the others follow in the fused order."""
    fused = [hit.chunk_id for hit in search(make()[0], "alpha beta", reader="ann", top_k=6).hits]
    result = search(make(reranker=Backwards(3))[0], "alpha beta", reader="ann", top_k=6)
    got = [hit.chunk_id for hit in result.hits]
    assert got == [*reversed(fused[:3]), *fused[3:]]
    assert [hit.reranked for hit in result.hits][:4] == [2.0, 1.0, 0.0, None]
    assert result.notices == ()


def test_a_failing_reranker_leaves_the_fused_order_and_a_notice(make) -> None:
    """Reranking can be missing without search being missing."""
    plain = search(make()[0], "alpha beta")
    result = search(make(reranker=Backwards(0))[0], "alpha beta")
    assert [h.chunk_id for h in result.hits] == [h.chunk_id for h in plain.hits]
    assert result.notices == ("The passages were not reranked: the reranker is loading.",)
