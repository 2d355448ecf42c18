"""kit docs sync, folders, forget: on a folder and a home, without a kit that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import MachineError, NotFound, UsageError
from tests.cli.conftest import RunKit


@pytest.fixture
def share(tmp_path: Path) -> Path:
    root = tmp_path / "share"
    root.mkdir()
    (root / "a.md").write_text("alpha")
    (root / ".hidden").write_text("x")
    return root


def test_a_folder_is_followed(run_kit: RunKit, share: Path) -> None:
    """Sync says what it did, the folder is listed, and it is forgotten with its documents."""
    command = ("docs", "sync", str(share), "--no-wait")
    dry = run_kit(*command, "--dry-run", "--json").json()
    assert (dry["added"], dry["is_dry_run"]) == (["a.md"], True)
    assert run_kit("docs", "folders", "--json").json() == {"folders": []}
    first = run_kit(*command, "--watch")
    assert "added     a.md" in first.out
    assert "skipped   .hidden: hidden" in first.out
    assert "1 added, 1 skipped" in first.err
    assert "looks again every 15 minutes" in first.err
    (share / "a.md").rename(share / "b.md")
    again = run_kit(*command, "--json").json()
    assert again["moved"] == [{"from": "a.md", "to": "b.md"}]
    assert "watched" in run_kit("docs", "folders").out
    assert run_kit("docs", "forget", "share", "--remove", "--json").json()["num_removed"] == 1
    assert run_kit("docs", "forget", "share").code == NotFound.exit_code


def test_what_cannot_be_followed_is_said(run_kit: RunKit, share: Path) -> None:
    """A folder that is not there is not remembered; one that became empty removes nothing."""
    absent = run_kit("docs", "sync", str(share / "absent"))
    assert absent.code == MachineError.exit_code
    assert "cannot be opened" in absent.err
    assert run_kit("docs", "folders", "--json").json() == {"folders": []}
    run_kit("docs", "sync", str(share), "--no-wait")
    (share / "a.md").unlink()
    empty = run_kit("docs", "sync", str(share))
    assert empty.code == UsageError.exit_code
    assert "is the share mounted?" in empty.err
    [folder] = run_kit("docs", "folders", "--json").json()["folders"]
    assert "nothing was changed" in folder["problem"]
