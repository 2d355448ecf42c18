"""The database: transactions, migrations, two processes, and faults in words."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from kit import database as database_module
from kit import schema
from kit.database import Database
from kit.errors import DiskFull, MachineError

WRITER = """
import sys
from pathlib import Path
from kit.database import Database
database = Database(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**9):
    with database.write() as connection:
        connection.execute("INSERT INTO settings VALUES (?, 'a')", (f"a{number}",))
        connection.execute("INSERT INTO settings VALUES (?, 'b')", (f"b{number}",))
    print(number, flush=True)
"""


def test_a_new_file_has_the_newest_schema(database: Database) -> None:
    """Opening an absent file makes it, with every migration applied, in WAL with full sync."""
    scripts = list((Path(database_module.__file__).parent / "schema").glob("*.sql"))
    assert database.row("PRAGMA user_version") == (len(scripts),)
    assert database.row("PRAGMA journal_mode") == ("wal",)
    assert database.row("PRAGMA synchronous") == (2,)
    assert database.row("PRAGMA foreign_keys") == (1,)
    assert database.row("SELECT id, role FROM users") == ("local", "admin")


def test_a_new_home_is_private(tmp_path: Path) -> None:
    """A home that the database makes is readable by this user alone."""
    Database(tmp_path / "home" / "kit.db").close()
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_opening_again_changes_nothing(database: Database) -> None:
    """A second opening applies no migration twice."""
    with database.write() as connection:
        connection.execute("INSERT INTO settings VALUES ('k', 'v')")
    again = Database(database.path)
    assert again.row("SELECT value FROM settings WHERE key = 'k'") == ("v",)
    again.close()


def test_many_openers_at_once_make_one_schema(home: Path) -> None:
    """Threads that open the same new file at the same moment all get a whole schema."""
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            opened = Database(home / "kit.db")
            assert opened.row("SELECT count(*) FROM users") == (1,)
            opened.close()
        except Exception as problem:  # noqa: BLE001 - handed to the test
            failures.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failing_block_writes_nothing(database: Database) -> None:
    """All of a transaction is kept or none of it."""
    twice = "INSERT INTO settings VALUES ('k', 'v'); INSERT INTO settings VALUES ('k', 'w')"
    with pytest.raises(apsw.ConstraintError), database.write() as connection:
        connection.execute(twice)
    assert database.rows("SELECT * FROM settings") == []
    with database.write() as connection:  # and the next one works
        connection.execute("INSERT INTO settings VALUES ('k', 'v')")


def test_a_killed_writer_loses_no_confirmed_row_and_halves_none(home: Path) -> None:
    """After SIGKILL in mid-write every confirmed pair of rows is there, and no half pair."""
    path = home / "kit.db"
    Database(path).close()
    confirmed = -1
    for round_number in range(4):
        start = confirmed + 1 + 100_000 * round_number
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(25):
            confirmed = int(process.stdout.readline())
        process.kill()
        process.wait()
        process.stdout.close()
        database = Database(path)
        pairs = database.rows(
            "SELECT substr(key, 2), count(*) FROM settings GROUP BY 1 HAVING count(*) != 2"
        )
        assert pairs == []
        assert database.row("SELECT 1 FROM settings WHERE key = ?", (f"b{confirmed}",))
        assert database.row("PRAGMA integrity_check") == ("ok",)
        database.close()


def test_an_old_database_takes_the_new_schema(home: Path) -> None:
    """A database as the first kit left it, with a conversation in it, opens with nothing lost."""
    schema = Path(database_module.__file__).parent / "schema" / "001_first.sql"
    connection = apsw.Connection(str(home / "kit.db"))
    connection.execute(schema.read_text())
    connection.execute("INSERT INTO conversations VALUES ('c1', 'local', 'Old', '2026', '2026')")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    database = Database(home / "kit.db")
    assert database.rows("SELECT id, title, document_id FROM conversations") == [
        ("c1", "Old", None)
    ]
    (kit_id,) = database.row("SELECT id FROM this_kit") or ("",)
    assert len(kit_id) == 16
    database.close()


def test_a_newer_schema_is_refused(database: Database) -> None:
    """A database of a newer kit is not touched."""
    with database.write() as connection:
        connection.execute("PRAGMA user_version = 9999")
    with pytest.raises(MachineError, match="newer kit"):
        Database(database.path)


def test_a_damaged_file_is_said_to_be(home: Path) -> None:
    """A file that is no database is an error with its path and a next step."""
    (home / "kit.db").write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(MachineError) as caught:
        Database(home / "kit.db")
    assert str(home / "kit.db") in caught.value.message
    assert caught.value.hint


def test_a_folder_that_cannot_be_written_is_said_to_be(home: Path) -> None:
    """A path whose parent is a file is an error of the machine or the path, in words."""
    (home / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="a file stands where a folder is needed"):
        Database(home / "file" / "kit.db")


def test_a_full_disk_is_said_to_be(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own 'disk is full' becomes DiskFull, and the transaction is undone."""
    with database.write() as connection:
        connection.execute("PRAGMA max_page_count = 1")  # the least there can be: no growth
    with pytest.raises(DiskFull), database.write() as connection:
        connection.execute("INSERT INTO settings VALUES ('k', ?)", ("x" * 1_000_000,))
    assert database.rows("SELECT * FROM settings") == []


def test_an_old_sqlite_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite that can corrupt a database with two writers is not used."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(MachineError, match=r"3\.51\.2"):
        Database(home / "kit.db")


def test_a_database_of_the_first_kit_keeps_everything(home: Path) -> None:
    """A library with content, made before the ledger, is brought over without loss."""
    path = home / "kit.db"
    old = apsw.Connection(str(path))
    for number, script in enumerate(schema.scripts()[:2], start=1):
        old.execute(script.read_text())
        old.execute(f"PRAGMA user_version = {number}")
    old.execute(
        """
        INSERT INTO collections (name) VALUES ('office');
        INSERT INTO documents VALUES ('d1', 'a.md', 1, 'local', 'ab', 5, 'indexed', NULL, NULL,
          '["a note"]', 1, 3, 1, 'A', '2026-01-01', '2026-01-02');
        INSERT INTO documents VALUES ('d2', 'b.md', 1, 'local', 'cd', 6, 'no_text', 'empty', 'look',
          '[]', 0, NULL, 0, NULL, '2026-01-03', '2026-01-04');
        INSERT INTO texts VALUES ('d1', 'hello', '[]');
        INSERT INTO chunks VALUES (7, 'd1', 0, 0, 5, 1, 'page 1', 1, 'hello');
        INSERT INTO vectors VALUES (7, 'm', x'00');
        INSERT INTO chunk_terms (rowid, terms) VALUES (7, 'hello');
        INSERT INTO index_log (op, chunk_id) VALUES ('add', 7);
        """
    )
    before = {
        table: list(old.execute(f"SELECT * FROM {table}"))
        for table in ("collections", "documents", "texts", "chunks", "vectors", "index_log")
    }
    old.close()
    database = Database(path)
    for table, rows in before.items():
        kept = [row[: len(rows[0])] for row in database.rows(f"SELECT * FROM {table}")]
        assert kept == rows, table
    assert database.rows("SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH 'hello'") == [(7,)]
    assert database.rows("PRAGMA foreign_key_check") == []
    with database.write() as connection:  # the references still hold
        connection.execute("DELETE FROM documents WHERE id = 'd1'")
    assert database.rows("SELECT * FROM texts") == database.rows("SELECT * FROM vectors") == []
    database.close()


def test_a_migration_that_breaks_a_reference_is_undone(home: Path) -> None:
    """A row that refers to nothing stops the migration, and the file is as it was."""
    path = home / "kit.db"
    old = apsw.Connection(str(path))
    for number, script in enumerate(schema.scripts()[:2], start=1):
        old.execute(script.read_text())
        old.execute(f"PRAGMA user_version = {number}")
    old.execute("INSERT INTO texts VALUES ('nobody', 'hello', '[]')")
    old.close()
    with pytest.raises(MachineError, match="a row of texts refers to a row of documents"):
        Database(path)
    again = apsw.Connection(str(path))
    assert list(again.execute("PRAGMA user_version")) == [(2,)]
    again.close()
