"""The lexical half: stems, scripts without spaces, hostile queries, and the gate inside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.database import Database
from kit.library.lexical import search_lexical
from kit.library.terms import MAX_QUERY_TERMS, index_terms, match_expression


def add_passage(database: Database, text: str, *, collection_id: int = 1) -> int:
    """A document of one chunk in the collection; returns the chunk's id."""
    with database.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO collections (id, name) VALUES (?, ?)",
            (collection_id, f"collection {collection_id}"),
        )
        [(number,)] = connection.execute("SELECT count(*) FROM documents")
        connection.execute(
            "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
            " created_at, updated_at) VALUES (?, ?, ?, 'local', ?, 1, 'indexed', '', '')",
            (f"d{number}", f"d{number}.txt", collection_id, f"{number:064x}"),
        )
        connection.execute(
            "INSERT INTO chunks (document_id, ordinal, start, end, place, num_tokens, text)"
            " VALUES (?, 0, 0, ?, '', 1, ?)",
            (f"d{number}", len(text), text),
        )
        chunk_id = connection.last_insert_rowid()
        connection.execute(
            "INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", (chunk_id, index_terms(text))
        )
    return int(chunk_id)


def found(database: Database, query: str, collections: tuple[int, ...] = (1,)) -> list[int]:
    return [chunk_id for chunk_id, _ in search_lexical(database, query, collections, 10)]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Travellers are reimbursed after the journey.", "reimbursing a traveller"),
        ("伦理委员会每月第二个星期二召开会议。", "委员会"),
        ("伦理委员会每月第二个星期二召开会议。", "伦"),
        ("東京オフィスの予算は百万円です。", "オフィス予算"),
        ("คณะกรรมการประชุมทุกเดือน", "ประชุม"),
        ("Die Fahrtkosten für Žižek", "ZIZEK"),
        ("Résumé of the café", "resume cafe"),
        ("Limit: R1,500 (2025/26)", "1500 or 1,500"),
        ("ＦＵＬＬ width", "full"),
    ],
)
def test_found(database: Database, text: str, query: str) -> None:
    """Inflected words, scripts without spaces, accents, digits and wide letters are found."""
    chunk_id = add_passage(database, text)
    add_passage(database, "Something else entirely: kelp and groundwater.")
    assert found(database, query) == [chunk_id]


def test_better_match_comes_first(database: Database) -> None:
    """More of the query's words give a higher score; scores are positive and falling."""
    weak = add_passage(database, "The ethics of travel.")
    strong = add_passage(database, "The ethics committee meets monthly about ethics.")
    hits = search_lexical(database, "ethics committee meets", [1], 10)
    assert [chunk_id for chunk_id, _ in hits] == [strong, weak]
    assert hits[0][1] > hits[1][1] > 0


def test_stop_words_alone_are_still_asked(database: Database) -> None:
    """A query of nothing but common words is searched by them, not refused."""
    chunk_id = add_passage(database, "To be or not to be")
    assert found(database, "to be") == [chunk_id]


def test_other_collections_do_not_exist(database: Database) -> None:
    """What the caller may not read is not found, and no collection means nothing."""
    mine = add_passage(database, "The secret budget", collection_id=1)
    add_passage(database, "The secret budget of others", collection_id=2)
    assert found(database, "secret budget") == [mine]
    assert found(database, "secret budget", ()) == []


@given(st.text(max_size=200))
def test_no_query_breaks_the_expression(query: str) -> None:
    """Whatever is asked, the expression is valid FTS5 and bounded."""
    import apsw

    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
    match = match_expression(query)
    assert match.count('"') <= 2 * MAX_QUERY_TERMS
    if match:
        list(connection.execute("SELECT * FROM t WHERE t MATCH ?", (match,)))


@given(st.text(max_size=200))
def test_a_passage_is_found_by_its_own_words(text: str) -> None:
    """Storing and asking agree: a passage's own words find it."""
    import apsw

    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61 remove_diacritics 2')"
    )
    connection.execute("INSERT INTO t VALUES (?)", (index_terms(text),))
    match = match_expression(text)
    if any(c.isascii() and c.isalnum() for c in match):
        assert list(connection.execute("SELECT rowid FROM t WHERE t MATCH ?", (match,)))
