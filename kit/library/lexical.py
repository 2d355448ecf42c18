"""The lexical half of retrieval: BM25 over the full-text index.

Knows SQL, not ranking fusion. Invariant: what the caller may not read is excluded in the same
statement that matches, so it changes neither order nor number of the results.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from kit.database import Database
from kit.library.terms import match_expression

# bm25() of FTS5 is negative, better = smaller; k1 1.2 and b 0.75 are its fixed constants.
_SEARCH = """
SELECT chunk_terms.rowid, -bm25(chunk_terms) AS score
FROM chunk_terms
JOIN chunks ON chunks.id = chunk_terms.rowid
JOIN documents ON documents.id = chunks.document_id
WHERE chunk_terms MATCH :match
  AND documents.collection_id IN (SELECT value FROM json_each(:collections))
ORDER BY score DESC, chunk_terms.rowid
LIMIT :limit
"""
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


def search_lexical(
    database: Database, query: str, collection_ids: Sequence[int], limit: int
) -> list[tuple[int, float]]:
    """(chunk id, BM25), best first, scores positive; only chunks of the given collections."""
    match = match_expression(query)
    if not match or not collection_ids:
        return []
    bindings = {"match": match, "collections": json.dumps(list(collection_ids)), "limit": limit}
    return [(int(row[0]), float(row[1])) for row in database.rows(_SEARCH, bindings)]


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
