"""The tree of errors: what a person reads and what a script branches on."""

from __future__ import annotations

import re

from kit import errors
from kit.errors import KitError, Problem


def all_kinds(root: type[KitError] = KitError) -> list[type[KitError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in all_kinds(child))]


OURS = [kind for kind in all_kinds() if kind.__module__ == "kit.errors"]


def test_exit_codes_are_unique() -> None:
    """No two kinds of error end with the same exit code, and none with success or a signal's."""
    codes = [kind.exit_code for kind in OURS]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 126 for code in codes)


def test_names_are_unique() -> None:
    """No two kinds share a name in JSON, so a client can give back the same class."""
    names = [kind.code for kind in OURS]
    assert len(set(names)) == len(names)


def test_the_drawing_is_the_tree() -> None:
    """The tree in the module's docstring lists every kind with its exit code, and no other."""
    drawn = dict(re.findall(r"([A-Z]\w+Error|[A-Z]\w+)\s{2,}(\d+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.exit_code) for kind in OURS}


def test_lines_say_what_where_and_what_next() -> None:
    """One line for the message, one for each problem in a column, the next step last."""
    problems = [Problem("models/a.gguf", "missing"), Problem("b", "2 bytes too long")]
    error = KitError("bundle is damaged", hint="copy it again", problems=problems)
    assert error.lines() == [
        "error: bundle is damaged (2 problems)",
        "  models/a.gguf   missing",
        "  b               2 bytes too long",
        "hint: copy it again",
    ]
    assert KitError("short").lines() == ["error: short"]


def test_json_holds_everything() -> None:
    """The JSON form has message, code, hint and every problem."""
    error = errors.DiskFull("full", hint="free some", problems=[Problem("a", "b")])
    assert error.as_dict() == {
        "message": "full",
        "code": "disk_full",
        "hint": "free some",
        "problems": [{"where": "a", "what": "b"}],
    }
