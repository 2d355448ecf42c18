"""Two lists of scored passages, by words and by meanings, as one.

Knows numbers, no search. Invariant: the order depends on what was found, not on which half was
ready first; equal scores go by chunk id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit.library.documents import Hit

# Chosen on five sets, held on others (docs/measurements/retrieval.md): from 0.6 to 0.7 nDCG@10 is
# flat; above, an embedding model that does not know the language begins to drown the words.
DENSE_WEIGHT = 2 / 3
MIN_QUOTED_CHARS = 24  # shorter queries stand in many passages by chance
_MARKS = " .,;:!?\"'“”‘’«»„"


@dataclass(frozen=True)
class Meanings:
    """What the search by meanings found: (chunk id, cosine) best first, and what is said of it."""

    found: tuple[tuple[int, float], ...] = ()
    unknown_share: float = 0.0
    """Of the question's tokens, what the embedding model cannot read; 0 to 1."""
    notices: tuple[str, ...] = ()

    @property
    def weight(self) -> float:
        """What its cosines weigh beside the words: less of a question that it read in part."""
        return DENSE_WEIGHT * (1 - self.unknown_share)


def fuse(
    dense: Sequence[tuple[int, float]],
    lexical: Sequence[tuple[int, float]],
    *,
    weight: float = DENSE_WEIGHT,
) -> list[tuple[int, float]]:
    """(chunk id, score) best first, in [0, 1] for cosines that are not negative.

    score = weight * (cosine - lowest cosine) + (1 - weight) * BM25 / highest BM25. A passage that
    one half did not find has that half's least: the lowest cosine, no BM25. Cosines count as they
    are: where the model does not know the language they lie close together, and words decide.
    Equal scores: the smaller id first; the order of the input does not matter.
    """
    cosine, bm25 = dict(dense), dict(lexical)
    lowest = min(cosine.values(), default=0.0)
    highest = max(bm25.values(), default=0.0) or 1.0
    scores = {
        chunk_id: weight * (cosine.get(chunk_id, lowest) - lowest)
        + (1 - weight) * bm25.get(chunk_id, 0.0) / highest
        for chunk_id in cosine.keys() | bm25.keys()
    }
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def with_scores(
    hits: Sequence[Hit],
    fused: Sequence[tuple[int, float]],
    meanings: Meanings,
    lexical: Sequence[tuple[int, float]],
) -> list[Hit]:
    """The hits in order of their fused score, with the score of each half kept."""
    order = {chunk_id: place for place, (chunk_id, _) in enumerate(fused)}
    fused_score: Mapping[int, float] = dict(fused)
    cosine, bm25 = dict(meanings.found), dict(lexical)
    return [
        replace(
            hit,
            score=fused_score[hit.chunk_id],
            dense=cosine.get(hit.chunk_id),
            lexical=bm25.get(hit.chunk_id),
        )
        for hit in sorted(hits, key=lambda hit: order[hit.chunk_id])
    ]


def quoting_first(hits: Sequence[Hit], query: str) -> list[Hit]:
    """Passages that hold the query word for word before the others, both in their order: who
    pastes a sentence looks for where it stands, and meanings only blur that."""
    quoted = _plain(query).strip(_MARKS)
    if len(quoted) < MIN_QUOTED_CHARS:
        return list(hits)
    return sorted(hits, key=lambda hit: quoted not in _plain(hit.text))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def rank_all(
    hits: Sequence[Hit], meanings: Meanings, lexical: Sequence[tuple[int, float]]
) -> tuple[Hit, ...]:
    """All the hits, ranked from 1 by their fused score; what neither half scored comes last, in
    the order given."""
    fused = fuse(meanings.found, lexical, weight=meanings.weight)
    scored = {chunk_id for chunk_id, _ in fused}
    best = with_scores([hit for hit in hits if hit.chunk_id in scored], fused, meanings, lexical)
    rest = [hit for hit in hits if hit.chunk_id not in scored]
    return tuple(replace(hit, rank=rank) for rank, hit in enumerate([*best, *rest], start=1))
