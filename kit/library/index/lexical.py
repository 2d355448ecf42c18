"""The lexical half of retrieval: BM25 over the full-text index.

Knows SQL, not ranking fusion. Invariant: what the caller may not read is excluded in the same
statement that matches, so it changes neither order nor number of the results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from kit.database import Database
from kit.library.index.terms import any_of, match_expression, query_terms

# bm25() of FTS5 costs some 1.3 microseconds a match, joining its chunk and document twice that, and
# a question's commonest words are in every second passage. So a library beyond MAX_MATCHES is
# searched through the question's rarest words, and of what has them the best BEST are joined.
MAX_MATCHES = 30_000
BEST = 2_000
TOO_COMMON = 0.25  # words in this share of a large library's passages do not count in its ranking
COMMON = 1_000  # counting a term costs 0.1 microseconds a passage: of rarer ones nothing is kept
GROWN = 1.1  # beyond this change of the library's size common terms are counted anew

# bm25() is negative, better = smaller; k1 1.2 and b 0.75 are its fixed constants.
_FOUND = """
SELECT chunk_terms.rowid AS id, -bm25(chunk_terms) AS score
FROM chunk_terms
WHERE chunk_terms MATCH :match
ORDER BY score DESC, chunk_terms.rowid
LIMIT :best
"""
_INSIDE = """
SELECT found.id, found.score, (SELECT count(*) FROM found)
FROM found
JOIN chunks ON chunks.id = found.id
JOIN documents ON documents.id = chunks.document_id
WHERE documents.collection_id IN (SELECT value FROM json_each(:collections))
ORDER BY found.score DESC, found.id
LIMIT :limit
"""
_SEARCH = f"WITH found AS MATERIALIZED ({_FOUND}) {_INSIDE}"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM chunk_terms WHERE chunk_terms MATCH ? LIMIT ?)"
# The range lets FTS5 skip the other documents; a document's chunks have neighbouring ids. With the
# plus sign the set is looked up per match, not matched anew per chunk.
_SCORE = """
SELECT chunk_terms.rowid, -bm25(chunk_terms) AS score
FROM chunk_terms
JOIN chunks ON chunks.id = chunk_terms.rowid
JOIN documents ON documents.id = chunks.document_id
WHERE chunk_terms MATCH :match AND chunk_terms.rowid BETWEEN :first AND :last
  AND +chunk_terms.rowid IN (SELECT value FROM json_each(:chunks))
  AND documents.collection_id IN (SELECT value FROM json_each(:collections))
ORDER BY score DESC, chunk_terms.rowid
"""


MERGE_PAGES = 500  # of one transaction, which holds up other writers


def merge_terms(database: Database) -> None:
    """The index holds no term of what was removed from it: that stays in its segments until they
    are merged into one. In short transactions, so that others write in between.

    Source: the 'merge' command of FTS5, as https://sqlite.org/fts5.html says it is made complete.
    """
    _merge(database, -MERGE_PAGES)  # below zero: what is one segment with holes in it is taken too
    while _merge(database, MERGE_PAGES) > 1:  # it counts its own command as one change
        pass


def _merge(database: Database, num_pages: int) -> int:
    with database.write() as connection:
        before = connection.total_changes()
        connection.execute(
            "INSERT INTO chunk_terms (chunk_terms, rank) VALUES ('merge', ?)", (num_pages,)
        )
        return connection.total_changes() - before


class CommonTerms:
    """How many passages have a term, remembered for common ones; for several threads at once.

    A remembered number decides only which of a question's words are its rarest, so it may be a
    little old. A term that nothing had is always looked up: it may have come since.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._size = 0

    def count(self, database: Database, term: str, size: int) -> int:
        """Passages that have the term, in a library of `size`; counted until they are too many."""
        if not self._size / GROWN <= size <= self._size * GROWN:
            self._counts, self._size = {}, size
        known = self._counts  # another thread may begin anew
        if term not in known:
            most = max(MAX_MATCHES, math.ceil(TOO_COMMON * size))
            row = database.row(_COUNT, (any_of([term]), most))
            number = int(row[0]) if row else 0
            if number < COMMON:
                return number
            known[term] = number
        return known[term]


def search_lexical(
    database: Database,
    query: str,
    collection_ids: Sequence[int],
    limit: int,
    *,
    common: CommonTerms | None = None,
) -> list[tuple[int, float]]:
    """(chunk id, BM25), best first, scores positive; only chunks of the given collections.

    In a library of more than MAX_MATCHES chunks only those count that have one of the query's
    rarest words, these words count twice, and words that are TOO_COMMON do not count.
    `common` saves counting common words each time.
    """
    match = _match(database, query_terms(query), common or CommonTerms())
    if not match or not collection_ids:
        return []
    bindings: dict[str, str | int] = {"match": match, "limit": limit}
    bindings["collections"] = json.dumps(list(collection_ids))
    rows = database.rows(_SEARCH, bindings | {"best": BEST})
    is_all = len(rows) >= limit or (bool(rows) and int(rows[0][2]) < BEST)
    if not is_all:  # the best of all are mostly of other collections: look at every match
        rows = database.rows(_SEARCH, bindings | {"best": -1})
    return [(int(row[0]), float(row[1])) for row in rows]


def _match(database: Database, terms: Sequence[str], common: CommonTerms) -> str:
    """Passages with any of the terms; where these would be too many, with any of the rarest."""
    row = database.row("SELECT max(id) FROM chunks")
    size = int(row[0] or 0) if row else 0
    if size <= MAX_MATCHES:
        return any_of(terms)
    counts = {term: common.count(database, term, size) for term in terms}
    there = sorted((term for term in terms if counts[term]), key=counts.__getitem__)
    rare, num_matches = there[:1], counts[there[0]] if there else 0
    for term in there[1:]:
        num_matches += counts[term]
        if num_matches > MAX_MATCHES:
            others = [other for other in there[len(rare) :] if counts[other] < TOO_COMMON * size]
            return f"({any_of(rare)}) AND ({any_of([*rare, *others])})"
        rare.append(term)
    return any_of(there)


def score_lexical(
    database: Database, query: str, chunk_ids: Sequence[int], collection_ids: Sequence[int]
) -> list[tuple[int, float]]:
    """(chunk id, BM25), best first, of those of the given chunks that match and lie in the given
    collections now."""
    match = match_expression(query)
    if not match or not chunk_ids or not collection_ids:
        return []
    bindings: dict[str, str | int] = {"match": match, "chunks": json.dumps(list(chunk_ids))}
    bindings |= {"first": min(chunk_ids), "last": max(chunk_ids)}
    bindings["collections"] = json.dumps(list(collection_ids))
    return [(int(row[0]), float(row[1])) for row in database.rows(_SCORE, bindings)]
