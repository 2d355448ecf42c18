"""Archives: taken apart in a cage, within limits, into documents of their own."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import DocumentRefused
from kit.library.ledger import Ledger
from kit.library.reading import unpack_child
from kit.library.reading.archives import is_archive
from kit.library.reading.ingest import Ingestor
from kit.library.reading.unpack_child import unpack, why_not
from kit.library.store import Library
from kit.testing import FakeEmbedder


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def taken(tmp_path: Path, data: bytes, name: str) -> dict[str, bytes]:
    """What `unpack` makes of the archive: member -> content."""
    path, folder = tmp_path / "it", tmp_path / "out"
    path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    result = unpack(path, name, folder)
    return {m["name"]: (folder / str(m["file"])).read_bytes() for m in result["members"]}


FILES = {"a.md": b"alpha", "in/b.txt": b"beta " * 1000}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", zipped(FILES)),
        ("x.tar", tarred(FILES)),
        ("x.tar.gz", tarred(FILES, "w:gz")),
        ("x.tar.bz2", tarred(FILES, "w:bz2")),
        ("x.tar.xz", tarred(FILES, "w:xz")),
    ],
)
def test_each_kind_gives_its_members(tmp_path: Path, name: str, data: bytes) -> None:
    """Every member comes out, byte for byte, under its path."""
    (tmp_path / "it").write_bytes(data)
    assert is_archive(tmp_path / "it", name)
    assert taken(tmp_path, data, name) == FILES


def test_one_compressed_file_is_its_content(tmp_path: Path) -> None:
    """A single file in gzip is a member without the ending."""
    assert taken(tmp_path, gzip.compress(b"a,b\n1,2\n"), "in/t.csv.gz") == {"t.csv": b"a,b\n1,2\n"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("C:\\x.txt", "absolute"),
        ("../x.txt", "leads out"),
        ("a/../../x.txt", "leads out"),
        ("__MACOSX/._a.md", "litter"),
        ("in/.DS_Store", "litter"),
        ("~$plan.docx", "temporary"),
        (".git/config", "hidden"),
    ],
)
def test_names_that_are_left_out(name: str, why: str) -> None:
    """A name that leaves the archive, or that nobody means, is left out with the reason."""
    assert why in (why_not(name) or "")
    assert why_not("good/report 2026.pdf") is None


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    """Only regular files are taken from a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("dev", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    path = tmp_path / "it"
    path.write_bytes(out.getvalue())
    result = unpack(path, "x.tar", tmp_path)
    assert result["members"] == []
    assert [name for name, _ in result["skipped"]] == ["link", "dev"]


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.gz", "bomb.tar.gz"])
def test_a_bomb_is_refused_as_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What unpacks to hundreds of times its size is given up, whatever it declares."""
    monkeypatch.setattr(unpack_child, "MIN_RATIO_BYTES", 1 << 20)
    zeros = bytes(4 << 20)
    made = {
        "bomb.zip": lambda: zipped({"zeros.txt": zeros}),
        "bomb.gz": lambda: gzip.compress(zeros),
        "bomb.tar.gz": lambda: tarred({"zeros.txt": zeros}, "w:gz"),
    }[name]()
    with pytest.raises(DocumentRefused, match="not an ordinary archive"):
        taken(tmp_path, made, name)


def test_limits_on_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many members refuse the whole, one too large is left out, a locked one too."""
    monkeypatch.setattr(unpack_child, "MAX_MEMBER_BYTES", 1000)
    assert taken(tmp_path, zipped(FILES), "x.zip") == {"a.md": b"alpha"}
    monkeypatch.setattr(unpack_child, "MAX_MEMBERS", 1)
    with pytest.raises(DocumentRefused, match="more than 1 files"):
        taken(tmp_path, zipped(FILES), "x.zip")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """A cut archive is a plain refusal."""
    with pytest.raises(DocumentRefused, match="cut short or damaged"):
        taken(tmp_path, tarred(FILES, "w:gz")[:60], "x.tar.gz")


def test_a_zipped_document_is_no_archive(tmp_path: Path) -> None:
    """An Office file is one by its content, whatever it is called."""
    path = tmp_path / "it"
    path.write_bytes(zipped({"[Content_Types].xml": b"<x/>"}))
    assert not is_archive(path, "plan.docx")
    assert unpack(path, "plan.zip", tmp_path) == {"is_archive": False}


def test_an_archive_in_the_library(home: Path, database: Database) -> None:
    """In the child: members are documents that answer, the archive is listed with its counts, a
    third level is refused, and removing the archive removes what was in it."""
    library, ledger = Library(home, database), Ledger(Library(home, database))
    third = zipped({"deep.md": b"too deep"})
    second = zipped({"c.md": b"gamma", "third.zip": third})
    first = zipped({"a.md": b"alpha", "second.zip": second, "../evil.md": b"evil"})

    def read(data: bytes) -> str:
        added = library.add(io.BytesIO(data), "first.zip", added_by="local")
        ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
        while ingestor.run_next():
            pass
        ingestor.close()
        return added.id

    archive = read(first)
    records = {record.name: record for record in library.list("local")}
    assert {name: record.state for name, record in records.items()} == {
        "first.zip": "unpacked",
        "first.zip/a.md": "indexed",
        "first.zip/second.zip": "unpacked",
        "first.zip/second.zip/c.md": "indexed",
        "first.zip/second.zip/third.zip": "refused",
    }
    assert records["first.zip"].notes[0] == "2 files unpacked, 1 left out"
    assert "../evil.md" in records["first.zip"].notes[1]
    assert "2 levels" in (records["first.zip/second.zip/third.zip"].error or "")

    newer = read(zipped({"a.md": b"alpha", "new.md": b"delta"}))
    states = {record.name: record.state for record in library.list("local") if record.id != archive}
    assert states["first.zip/a.md"] == states["first.zip/new.md"] == "indexed"
    assert states["first.zip/second.zip/c.md"] == "superseded"
    library.remove(newer, "local")
    assert [r.state for r in library.list("local") if r.state in ("indexed", "queued")] == []
    assert ledger.progress("local").num_waiting == 0
