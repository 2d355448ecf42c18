"""Which converter is taken: the one that belongs to the engine, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.errors import FetchError, MachineError, UsageError
from kit.supply import converter
from kit.supply.converter import SDIST, SDIST_SHA256, find_converter

ROOT = Path(__file__).parents[2]


def test_the_pin_is_of_the_pinned_engine() -> None:
    """Whoever upgrades llama-cpp-python upgrades the converter's digest with it."""
    pinned = re.search(
        r"^llama_cpp_python==(\S+)$", (ROOT / "requirements" / "run.lock").read_text(), re.M
    )
    assert pinned
    assert list(SDIST_SHA256) == [pinned[1]]


def test_another_file_is_not_unpacked(home: Path, tmp_path: Path) -> None:
    """A named file of another digest is refused with both digests, and nothing is left."""
    wrong = tmp_path / "wrong.tar.gz"
    wrong.write_bytes(b"other code")
    with pytest.raises(UsageError) as refused:
        find_converter(home, environ={SDIST: str(wrong)})
    said = "\n".join(refused.value.lines())
    assert next(iter(SDIST_SHA256.values())) in said
    assert "observed" in said
    with pytest.raises(UsageError, match="cannot read"):
        find_converter(home, environ={SDIST: str(tmp_path / "none.tar.gz")})
    assert not list((home / "tools").iterdir())


def test_an_index_that_serves_another_file_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an index or mirror serves is compared, too, before any of it can run."""

    def download(_version: str, work: Path, *_: object) -> Path:
        (work / "served.tar.gz").write_bytes(b"other code")
        return work / "served.tar.gz"

    monkeypatch.setattr(converter, "_download", download)
    with pytest.raises(FetchError, match="served another source"):
        find_converter(home, environ={})
    assert not list((home / "tools").iterdir())


def test_another_engine_has_no_converter_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an engine of another version installed, no converter is guessed."""
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "9.9.9")
    with pytest.raises(MachineError, match=r"expected, 9\.9\.9 is installed"):
        find_converter(home)
