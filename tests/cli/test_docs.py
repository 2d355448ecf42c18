"""kit docs: what is added, what is said of each file, exit codes and JSON shapes."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kit.cli.session import Found
from kit.errors import DiskFull, DocumentRefused, EmbedError, NotFound, UsageError
from kit.library.dates import Dated
from tests.cli.conftest import RunKit
from tests.cli.fake_kit import FakeKit


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> FakeKit:
    """The kit that the commands open."""
    fake = FakeKit()

    @contextlib.contextmanager
    def open_fake(*_: object) -> Iterator[FakeKit]:
        yield fake

    monkeypatch.setattr("kit.cli.add.open_kit", open_fake)
    monkeypatch.setattr("kit.cli.docs.open_kit", open_fake)
    monkeypatch.setattr("kit.cli.reading.open_kit", open_fake)
    monkeypatch.setattr("kit.cli.ask.open_kit", open_fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good files, two bad ones, hidden ones."""
    root = tmp_path / "papers"
    (root / "2025" / ".git").mkdir(parents=True)
    (root / "policy.md").write_text("# Policy")
    (root / "2025" / "minutes.md").write_text("# Minutes")
    (root / "2025" / "broken.pdf").write_text("bad bytes")
    (root / "empty.txt").write_text("")
    (root / ".DS_Store").write_text("x")
    (root / "2025" / ".git" / "config").write_text("x")
    return root


def test_a_folder_is_added_with_a_reason_for_each_refused_file(
    run_kit: RunKit, kit: FakeKit, folder: Path
) -> None:
    """Good files are indexed, each bad one has its reason, hidden ones are counted; exit 21."""
    result = run_kit("docs", "add", str(folder), "--collection", "office")
    assert result.code == DocumentRefused.exit_code
    lines = {line.split()[3]: line for line in result.out.splitlines()[1:]}
    assert set(lines) == {"policy.md", "2025/minutes.md", "2025/broken.pdf", "empty.txt"}
    assert lines["policy.md"].startswith("indexed")
    assert "the file is damaged; save it again" in lines["2025/broken.pdf"]
    assert "the file is empty; check the original" in lines["empty.txt"]
    assert "2 added, 2 refused, 2 hidden skipped" in result.err
    assert {record.collection for record in kit.documents()} == {"office"}


def test_only_good_files_exit_with_zero(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """If nothing was refused the exit code is 0."""
    result = run_kit("docs", "add", str(folder / "policy.md"), str(folder / "2025" / "minutes.md"))
    assert result.code == 0
    assert [record.name for record in kit.documents()] == ["policy.md", "minutes.md"]


def test_add_as_json(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """With --json one document on stdout holds every file, its state and its reason."""
    result = run_kit("docs", "add", str(folder), "--json")
    documents = {d["name"]: d for d in result.json()["documents"]}
    assert documents["policy.md"]["state"] == "indexed"
    assert documents["policy.md"]["num_chunks"] == 2
    assert documents["empty.txt"] | {"id": None, "state": "refused"} == documents["empty.txt"]
    assert result.json()["num_hidden"] == 2


def test_a_missing_path_adds_nothing(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """One path that is not there is named before anything is added."""
    result = run_kit("docs", "add", str(folder), str(folder / "absent"))
    assert result.code == UsageError.exit_code
    assert "absent" in result.err
    assert kit.documents() == []


def test_a_folder_of_nothing_is_said_to_be(run_kit: RunKit, kit: FakeKit, tmp_path: Path) -> None:
    """A folder without files is an error, not a silent success."""
    assert run_kit("docs", "add", str(tmp_path)).code == UsageError.exit_code


def test_odd_names_and_no_files_in_a_folder(
    run_kit: RunKit, kit: FakeKit, folder: Path, tmp_path: Path
) -> None:
    """A name that is no UTF-8 is shown with a mark; links to folders and pipes are told."""
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("coffee")
    (folder / "again").symlink_to(folder)
    (folder / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.txt")
    result = run_kit("docs", "add", str(folder))
    assert "caf\ufffd.txt" in {record.name for record in kit.documents()}
    assert f"note: {folder}/again is skipped: it is a link to a folder" in result.err
    assert f"note: {folder}/gone.txt is skipped: it is a link to nothing" in result.err
    assert f"note: {folder}/pipe.txt is skipped" in result.err


def test_a_pipe_is_refused_without_waiting_for_it(
    run_kit: RunKit, kit: FakeKit, tmp_path: Path
) -> None:
    """What is no regular file, like a pipe that nobody writes to, is refused at once."""
    os.mkfifo(tmp_path / "pipe.txt")
    result = run_kit("docs", "add", str(tmp_path / "pipe.txt"))
    assert result.code == DocumentRefused.exit_code
    assert "it is no regular file; save it as a file first" in result.out


def test_a_folder_that_cannot_be_opened_is_refused(
    run_kit: RunKit, kit: FakeKit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder inside the folder without the right to open it is named, not passed over."""
    scandir = os.scandir

    def guarded(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "2025":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    result = run_kit("docs", "add", str(folder))
    assert result.code == DocumentRefused.exit_code
    assert "2025  the folder cannot be opened: Permission denied" in result.out
    assert "policy.md" in result.out


def test_one_long_name_leaves_the_other_lines_readable(
    run_kit: RunKit, kit: FakeKit, tmp_path: Path
) -> None:
    """The reason stands beside the name, however long another document's name is."""
    (tmp_path / ("n" * 250)).write_text("text")
    (tmp_path / "empty.txt").write_text("")
    result = run_kit("docs", "add", str(tmp_path))
    [line] = [line for line in result.out.splitlines() if "empty.txt" in line]
    assert line.index("the file is empty") < 120


def test_a_full_disk_ends_it_and_names_the_file(
    run_kit: RunKit, kit: FakeKit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk stops the whole command with its own exit code and the file it met."""

    def full(*_: object) -> None:
        raise DiskFull("no space left")

    monkeypatch.setattr(kit, "add", full)
    result = run_kit("docs", "add", str(folder / "policy.md"))
    assert result.code == DiskFull.exit_code
    assert "policy.md" in result.err


def test_without_an_embedding_model_files_are_stored(
    run_kit: RunKit, kit: FakeKit, folder: Path
) -> None:
    """If nothing can read them now, the files are stored and the reason is said: no error."""
    kit.read_error = EmbedError("the embedding model is not installed", hint="kit model pull x")
    result = run_kit("docs", "add", str(folder / "policy.md"))
    assert result.code == 0
    assert "the embedding model is not installed" in result.err
    assert result.out.splitlines()[1].startswith("queued")


def test_list_has_the_promised_shape(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """`kit docs list --json` gives id, name, state, num_pages, num_chunks and error of each."""
    run_kit("docs", "add", str(folder / "policy.md"))
    documents = run_kit("docs", "list", "--json").json()["documents"]
    assert len(documents) == 1
    promised = {"id", "name", "state", "num_pages", "num_chunks", "error"}
    assert promised <= set(documents[0])
    assert documents[0]["name"] == "policy.md"
    assert "policy.md" in run_kit("docs", "list").out
    assert run_kit("docs", "list", "-c", "other", "--json").json() == {"documents": []}


def test_search_has_the_promised_shape(run_kit: RunKit, kit: FakeKit) -> None:
    """`kit docs search --json` gives the promised keys; notices go to stderr too."""
    result = run_kit("docs", "search", "travel", "--top-k", "3", "--json")
    (hit,) = result.json()["hits"]
    promised = {"rank", "document", "document_id", "page", "start", "end", "score", "text"}
    assert promised <= set(hit)
    assert result.err == "note: words only\n"
    assert json.loads(result.out)["notices"] == ["words only"]
    shown = run_kit("docs", "search", "travel").out
    assert "1. policy.pdf, page 3" in shown


def test_dates_are_shown_with_what_says_so(
    run_kit: RunKit, kit: FakeKit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words for people, as day and source in JSON; nothing where there is none."""
    run_kit("docs", "add", str(folder / "policy.md"))
    assert run_kit("docs", "list", "--json").json()["documents"][0]["dated"] is None
    dated = Dated("2025-03-04", "modified")
    kit.records["d1"] = replace(kit.records["d1"], dated=dated)
    listed = run_kit("docs", "list")
    assert "DATED" in listed.out
    assert "changed 4 March 2025" in listed.out
    assert "changed 4 March 2025" in run_kit("docs", "show", "d1").out
    as_json = {"day": "2025-03-04", "by": "modified"}
    assert run_kit("docs", "show", "d1", "--json").json()["document"]["dated"] == as_json
    [hit] = kit.search("x", top_k=1, collection=None).hits
    found = Found((replace(hit, dated=dated),), ())
    monkeypatch.setattr(kit, "search", lambda *_, **__: found)
    assert "1. policy.pdf, page 3, changed 4 March 2025" in run_kit("docs", "search", "x").out
    assert run_kit("docs", "search", "x", "--json").json()["hits"][0]["dated"] == as_json


def test_nothing_found_may_be_nothing_read(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing is found while documents wait to be read, that is said."""
    monkeypatch.setattr(kit, "search", lambda *_, **__: Found(()))
    documents = {"queued": 2, "indexed": 1}
    monkeypatch.setattr(kit, "status", lambda: {"running": True, "documents": documents})
    result = run_kit("docs", "search", "x", "--json")
    assert result.json()["hits"] == []
    assert "2 documents are not read yet; the running kit reads them" in result.err


@pytest.mark.parametrize("command", [["docs", "search"], ["ask"], ["chat"]])
def test_what_is_not_read_yet_is_said(
    run_kit: RunKit, kit: FakeKit, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Documents that an interrupted add left unread are counted on stderr, with what reads them."""
    documents = {"parsing": 1, "indexed": 1}
    monkeypatch.setattr(kit, "status", lambda: {"running": False, "documents": documents})
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    result = run_kit(*command, *(["travel"] if command != ["chat"] else []))
    assert result.code == 0
    assert "note: 1 document is not read yet; kit up reads it" in result.err
    assert "not read yet" not in result.out


def test_show_and_rm_take_ids_and_names(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """A document is found by id and by name; one that is not there is exit code 22."""
    run_kit("docs", "add", str(folder / "policy.md"))
    assert run_kit("docs", "show", "d1", "--json").json()["document"]["name"] == "policy.md"
    assert "policy.md" in run_kit("docs", "show", "policy.md").out
    assert run_kit("docs", "show", "absent").code == NotFound.exit_code
    both = run_kit("docs", "rm", "policy.md", "absent")
    assert both.code == NotFound.exit_code
    assert len(kit.documents()) == 1  # nothing is removed if one name is wrong
    assert run_kit("docs", "rm", "policy.md").code == 0
    assert kit.documents() == []


def test_two_documents_of_one_name_need_the_id(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """A name that two documents have is an error that lists their ids."""
    run_kit("docs", "add", str(folder / "policy.md"))
    run_kit("docs", "add", str(folder / "policy.md"), "-c", "other")
    result = run_kit("docs", "rm", "policy.md")
    assert result.code == UsageError.exit_code
    assert "d1" in result.err
    assert "d2" in result.err


def test_export_gives_the_original_back(
    run_kit: RunKit, kit: FakeKit, folder: Path, tmp_path: Path
) -> None:
    """The exported file has the bytes that were added, and an existing file is not overwritten."""
    run_kit("docs", "add", str(folder / "policy.md"))
    out = tmp_path / "out.md"
    assert run_kit("docs", "export", "d1", "--output", str(out)).code == 0
    assert out.read_bytes() == (folder / "policy.md").read_bytes()
    assert run_kit("docs", "export", "d1", "--output", str(out)).code == UsageError.exit_code


def test_retry_reads_again(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """A document is read once more, and what became of it is told as after adding."""
    run_kit("docs", "add", str(folder / "2025" / "broken.pdf"))
    assert run_kit("docs", "retry", "broken.pdf").code == DocumentRefused.exit_code
    kit.data["d1"] = b"now good"
    result = run_kit("docs", "retry", "broken.pdf")
    assert result.code == 0
    assert result.out.splitlines()[1].startswith("indexed")
    assert result.err.splitlines()[-1] == "1 read again, 0 refused"


def test_list_of_a_state(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """`--state` takes one state, or 'failed' and 'busy' for several; an unknown one is named."""

    def names(*arguments: str) -> list[str]:
        documents = run_kit("docs", "list", *arguments, "--json").json()["documents"]
        return [document["name"] for document in documents]

    run_kit("docs", "add", str(folder))
    assert "2025/broken.pdf" not in names("--state", "indexed")
    assert names("--state", "failed") == names("-s", "refused") == ["2025/broken.pdf"]
    assert names("--state", "busy") == []
    result = run_kit("docs", "list", "--state", "lost")
    assert result.code == UsageError.exit_code
    assert "no state 'lost'" in result.err
    assert "superseded" in result.err


def test_show_lists_pages(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """`kit docs show` says what became of each page."""
    run_kit("docs", "add", str(folder / "policy.md"))
    assert "2     no_text  0           a picture" in run_kit("docs", "show", "d1").out
    pages = run_kit("docs", "show", "d1", "--json").json()["pages"]
    assert pages[1] == {"page": 2, "state": "no_text", "num_chars": 0, "remark": "a picture"}


def test_progress_pause_and_resume(run_kit: RunKit, kit: FakeKit) -> None:
    """How far the reading is: done, speed, time left, and what is read now."""
    out = run_kit("docs", "progress").out
    for said in ("4 of 10 read, 6 to go", "12 documents and 3.5 MB per minute", "2 minutes left"):
        assert said in out
    assert "embedding for 4 s: policy.pdf, 3 of 9 passages" in out
    assert "parsing for 9 s: scan.pdf, scanned page 12 of 300" in out
    assert out.endswith("parsing for 1 s: late.pdf\n")
    assert run_kit("docs", "pause", "--json").json() == {"is_paused": True}
    assert "paused; go on: kit docs resume" in run_kit("docs", "progress").out
    assert run_kit("docs", "resume").out == "the reading goes on\n"
    assert run_kit("docs", "progress", "--json").json()["reading"]["num_total"] == 10


def test_stop_and_retry(run_kit: RunKit, kit: FakeKit, folder: Path) -> None:
    """What waits is stopped, what is through is said to be; `retry --all` reads all that failed."""
    run_kit("docs", "add", str(folder / "policy.md"))
    run_kit("docs", "add", str(folder / "2025" / "minutes.md"), "--no-wait")
    result = run_kit("docs", "stop", "policy.md", "minutes.md", "--json")
    assert [one["name"] for one in result.json()["stopped"]] == ["minutes.md"]
    assert "policy.md is not being read; it is indexed" in result.err
    assert run_kit("docs", "stop").code == UsageError.exit_code
    assert run_kit("docs", "stop", "x", "--all").code == UsageError.exit_code
    assert run_kit("docs", "retry", "--all").code == 0
    assert {record.state for record in kit.documents()} == {"indexed"}
