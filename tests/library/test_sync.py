"""Folders are followed: what is new, changed, moved or gone there is so in the library."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import MachineError, UsageError
from kit.library import sync
from kit.library.documents import ParsedDocument
from kit.library.folders import Folder, Folders, Known
from kit.library.reading import ingest
from kit.library.reading.ingest import Ingestor
from kit.library.reading.scan import Found, Scan, scan_folder
from kit.library.store import Library
from kit.library.sync import Summary, make_plan, sync_folder
from kit.testing import FakeEmbedder
from tests.hangs import no_hang

MAX_BYTES = 1 << 20


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    return Library(home, database)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """A folder with five documents and what is in every folder."""
    root = tmp_path / "share"
    (root / "in").mkdir(parents=True)
    for name in ("a.md", "b.md", "in/c.md", "in/d.md", "e.md"):
        (root / name).write_text(f"text of {name}")
    for name in (".hidden", "~$plan.docx", "Thumbs.db", ".DS_Store", "half.pdf.part"):
        (root / name).write_text("x")
    return root


@pytest.fixture
def folder(library: Library, share: Path) -> Folder:
    return Folders(library.database).remember(share, collection="library", added_by="local")


@pytest.fixture(autouse=True)
def parse_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(path: Path, name: str, **_: object) -> ParsedDocument:
        return ParsedDocument(path.read_text(), (), title=name)

    monkeypatch.setattr(ingest, "parse_in_child", parse)


def follow(library: Library, folder: Folder, **options: bool) -> Summary:
    return sync_folder(library, folder, max_bytes=MAX_BYTES, **options)


def read_all(library: Library) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass
    ingestor.close()


def states(library: Library) -> dict[str, str]:
    return {r.name: r.state for r in library.list("local") if r.state != "superseded"}


def test_the_first_sync_adds_what_are_documents(library: Library, folder: Folder) -> None:
    """Every document is added under the folder's name; the rest is skipped, each with why."""
    summary = follow(library, folder)
    assert sorted(summary.added) == ["a.md", "b.md", "e.md", "in/c.md", "in/d.md"]
    assert set(states(library)) == {f"share/{name}" for name in summary.added}
    assert dict(summary.skipped) == {
        ".hidden": "hidden",
        "~$plan.docx": "a temporary file of an office program",
        "Thumbs.db": "litter of the operating system",
        ".DS_Store": "litter of the operating system",
        "half.pdf.part": "unfinished",
    }
    again = follow(library, folder)
    assert (again.num_unchanged, again.added, again.changed, again.removed) == (5, [], [], [])


def test_changes_moves_and_deletions_are_followed(
    library: Library, folder: Folder, share: Path
) -> None:
    """A changed file is a new version, a moved one is renamed unread, a deleted one is removed."""
    follow(library, folder)
    read_all(library)
    ids = {record.name: record.id for record in library.list("local")}
    (share / "a.md").write_text("text of a, second edition")
    (share / "b.md").rename(share / "in" / "moved.md")
    (share / "in" / "c.md").unlink()
    (share / "in" / "c2.md").write_text("text of in/c.md")  # copied and deleted: another inode
    (share / "e.md").unlink()
    summary = follow(library, folder)
    assert summary.changed == ["a.md"]
    assert sorted(summary.moved) == [("b.md", "in/moved.md"), ("in/c.md", "in/c2.md")]
    assert (summary.removed, summary.added, summary.num_unchanged) == (["e.md"], [], 1)
    renamed = library.get(ids["share/b.md"], "local")
    assert (renamed.name, renamed.state) == ("share/in/moved.md", "indexed")
    assert library.database.rows(
        "SELECT 1 FROM chunk_terms t JOIN chunks c ON c.id = t.rowid WHERE chunk_terms MATCH"
        " '\"moved\"' AND c.document_id = ?",
        (renamed.id,),
    ) == [(1,)]
    read_all(library)
    assert states(library) == {
        f"share/{name}": "indexed" for name in ("a.md", "in/moved.md", "in/c2.md", "in/d.md")
    }
    assert library.get(ids["share/a.md"], "local").state == "superseded"


def test_a_file_moved_over_another_takes_its_place(
    library: Library, folder: Folder, share: Path
) -> None:
    """`mv b a`: a has b's text at once, b is gone, and nothing is read again for it."""
    follow(library, folder)
    read_all(library)
    os.replace(share / "b.md", share / "a.md")
    follow(library, folder)
    read_all(library)
    names = states(library)
    assert names["share/a.md"] == "indexed"
    assert "share/b.md" not in names
    [text] = [
        library.text(r.id, "local").text
        for r in library.list("local")
        if (r.name, r.state) == ("share/a.md", "indexed")
    ]
    assert text == "text of b.md"


def test_only_looked_at_is_not_read(
    library: Library, folder: Folder, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged files are not opened; a touched one is hashed once; --rehash hashes all."""
    follow(library, folder)
    hashed: list[int] = []
    real = sync._hash

    def counting(stream: object) -> str:
        hashed.append(1)
        return real(stream)  # type: ignore[arg-type]

    monkeypatch.setattr(sync, "_hash", counting)
    follow(library, folder)
    assert hashed == []
    os.utime(share / "a.md", (1, 1))
    assert follow(library, folder).num_unchanged == 5
    assert len(hashed) == 1
    assert follow(library, folder).num_unchanged == 5
    assert len(hashed) == 1
    follow(library, folder, rehash=True)
    assert len(hashed) == 6


def test_a_share_that_vanished_removes_nothing(
    library: Library, folder: Folder, share: Path
) -> None:
    """A missing folder, an empty one, and one that lost most of its files are refused in words."""
    for number in range(20):
        (share / f"{number}.md").write_text(f"number {number}")
    follow(library, folder)
    before = states(library)
    for number in range(20):
        (share / f"{number}.md").unlink()
    with pytest.raises(UsageError, match="20 of them are gone"):
        follow(library, folder)
    away = share.rename(share.parent / "away")
    with pytest.raises(MachineError, match="cannot be opened"):
        follow(library, folder, force=True)
    share.mkdir()
    with pytest.raises(UsageError, match="it is empty"):
        follow(library, folder)
    assert states(library) == before
    assert "it is empty" in (Folders(library.database).all()[0].problem or "")
    share.rmdir()
    away.rename(share)
    assert len(follow(library, folder, force=True).removed) == 20


def test_missing_files_can_be_kept(library: Library, share: Path) -> None:
    """With keeps_missing what is deleted in the folder stays in the library, and is said once."""
    folder = Folders(library.database).remember(
        share, collection="library", added_by="local", keeps_missing=True
    )
    follow(library, folder)
    (share / "a.md").unlink()
    assert follow(library, folder).kept == ["a.md"]
    assert follow(library, folder).kept == []
    assert "share/a.md" in states(library)


def test_links_and_closed_folders(
    library: Library, folder: Folder, share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No link is followed; what lies in a folder that cannot be opened now is not removed."""
    follow(library, folder)
    (tmp_path / "secret.md").write_text("outside")
    (share / "link.md").symlink_to(tmp_path / "secret.md")
    (share / "up").symlink_to(tmp_path)
    os.mkfifo(share / "pipe")
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if path.name == "in":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    summary = follow(library, folder)
    why = dict(summary.skipped)
    assert why["link.md"] == why["up"] == "a link, which is not followed"
    assert why["pipe"] == "no regular file"
    assert why["in"] == "the folder cannot be opened: Permission denied"
    assert summary.removed == []
    assert len(states(library)) == 5


def test_a_file_exchanged_for_a_link_is_not_read(
    library: Library, folder: Folder, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the reading a file may become a link or another file: it is skipped."""
    real = sync.scan_folder

    def exchanged(path: Path, **rest: int) -> Scan:
        scan = real(path, **rest)
        (share / "a.md").unlink()
        (share / "a.md").symlink_to("/etc/passwd")
        (share / "b.md").write_text("quite another text")
        return scan

    monkeypatch.setattr(sync, "scan_folder", exchanged)
    summary = follow(library, folder)
    skipped = dict(summary.skipped)
    assert "cannot be opened" in skipped["a.md"]
    assert "next sync reads it" in skipped["b.md"]
    assert len(states(library)) == 3


def test_too_large_and_odd_names(library: Library, folder: Folder, share: Path) -> None:
    """A file over the limit is skipped and its older version kept; odd bytes in names are shown."""
    follow(library, folder)
    (share / "a.md").write_bytes(b"x" * (MAX_BYTES + 1))
    (share / os.fsdecode(b"caf\xe9.md")).write_text("coffee")
    summary = follow(library, folder)
    assert "larger than 1.0 MiB" in dict(summary.skipped)["a.md"]
    assert summary.added == ["caf\ufffd.md"]
    assert summary.removed == []


def test_a_dry_run_changes_nothing(library: Library, folder: Folder, share: Path) -> None:
    """What would be done is said, and nothing is."""
    assert len(follow(library, folder, dry_run=True).added) == 5
    assert states(library) == {}
    follow(library, folder)
    (share / "a.md").rename(share / "z.md")
    (share / "b.md").unlink()
    summary = follow(library, folder, dry_run=True)
    assert (summary.moved, summary.removed) == ([("a.md", "z.md")], ["b.md"])
    assert len(states(library)) == 5
    assert follow(library, folder).moved == [("a.md", "z.md")]


def test_removed_by_a_person_stays_removed(library: Library, folder: Folder, share: Path) -> None:
    """A document that a person removed comes back when its file changes, not before."""
    follow(library, folder)
    [a] = [r for r in library.list("local") if r.name == "share/a.md"]
    library.remove(a.id, "local")
    assert "removed from the library" in dict(follow(library, folder).skipped)["a.md"]
    assert "share/a.md" not in states(library)
    (share / "a.md").write_text("changed")
    assert follow(library, folder).changed == ["a.md"]


def test_folders_are_remembered_and_told_apart(library: Library, share: Path) -> None:
    """One folder is one row; two of one name in a collection are refused; due ones are named."""
    folders = Folders(library.database)
    first = folders.remember(share, collection="c", added_by="local", is_watched=True)
    assert folders.remember(share, collection="c", added_by="local") == first
    with pytest.raises(UsageError, match="told apart"):
        folders.remember(share.parent / "x" / "share", collection="c", added_by="local")
    assert folders.due(15) == [first]  # it was never looked into
    folders.note_scan(first, {"added": 1}, None)
    assert folders.due(15) == []
    assert folders.due(0.0) == []
    time.sleep(0.002)
    assert [f.id for f in folders.due(0.00001)] == [first.id]
    folders.ask_for(first)
    assert [f.id for f in folders.due(0)] == [first.id]
    assert folders.find("share").summary == {"added": 1}
    folders.forget(first)
    assert folders.all() == []


def test_ten_thousand_unchanged_files_are_a_moment(tmp_path: Path) -> None:
    """A plan over 10,000 files is made without a quadratic step."""
    files = [Found(f"{n}.md", n, n, n) for n in range(10_000)]
    known = {file.path: Known(file, "", "d") for file in files}
    moved = [*files[1:], Found("new.md", 0, 0, 0)]
    num_calls = 0

    def count(_frame: object, _event: str, _what: object) -> None:
        nonlocal num_calls
        num_calls += 1

    before = sys.getprofile()
    sys.setprofile(count)  # a comparison of every file with every other would be 100,000,000 calls
    try:
        with no_hang():
            plan = make_plan(known, Scan(moved), rehash=False)
    finally:
        sys.setprofile(before)
    assert 10_000 < num_calls < 1_000_000
    assert (len(plan.unchanged), len(plan.moved), len(plan.gone)) == (9_999, 1, 0)


def test_a_scan_sees_sizes_and_inodes(share: Path) -> None:
    """What tells a changed file is read from the file system."""
    [a] = [file for file in scan_folder(share, max_bytes=99).files if file.path == "a.md"]
    status = (share / "a.md").stat()
    assert a == Found("a.md", status.st_size, status.st_mtime_ns, status.st_ino)
