"""How good a ranking is, against judgements: nDCG@k, recall@k, MRR@k.

Numbers only. As trec_eval and BEIR count: a gain is the judgement itself, discounted by log2 of
the rank plus one; a query without judgements does not count. Sources: Jaervelin and Kekaelaeinen,
"Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002; for intervals Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NDCG_AT, RECALL_AT, MRR_AT = 10, 100, 10
NUM_RESAMPLES = 2_000
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Figures:
    """Means over the queries, each in [0, 1]."""

    ndcg_10: float
    recall_100: float
    mrr_10: float
    num_queries: int

    def as_json(self) -> dict[str, float | int]:
        return {
            "ndcg@10": round(self.ndcg_10, 4),
            "recall@100": round(self.recall_100, 4),
            "mrr@10": round(self.mrr_10, 4),
            "num_queries": self.num_queries,
        }


@dataclass(frozen=True)
class Difference:
    """A mean difference in nDCG@10 over the same queries, and the interval of 95 % around it.

    An interval that holds 0 says that another such set of queries may turn it around.
    """

    mean: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {
            "ndcg@10": round(self.mean, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


def ndcg(ranked: Sequence[str], relevant: Mapping[str, int], k: int = NDCG_AT) -> float:
    """Of one query; 0 if nothing is relevant."""
    gains = [relevant.get(name, 0) for name in ranked[:k]]
    ideal = sorted(relevant.values(), reverse=True)[:k]
    best = _discounted(ideal)
    return _discounted(gains) / best if best else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def recall(ranked: Sequence[str], relevant: Mapping[str, int], k: int = RECALL_AT) -> float:
    """The share of the relevant documents among the first k."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, int], k: int = MRR_AT) -> float:
    """One over the rank of the first relevant document; 0 if it is not among the first k."""
    ranks = (rank for rank, name in enumerate(ranked[:k], start=1) if name in relevant)
    return 1.0 / next(ranks, math.inf)


def judge(
    rankings: Mapping[str, Sequence[str]], relevant: Mapping[str, Mapping[str, int]]
) -> Figures:
    """The means over all judged queries; one that was not ranked counts as nothing found."""
    rows = [(rankings.get(query, ()), answers) for query, answers in sorted(relevant.items())]
    count = len(rows) or 1
    return Figures(
        sum(ndcg(ranked, answers) for ranked, answers in rows) / count,
        sum(recall(ranked, answers) for ranked, answers in rows) / count,
        sum(reciprocal_rank(ranked, answers) for ranked, answers in rows) / count,
        len(rows),
    )


def compare(
    one: Mapping[str, Sequence[str]],
    other: Mapping[str, Sequence[str]],
    relevant: Mapping[str, Mapping[str, int]],
) -> Difference:
    """How much better `one` is than `other`, by a paired bootstrap over the judged queries.

    The same input gives the same interval. Without queries all is 0.
    """
    differences = np.array(
        [
            ndcg(one.get(query, ()), answers) - ndcg(other.get(query, ()), answers)
            for query, answers in sorted(relevant.items())
        ]
    )
    if not differences.size:
        return Difference(0.0, 0.0, 0.0)
    drawn = np.random.default_rng(0)
    means = [drawn.choice(differences, differences.size).mean() for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(means, INTERVAL)
    return Difference(float(differences.mean()), float(low), float(high))
