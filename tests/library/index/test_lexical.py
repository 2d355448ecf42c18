"""The lexical half: stems, scripts without spaces, hostile queries, and the gate inside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.database import Database
from kit.library.index import lexical
from kit.library.index.lexical import CommonTerms, search_lexical
from kit.library.index.terms import MAX_QUERY_TERMS, index_terms, match_expression


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


def test_better_matches_elsewhere_crowd_nobody_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed passages that match better, however many, leave the open ones findable."""
    monkeypatch.setattr(lexical, "BEST", 3)
    for _ in range(5):
        add_passage(database, "ethics", collection_id=2)
    weak = [add_passage(database, f"The ethics of travel and of {word}.") for word in "abc"]
    assert found(database, "ethics") == weak
    assert len(found(database, "ethics", (1, 2))) == 8


def test_a_large_library_is_searched_through_rare_words(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond MAX_MATCHES only what has a rare word counts; common words order it, up to those that
    are in too many passages to tell anything."""
    monkeypatch.setattr(lexical, "MAX_MATCHES", 4)
    monkeypatch.setattr(lexical, "TOO_COMMON", 0.95)
    common = [add_passage(database, f"The report number {n} of the year.") for n in range(6)]
    rare = add_passage(database, "Groundwater under the Karoo, a long story without an end.")
    both = add_passage(database, "The report on groundwater of the year, a long story.")
    assert found(database, "groundwater report year") == [both, rare]
    assert found(database, "report nowhere") == [*common, both]
    assert found(database, "nowhere") == []
    monkeypatch.setattr(lexical, "TOO_COMMON", 0.5)
    assert found(database, "groundwater report year") == [rare, both]


def test_common_words_are_counted_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only common words are remembered: a word that comes later is found, and how many have a
    common one is asked again when the library has grown."""
    monkeypatch.setattr(lexical, "MAX_MATCHES", 4)
    monkeypatch.setattr(lexical, "COMMON", 3)
    for number in range(20):
        add_passage(database, f"The report number {number} of the year.")
    counted = list[str]()
    row = database.row

    def watch(sql: str, bindings: tuple[object, ...] = ()) -> object:
        if sql == lexical._COUNT:
            counted.append(str(bindings[0]))
        return row(sql, bindings)

    monkeypatch.setattr(database, "row", watch)
    common = CommonTerms()

    def ask(query: str) -> list[int]:
        return [place for place, _ in search_lexical(database, query, [1], 50, common=common)]

    assert ask("report karoo") == list(range(1, 21))
    later = add_passage(database, "A report from the Karoo.")
    assert ask("report karoo") == [later]
    assert counted == ['"report"', '"karoo"', '"karoo"']
    for _ in range(5):
        add_passage(database, "Another report.")
    assert ask("report karoo") == [later]
    assert counted[3:] == ['"report"', '"karoo"']
