"""The commands of a bundle's own installer, before anything is installed."""

from __future__ import annotations

import io
import sys

import pytest

from kit.bundle import kernel
from kit.errors import UsageError
from kit.people import passwords


def test_a_short_password_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the same length as the release would refuse it, after minutes."""
    assert passwords.MIN_LENGTH == kernel.SHORTEST_PASSWORD
    monkeypatch.setattr(sys, "stdin", io.StringIO("123456789\n1234567890\n"))
    with pytest.raises(UsageError, match="shorter than 10"):
        kernel.read_password("thandi", is_stdin=True)
    assert kernel.read_password("thandi", is_stdin=True) == "1234567890"
    assert kernel.read_password("", is_stdin=True) == ""
