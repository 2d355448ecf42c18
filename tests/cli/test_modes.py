"""kit summarise, compare, extract, chats, and answers written to files."""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.answer.events import Cell, Draft, Finished, Progress, Table
from kit.answer.modes.task import Field, Task
from kit.cli import ask as ask_module
from kit.cli import chats as chats_module
from kit.cli import modes as modes_module
from tests.cli.fake_kit import FakeKit, an_answer

TABLE = Table("Fields", ("Document", "Deadline"), ((Cell("policy.pdf"), Cell("31 March", (1,))),))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeKit:
    kit = FakeKit()

    @contextmanager
    def opened(*_: Any) -> Any:
        yield kit

    for module in (ask_module, chats_module, modes_module):
        monkeypatch.setattr(module, "open_kit", opened)
    for name in ("old.md", "new.md"):
        kit.add(io.BytesIO(name.encode()), name, "office")
    return kit


def test_the_modes_name_their_documents(fake: FakeKit, run_kit: Any) -> None:
    """By id or by name; fields with what to look for; the answer as JSON."""
    assert run_kit("summarise", "old.md", "--json").json()["supported"]
    assert run_kit("compare", "d1", "new.md").code == 0
    result = run_kit("extract", "-f", "Deadline: when does it close?", "-f", "Budget", "new.md")
    assert result.code == 0, result.err
    fields = (Field("Deadline", "when does it close?"), Field("Budget"))
    assert fake.done == [
        Task("summarise", ("d1",)),
        Task("compare", ("d1", "d2")),
        Task("extract", ("d2",), None, fields),
    ]


def test_progress_and_tables_are_shown(fake: FakeKit, run_kit: Any) -> None:
    """Progress goes to stderr, the table and its evidence to stdout."""
    answer = an_answer(text="1 of 1 values found.", tables=(TABLE,))
    fake.events = [Progress(0, 2, "reading policy.pdf"), Draft("", (), (TABLE,)), Finished(answer)]
    result = run_kit("extract", "-f", "Deadline")
    assert "reading policy.pdf: 0 of 2" in result.err
    assert "policy.pdf  31 March [1]" in result.out
    assert "Staff receive R 650 a day" in result.out


def test_an_answer_is_written_to_a_file(fake: FakeKit, run_kit: Any, tmp_path: Path) -> None:
    """Its ending names the format; a file that is there is not overwritten, an unknown ending and
    a spreadsheet without a table are refused."""
    fake.events = [Finished(an_answer(tables=(TABLE,)))]
    wanted = tmp_path / "fields.csv"
    assert run_kit("extract", "-f", "Deadline", "-o", str(wanted)).code == 0
    rows = list(csv.reader(io.StringIO(wanted.read_text("utf-8-sig"))))
    assert rows[1][:2] == ["policy.pdf", "31 March"]
    again = run_kit("extract", "-f", "Deadline", "-o", str(wanted))
    assert (again.code, "exists already" in again.err) == (2, True)
    assert run_kit("ask", "What?", "-o", str(tmp_path / "a.pdf")).code == 2
    assert len(fake.asked) == 1  # neither was begun
    fake.events = [Finished(an_answer())]
    assert run_kit("ask", "What is paid?", "-o", str(tmp_path / "a.md")).code == 0
    assert "[^1-1]: policy.pdf, page 3" in (tmp_path / "a.md").read_text()
    assert run_kit("ask", "What?", "-o", str(tmp_path / "a.xlsx")).code == 2
    assert not (tmp_path / "a.xlsx").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("extract",),
        ("extract", "-f", ": what"),
        ("extract", "-f", "A", "-f", "a"),
        ("extract", "-f", "A", "old.md", "-c", "office"),
        ("compare", "old.md"),
        ("compare", "old.md", "old.md"),
    ],
)
def test_what_cannot_be_done_is_told(fake: FakeKit, run_kit: Any, command: tuple[str, ...]) -> None:
    """One line, a usage error, and nothing was begun."""
    result = run_kit(*command)
    assert (result.code, fake.done) == (2, [])
    assert result.err.startswith("error: ")


def test_chats_are_listed_and_exported(fake: FakeKit, run_kit: Any, tmp_path: Path) -> None:
    """By id; an unknown one is not found and leaves no file."""
    assert run_kit("chats", "list", "--json").json()["conversations"][0]["id"] == "c1"
    assert "2026-11-27 09:00  Meals" in run_kit("chats", "list").out
    wanted = tmp_path / "meals.docx"
    assert run_kit("chats", "export", "c1", "-o", str(wanted)).code == 0
    assert wanted.read_bytes() == b"the file"
    assert run_kit("chats", "export", "c9", "-o", str(tmp_path / "no.md")).code == 22
    assert not (tmp_path / "no.md").exists()
