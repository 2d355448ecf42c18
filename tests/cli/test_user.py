"""kit user: accounts from the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kit.database import Database
from kit.errors import AccessError
from kit.people.accounts import Accounts
from tests.cli.conftest import RunKit

PASSWORD = "a long enough passphrase 42"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The password stands on stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    return PASSWORD


def check(home: Path, name: str, password: str) -> str:
    database = Database(home / "kit.db")
    try:
        return Accounts(database).check_password(name, password).role
    finally:
        database.close()


def test_an_account_can_sign_in(run_kit: RunKit, home: Path, typed: str) -> None:
    """`kit user add` makes an account whose password opens it, and the audit log knows."""
    result = run_kit("user", "add", "thandi", "--role", "admin", "--password-stdin", "--json")
    assert result.code == 0
    assert result.json()["user"]["name"] == "thandi"
    assert check(home, "thandi", typed) == "admin"
    listed = run_kit("user", "list", "--json").json()["users"]
    assert [(u["name"], u["role"], u["disabled"]) for u in listed] == [("thandi", "admin", False)]
    database = Database(home / "kit.db")
    assert database.rows("SELECT action, subject FROM audit") == [("user.add", "thandi")]
    database.close()
    assert typed not in result.out + result.err


def test_the_password_is_never_an_argument(run_kit: RunKit) -> None:
    """Without a terminal and without --password-stdin the command says how to give the password."""
    result = run_kit("user", "add", "thandi")
    assert result.code == 2
    assert "--password-stdin" in result.err


def test_a_weak_password_is_refused(run_kit: RunKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that breaks the rules is an error with the rule, and no account is made."""
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert run_kit("user", "add", "thandi", "--password-stdin").code == 2
    assert run_kit("user", "list", "--json").json() == {"users": []}


def test_passwd_disable_enable_rm(
    run_kit: RunKit, home: Path, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another password, disabled, enabled, removed: each is true from the next sign-in on."""
    run_kit("user", "add", "thandi", "--password-stdin")
    monkeypatch.setattr("sys.stdin", io.StringIO("another long passphrase 43\n"))
    assert run_kit("user", "passwd", "thandi", "--password-stdin").code == 0
    assert check(home, "thandi", "another long passphrase 43") == "staff"
    assert run_kit("user", "disable", "Thandi").code == 0
    with pytest.raises(AccessError):
        check(home, "thandi", "another long passphrase 43")
    assert run_kit("user", "enable", "thandi").code == 0
    assert check(home, "thandi", "another long passphrase 43") == "staff"
    assert run_kit("user", "rm", "thandi").code == 0
    assert run_kit("user", "rm", "thandi").code == 22
