"""The library keeps what it confirmed, shows it to whom it may, and forgets what was removed."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kit.config import LibrarySettings
from kit.database import Database
from kit.errors import AccessError, DocumentRefused, NotFound, UsageError
from kit.library.documents import Hit
from kit.library.reading.ingest import Ingestor
from kit.library.store import Library, clean_name
from kit.library.sweep import sweep
from kit.testing import FakeEmbedder


@pytest.fixture
def library(home: Path, database: Database) -> Library:
    with database.write() as connection:
        for name, role in (("ann", "admin"), ("bob", "staff")):
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, NULL, 0, '')", (name, name, role)
            )
    return Library(home, database)


def add(library: Library, text: str, name: str = "note.md", **options: object):
    return library.add(io.BytesIO(text.encode()), name, added_by="ann", **options)


def read_all(library: Library) -> None:
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings())
    while ingestor.run_next():
        pass


def test_added_is_kept(library: Library) -> None:
    """An added file is queued, and its original lies under its digest."""
    record = add(library, "# Rules\n\nBe kind.\n")
    assert record.state == "queued"
    assert library.original(record.id, "ann").read_text() == "# Rules\n\nBe kind.\n"
    assert library.original(record.id, "ann").name == record.sha256


def test_same_file_twice_is_one_document(library: Library) -> None:
    """The same bytes under the same name are one document, said to be a duplicate."""
    first, second = add(library, "text"), add(library, "text")
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert first.id == second.id
    assert len(library.list("ann")) == 1


def test_beside_are_the_passages_before_and_after_in_the_section(library: Library) -> None:
    """What precedes and follows a passage in its section, best first, once, for who may read it."""
    words = " ".join(f"Sentence number {n} is here." for n in range(30))
    record = add(library, f"# One\n\n{words}\n\n# Two\n\n{words}\n", is_private=True)
    ingestor = Ingestor(library, FakeEmbedder(), LibrarySettings(chunk_tokens=30))
    while ingestor.run_next():
        pass
    every = library.whole(record.id, "ann").hits
    one = [hit for hit in every if hit.place == "One"]
    two = [hit for hit in every if hit.place == "Two"]
    assert len(one) > 4
    assert len(two) > 2

    def beside(*hits: Hit, reader: str = "ann") -> list[tuple[int, str]]:
        return [(hit.rank, hit.text) for hit in library.beside(hits, reader)]

    best, next_best = replace(one[3], rank=1), replace(two[0], rank=2)
    assert beside(best, next_best) == [(3, one[2].text), (4, one[4].text), (5, two[1].text)]
    assert beside(replace(one[0], rank=1), replace(one[1], rank=2)) == [(3, one[2].text)]
    assert beside(replace(one[-1], rank=1)) == [(2, one[-2].text)]
    assert beside(best, reader="bob") == []
    assert beside() == []


def test_private_is_for_its_owner(library: Library) -> None:
    """Another person's private document is not there: not listed, counted, opened or removed."""
    record = add(library, "The canary sings.", is_private=True)
    read_all(library)
    chunk_ids = [row[0] for row in library.database.rows("SELECT id FROM chunks")]
    assert [r.id for r in library.list("ann")] == [record.id]
    for reader in ("bob", "local", "nobody", ""):
        assert library.list(reader) == []
        assert library.collections(reader) == []
        assert library.counts(reader) == {}
        assert library.hits([(chunk_ids[0], 1.0)], reader) == []
        for action in (library.get, library.text, library.original, library.retry, library.remove,
                       library.whole):  # fmt: skip
            with pytest.raises(NotFound):
                action(record.id, reader)
    with pytest.raises(NotFound):
        library.remove(record.id, "local")


def test_not_yours_reads_like_not_there(library: Library) -> None:
    """The answer for a hidden document is the answer for one that never was."""
    record = add(library, "hidden", is_private=True)
    with pytest.raises(NotFound) as hidden:
        library.get(record.id, "bob")
    with pytest.raises(NotFound) as absent:
        library.get("0" * 32, "bob")
    assert hidden.value.message.replace(record.id, "X") == absent.value.message.replace(
        "0" * 32, "X"
    )


def test_same_name_private_and_shared_are_apart(library: Library) -> None:
    """A private collection never merges with the shared one of the same name."""
    add(library, "mine", is_private=True, collection="plans")
    add(library, "ours", name="other.md", is_private=False, collection="plans")
    assert len(library.visible_collection_ids("ann", "plans")) == 2
    assert len(library.visible_collection_ids("bob", "plans")) == 1


def test_shared_is_removed_by_its_owner_or_an_administrator(library: Library) -> None:
    """A reader of a shared document cannot remove it."""
    record = add(library, "shared")
    with pytest.raises(AccessError):
        library.remove(record.id, "bob")
    library.remove(record.id, "local")
    assert library.list("ann") == []


def test_a_whole_document_is_all_its_passages_in_order(library: Library) -> None:
    """They cover its text from beginning to end, and their name is not given to another reading."""
    text = "\n\n".join(f"# Part {n}\n\nThis is part {n} of the text." for n in range(9))
    record = add(library, text)
    with pytest.raises(NotFound, match="still being read"):
        library.whole(record.id, "ann")
    read_all(library)
    found = library.whole(record.id, "bob")
    assert found.record == library.get(record.id, "bob")
    assert [hit.start for hit in found.hits] == sorted(hit.start for hit in found.hits)
    assert [hit.rank for hit in found.hits] == [*range(1, found.record.num_chunks + 1)]
    assert all(hit.is_shared for hit in found.hits)
    said = "".join(hit.text for hit in found.hits)
    assert "".join(said.split()) == "".join(library.text(record.id, "ann").text.split())
    assert found.prefix == library.whole(record.id, "ann").prefix
    add(library, "other", name="other.md")
    read_all(library)
    assert len({library.whole(r.id, "ann").prefix for r in library.list("ann")}) == 2


def test_original_stays_while_another_document_has_it(library: Library) -> None:
    """Two documents of the same bytes share one original; it goes with the last."""
    first, second = add(library, "same"), add(library, "same", name="copy.md")
    library.remove(first.id, "ann")
    path = library.original(second.id, "ann")
    assert path.exists()
    library.remove(second.id, "ann")
    assert not path.exists()


def test_too_large_is_refused_and_leaves_nothing(library: Library, home: Path) -> None:
    """A file over the limit is refused with the limit; no part of it stays."""
    with pytest.raises(DocumentRefused, match="larger than 1 MB"):
        library.add(io.BytesIO(bytes(2 << 20)), "big.txt", added_by="ann", max_bytes=1 << 20)
    assert [path for path in home.rglob("*") if path.is_file() and path.name != "kit.db"] == [
        path for path in home.iterdir() if path.name.startswith("kit.db-")
    ]


def test_sweep_takes_only_old_orphans(library: Library) -> None:
    """What a kill left behind goes after a while; named and fresh files stay."""
    kept = add(library, "kept")
    orphan = library.original_path("ab" + "0" * 62)
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_text("orphan")
    assert sweep(library) == 0
    old = time.time() - 7200
    os.utime(orphan, (old, old))
    os.utime(library.original(kept.id, "ann"), (old, old))
    assert sweep(library) == 1
    assert not orphan.exists()
    assert library.original(kept.id, "ann").exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\docs\\plan.docx", "C:/docs/plan.docx"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("line\nbreak\0.txt", "linebreak.txt"),
        ("报告.pdf", "报告.pdf"),
    ],
)
def test_names_are_made_safe(name: str, shown: str) -> None:
    """Names lose what would mislead a reader or leave a folder."""
    assert clean_name(name) == shown


@pytest.mark.parametrize("name", ["", "..", "\0", " / "])
def test_nameless_is_refused(name: str) -> None:
    """A document without a name is refused."""
    with pytest.raises(UsageError):
        clean_name(name)
