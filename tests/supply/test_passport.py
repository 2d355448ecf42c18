"""Passports: what they hold, which files they are of, and that no other text passes for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.errors import ModelError
from kit.supply.passport import (
    SCHEMA,
    Passport,
    arrived_files,
    part_names,
    public_source,
    running_files,
)
from kit.supply.passport_json import (
    find_passport,
    parse_passport,
    passport_path,
    passport_text,
    read_passport,
    require_sound,
    write_passport,
)
from kit.supply.smoke.report import SmokeReport
from kit.supply.store import ModelFile
from tests.supply.made_passport import ARRIVED, MADE, MODEL, PASSPORT

PLAIN = replace(PASSPORT, template=None, loss=None, speed=None, smoke=None)


@pytest.mark.parametrize("passport", [PASSPORT, PLAIN])
def test_what_is_written_is_read(home: Path, passport: Passport) -> None:
    """A passport comes back from the disk as it was, measured or not."""
    write_passport(home, passport)
    assert find_passport(home, MODEL) == passport


def test_the_text_is_canonical() -> None:
    """Sorted keys, UTF-8, one line break at the end: equal passports are equal files."""
    text = passport_text(PASSPORT)
    assert text == passport_text(parse_passport(text))
    assert text.endswith("}\n")
    assert "“The Karoo" in text
    keys = list(json.loads(text))
    assert keys == sorted(keys)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside the document."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, list) else ()
    )  # fmt: skip
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_any_field_of_another_type_is_refused() -> None:
    """Each value in turn replaced by what it cannot be: an error that names the place."""
    document = json.loads(passport_text(PASSPORT))
    num = 0
    for place in places(document):
        damaged = json.loads(passport_text(PASSPORT))
        inner = damaged
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = {"no": ["such", "thing"]}
        with pytest.raises(ValueError, match=str(place[-1]) if place != ("schema",) else "schema"):
            parse_passport(json.dumps(damaged))
        num += 1
    assert num > 150


def test_a_missing_or_unknown_field_is_refused() -> None:
    """Nothing is guessed, and nothing is dropped in silence."""
    for place in [("tools", "kit"), ("smoke", "answers", 0, "why"), ("licence",)]:
        damaged = json.loads(passport_text(PASSPORT))
        inner = damaged
        for key in place[:-1]:
            inner = inner[key]
        del inner[place[-1]]
        with pytest.raises(ValueError, match=f"missing or unknown: {place[-1]}"):
            parse_passport(json.dumps(damaged))
        inner[place[-1] + "x"] = 1
        with pytest.raises(ValueError, match=f"{place[-1]}, {place[-1]}x"):
            parse_passport(json.dumps(damaged))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"schema": "1"}', "{" * 5000, '{"schema": 1}', "\ud800"],
)
def test_what_is_no_passport_is_refused(home: Path, text: str) -> None:
    """Any other file is one clear error, with the command that makes a passport anew."""
    path = passport_path(home, MODEL.name)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError) as caught:
        read_passport(path)
    assert caught.value.hint == "make it anew: kit model check office-8b --renew"


def test_another_schema_is_refused_by_number() -> None:
    """A passport of a newer kit is not half read."""
    newer = json.loads(passport_text(PASSPORT)) | {"schema": SCHEMA + 1}
    with pytest.raises(ValueError, match=f"schema {SCHEMA} expected, {SCHEMA + 1} observed"):
        parse_passport(json.dumps(newer))


def test_a_passport_is_of_one_file() -> None:
    """Another file, other bytes or another installation: it is not that model's passport."""
    assert PASSPORT.is_of(MODEL)
    assert not PASSPORT.is_of(replace(MODEL, active=ARRIVED.path))
    other_bytes = replace(MADE, sha256="00" * 32)
    assert not PASSPORT.is_of(replace(MODEL, files=(ARRIVED, other_bytes)))
    assert not PASSPORT.is_of(replace(MODEL, installed_at="2026-11-27T10:00:00Z"))
    assert PASSPORT.is_of(replace(MODEL, files=(MADE,)))  # what it was made of may be gone


def test_a_passport_of_what_was_there_before_is_none(home: Path) -> None:
    """A model that was installed anew under the name does not inherit a passport."""
    write_passport(home, PASSPORT)
    assert find_passport(home, replace(MODEL, installed_at="2026-11-27T10:00:00Z")) is None


def test_a_broken_model_is_not_run(home: Path) -> None:
    """A passport with a broken answer stops its own file only; an unreadable one stops none."""
    require_sound(home, MODEL)
    write_passport(home, PASSPORT)
    require_sound(home, MODEL)
    assert PASSPORT.smoke is not None
    first, *rest = PASSPORT.smoke.answers
    empty = replace(first, outcome="broken", why="it is empty")
    write_passport(home, replace(PASSPORT, smoke=SmokeReport((empty, *rest))))
    with pytest.raises(ModelError) as caught:
        require_sound(home, MODEL)
    assert [problem.what for problem in caught.value.problems] == ["it is empty"]
    require_sound(home, replace(MODEL, active=ARRIVED.path))
    passport_path(home, MODEL.name).write_text("{")
    require_sound(home, MODEL)


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("pypi://package==1.2#folder/file", "pypi://package==1.2#folder/file"),
        ("hf://owner/model", "hf://owner/model"),
        ("file office.gguf", "file office.gguf"),
        ("/home/thandi/models/office", "folder office"),
        ("/media/usb/", "folder usb"),
        ("~/models/office", "folder office"),
        ("file:///home/thandi/office", "folder office"),
        ("https://ann:secret@mirror/m/?token=abc#x", "https://mirror/m/"),
    ],
)
def test_a_source_tells_no_secret(source: str, public: str) -> None:
    """Folders by their last name, addresses without password and token."""
    assert public_source(source) == public


def test_files_that_run_and_files_that_came() -> None:
    """All parts of a split file belong together; a folder is all its files."""
    parts = tuple(ModelFile(f"A-0000{n}-of-00002.gguf", str(n) * 64, n) for n in (1, 2))
    made = ModelFile("A.Q4_0.gguf", "9" * 64, 9)
    model = replace(MODEL, files=(*parts, made), active=parts[0].path)
    assert running_files(model) == parts
    assert running_files(replace(model, active=made.path)) == (made,)
    assert running_files(replace(model, active="")) == model.files
    assert arrived_files(model, ()) == parts
    assert arrived_files(model, (parts[0],)) == (parts[0],)
    assert arrived_files(replace(model, active=""), ()) == model.files
    assert part_names("A.gguf") == {"A.gguf"}
    assert len(part_names("A-00002-of-00011.gguf")) == 11
