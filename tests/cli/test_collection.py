"""kit group and kit collection: sharing from the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.cli.conftest import RunKit


def test_share_and_take_back(run_kit: RunKit, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group and a person get rights and lose them; each command says what is true now."""
    assert run_kit("group", "add", "hr").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough passphrase 42\n"))
    added = run_kit("user", "add", "thandi", "--group", "hr", "--password-stdin")
    assert added.code == 0
    assert run_kit("group", "list", "--json").json()["groups"][0]["members"] == ["thandi"]
    assert run_kit("user", "list", "--json").json()["users"][0]["groups"] == ["hr"]

    assert run_kit("collection", "create", "Personnel").code == 0
    assert run_kit("collection", "grant", "personnel", "hr").code == 0
    assert run_kit("collection", "grant", "Personnel", "thandi", "--write").code == 0
    shown = run_kit("collection", "show", "Personnel", "--json").json()["collection"]
    assert shown["grants"] == [
        {"to": "group:hr", "right": "read"},
        {"to": "person:thandi", "right": "write"},
    ]
    assert run_kit("group", "show", "hr", "--json").json()["shared"] == [
        {"collection": "local/Personnel", "right": "read"}
    ]
    assert "group hr" in run_kit("collection", "list").out

    assert run_kit("collection", "revoke", "Personnel", "group:hr").code == 0
    assert run_kit("collection", "revoke", "Personnel", "hr").code == 22
    assert run_kit("collection", "give", "Personnel", "thandi").code == 0
    assert run_kit("group", "remove-member", "hr", "thandi").code == 0
    assert run_kit("group", "rm", "hr").code == 0
    assert run_kit("collection", "rm", "thandi/Personnel").code == 0
    assert run_kit("collection", "list", "--json").json() == {"collections": []}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("collection", "show", "nope"), 22),
        (("collection", "grant", "nope", "everyone"), 22),
        (("group", "add-member", "nope", "nope"), 22),
        (("group", "add", "no spaces here"), 2),
        (("collection", "create", " "), 2),
        (("user", "add", "x", "--group", "nope", "--password-stdin"), 22),
    ],
)
def test_what_is_not_there_is_said(run_kit: RunKit, arguments: tuple[str, ...], code: int) -> None:
    """One line, an exit code, no traceback."""
    result = run_kit(*arguments)
    assert result.code == code
    assert result.err.startswith("error: ")


def test_adding_says_first_who_reads_it(run_kit: RunKit, tmp_path: Path) -> None:
    """Before a file is added the command says who reads its collection."""
    (tmp_path / "a.md").write_text("# A\n\nText.\n")
    run_kit("collection", "create", "Mine")
    ours = run_kit("docs", "add", str(tmp_path / "a.md"), "--no-wait")
    assert "library is read by everyone here" in ours.err
    mine = run_kit("docs", "add", str(tmp_path / "a.md"), "--no-wait", "-c", "mine")
    assert "mine is read by only you" in mine.err
    listed = run_kit("docs", "list", "--json").json()["documents"]
    assert {d["collection"]: d["audience"] for d in listed} == {
        "library": "everyone",
        "Mine": "owner",
    }
