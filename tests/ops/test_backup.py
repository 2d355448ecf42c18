"""Backups: whole, consistent while others write, and a way back that loses nothing."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from kit.database import Database
from kit.errors import AlreadyRunning, DiskFull, KitError, LibraryError, NotFound, UsageError
from kit.files import sha256_file
from kit.instance import own_home
from kit.library.store import Library
from kit.ops import backup
from kit.ops.backup import LIST, back_up, check_backup, read_backup, restore
from kit.people.accounts import Accounts


def add(home: Path, name: str, text: str) -> str:
    database = Database(home / "kit.db")
    record = Library(home, database).add(io.BytesIO(text.encode()), name, added_by="local")
    database.close()
    return record.id


def names(home: Path) -> set[str]:
    """The documents of a home, each with its original's text in place."""
    database = Database(home / "kit.db")
    library = Library(home, database)
    found = {record.name for record in library.list("local")}
    for record in library.list("local"):
        assert library.original(record.id, "local").is_file()
    database.close()
    return found


@pytest.fixture
def full(home: Path) -> Path:
    """A home with two documents and settings."""
    add(home, "rates.txt", "The rate is 40.")
    add(home, "leave.txt", "Leave is 20 days.")
    (home / "kit.toml").write_text("[web]\nport = 7999\n")
    return home


def test_a_backup_comes_back_in_another_home(full: Path, tmp_path: Path) -> None:
    """Documents, originals and settings are there; nobody is signed in."""
    database = Database(full / "kit.db")
    accounts = Accounts(database)
    person = accounts.add("thandi", "a long enough password", role="staff")
    with database.write() as connection:
        connection.execute("INSERT INTO sessions VALUES (?, ?, 1, 1)", (b"x" * 32, person.id))
    database.close()
    made = back_up(full, tmp_path / "stick")
    check_backup(made)
    restore(tmp_path / "new", made.folder)
    assert names(tmp_path / "new") == {"rates.txt", "leave.txt"}
    assert (tmp_path / "new" / "kit.toml").read_text() == "[web]\nport = 7999\n"
    back = Database(tmp_path / "new" / "kit.db")
    assert back.row("SELECT count(*) FROM sessions") == (0,)
    assert back.row("SELECT name FROM users WHERE name = 'thandi'") == ("thandi",)
    back.close()


def test_originals_as_links_are_a_backup_as_well(full: Path, tmp_path: Path) -> None:
    """No second copy on the disk; removing the documents at home takes nothing from it."""
    made = back_up(full, tmp_path / "stick", link=True)
    originals = [made.folder / file.path for file in made.files if "originals" in file.path]
    assert len(originals) == 2
    assert all(path.stat().st_nlink == 2 for path in originals)
    shutil.rmtree(full / "originals")
    check_backup(made)
    restore(tmp_path / "new", made.folder)
    assert names(tmp_path / "new") == {"rates.txt", "leave.txt"}


def test_where_links_cannot_be_the_originals_are_copied(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another disk, or one that knows no links: a backup like any other."""
    real = os.link

    def link(source: Path, target: Path) -> None:
        if tmp_path / "stick" in target.parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    made = back_up(full, tmp_path / "stick", link=True)
    check_backup(made)
    assert {path.stat().st_nlink for path in made.folder.rglob("*") if path.is_file()} == {1}


def test_a_backup_while_others_write_is_of_one_moment(full: Path, tmp_path: Path) -> None:
    """Documents come and go meanwhile; every document of a backup has its original."""
    is_over = threading.Event()

    def write() -> None:
        database = Database(full / "kit.db")
        library = Library(full, database)
        number = 0
        while not is_over.is_set():
            number += 1
            record = library.add(io.BytesIO(b"%d" % number), f"n{number}.txt", added_by="local")
            if number % 2:
                library.remove(record.id, "local")
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            made = back_up(full, tmp_path / str(number))
            check_backup(made)
            restore(tmp_path / f"home-{number}", made.folder)
            assert names(tmp_path / f"home-{number}") >= {"rates.txt", "leave.txt"}
    finally:
        is_over.set()
        writer.join()
    assert not list((full / "tmp").glob("backup-*"))


def test_what_is_replaced_is_kept(full: Path, tmp_path: Path) -> None:
    """A restore over data needs a word; the old database is whole in a folder aside."""
    made = back_up(full, tmp_path / "stick")
    add(full, "later.txt", "Written after the backup.")
    with pytest.raises(UsageError, match="has data already"):
        restore(full, made.folder)
    assert "later.txt" in names(full)
    restore(full, made.folder, replace=True)
    assert names(full) == {"rates.txt", "leave.txt"}
    (aside,) = full.glob("replaced-*")
    old = Database(aside / "kit.db")
    assert old.row("SELECT count(*) FROM documents") == (3,)
    old.close()


def test_derived_folders_are_built_again(full: Path, tmp_path: Path) -> None:
    """An index of other documents would answer wrongly: it is gone after a restore."""
    made = back_up(full, tmp_path / "stick")
    (full / "index").mkdir()
    (full / "index" / "state.json").write_text("{}")
    restore(full, made.folder, replace=True)
    assert not (full / "index").exists()


DAMAGE = ["flip", "drop", "list", "no list", "database", "link"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_backup_changes_nothing(full: Path, tmp_path: Path, how: str) -> None:
    """Whatever is wrong with it, it is said, and the home is as it was."""
    made = back_up(full, tmp_path / "stick")
    original = next((made.folder / "originals").rglob("?" * 64))
    if how == "flip":
        original.write_bytes(b"X" + original.read_bytes()[1:])
    elif how == "drop":
        original.unlink()
    elif how == "link":
        shutil.move(original, tmp_path / "elsewhere")
        original.symlink_to(tmp_path / "elsewhere")
    elif how == "list":
        record = json.loads((made.folder / LIST).read_text())
        record["files"][0]["path"] = "../../evil"
        (made.folder / LIST).write_text(json.dumps(record))
    elif how == "no list":
        (made.folder / LIST).unlink()
    else:
        (made.folder / "kit.db").write_bytes(b"no database")
    before = (full / "kit.db").read_bytes()
    with pytest.raises(KitError):
        restore(full, made.folder, replace=True)
    assert (full / "kit.db").read_bytes() == before
    assert names(full) == {"rates.txt", "leave.txt"}
    assert not (full.parent / "evil").exists()


def test_a_hundred_damaged_backups_are_refused(full: Path, tmp_path: Path) -> None:
    """A changed bit, a lost or an added byte anywhere in any file is found, and the file named."""
    made = back_up(full, tmp_path / "stick")
    chance = random.Random(6)
    for number in range(100):
        file = made.files[number % len(made.files)]
        path = made.folder / file.path
        whole = path.read_bytes()
        at = chance.randrange(len(whole))
        changed = {
            0: whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :],
            1: whole[:at],
            2: whole + b"x",
        }[number % 3]
        path.write_bytes(changed)
        with pytest.raises(LibraryError) as caught:
            restore(tmp_path / "other", made.folder)
        assert [problem.where for problem in caught.value.problems] == [file.path]
        path.write_bytes(whole)
    assert not (tmp_path / "other" / "kit.db").exists()
    restore(tmp_path / "other", made.folder)


def test_a_backup_of_a_newer_kit_is_refused(full: Path, tmp_path: Path) -> None:
    """An older kit says that it cannot read it, and leaves the home as it is."""
    made = back_up(full, tmp_path / "stick")
    with contextlib.closing(sqlite3.connect(made.folder / "kit.db")) as connection:
        connection.execute("PRAGMA user_version = 9999")
    files = [
        {
            "path": f.path,
            "size_bytes": (made.folder / f.path).stat().st_size,
            "sha256": sha256_file(made.folder / f.path),
        }
        for f in made.files
    ]
    record = json.loads((made.folder / LIST).read_text()) | {"files": files}
    (made.folder / LIST).write_text(json.dumps(record))
    with pytest.raises(KitError, match="newer"):
        restore(full, made.folder, replace=True)
    assert names(full) == {"rates.txt", "leave.txt"}


def test_a_full_disk_leaves_no_half_backup(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and what was begun is gone."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "copy_hashing", refuse)
    with pytest.raises(DiskFull):
        back_up(full, tmp_path / "stick")
    assert not list((tmp_path / "stick").glob("*"))
    assert not list((full / "tmp").glob("backup-*"))


def test_a_damaged_original_is_told_at_the_backup(full: Path, tmp_path: Path) -> None:
    """A backup never passes damage on as if it were whole, and leaves no half one."""
    original = next((full / "originals").rglob("?" * 64))
    original.write_bytes(b"rot")
    with pytest.raises(LibraryError, match="damaged"):
        back_up(full, tmp_path / "stick")
    original.unlink()
    with pytest.raises(LibraryError, match="gone"):
        back_up(full, tmp_path / "stick")
    assert not list((tmp_path / "stick").glob("*"))


def test_wrong_places_are_refused(full: Path, tmp_path: Path) -> None:
    """No backup of nothing, none into itself, no restore under a running kit."""
    with pytest.raises(NotFound):
        back_up(tmp_path / "empty", tmp_path / "stick")
    with pytest.raises(UsageError, match="lies in the home"):
        back_up(full, full / "backups")
    made = back_up(full, tmp_path / "stick")
    with own_home(full), pytest.raises(AlreadyRunning):
        restore(full, made.folder, replace=True)
    assert read_backup(made.folder) == made
