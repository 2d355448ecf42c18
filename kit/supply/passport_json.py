"""Passports as canonical JSON, and back with every field checked; beside the model on the disk.

Knows the shape of passports from their dataclasses alone. Invariant: what is read has every field,
each of its type, and no other; a passport is on the disk whole or not at all.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.files import write_atomic
from kit.supply.passport import SCHEMA, Passport
from kit.supply.store import InstalledModel, model_folder

FILE = "passport.json"
MAX_BYTES = 8 << 20


def passport_text(passport: Passport) -> str:
    """Canonical: keys sorted, two spaces, UTF-8, one line break at the end."""
    fields = dataclasses.asdict(passport)
    text = json.dumps(fields, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    return text + "\n"


def parse_passport(text: str) -> Passport:
    """The passport. Raises: ValueError that names the field and what is wrong with it."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise ValueError("no passport: it names no schema")
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {SCHEMA} expected, {document['schema']} observed")
    passport = _read(Passport, document, "passport")
    if not isinstance(passport, Passport):
        raise ValueError("no passport")
    return passport


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: a dataclass, a tuple of one kind, an optional, a Literal or a scalar."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(_read(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if origin in (types.UnionType, typing.Union):
        (inner,) = (part for part in arguments if part is not types.NoneType)
        return None if value is None else _read(inner, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise _wrong(where, f"one of {', '.join(map(str, arguments))}", value)
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _wrong(where, kind.__name__, value)
    return value


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    kinds = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    if set(value) != set(names):
        odd = sorted(set(value) ^ set(names))
        raise ValueError(f"{where}: missing or unknown: {', '.join(odd)}")
    return kind(**{name: _read(kinds[name], value[name], f"{where}.{name}") for name in names})


def _wrong(where: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{where}: {expected} expected, {str(value)[:40]!r} observed")


def passport_path(home: Path, name: str) -> Path:
    return model_folder(home, name) / FILE


def write_passport(home: Path, passport: Passport) -> Passport:
    """The passport lies beside its model."""
    write_atomic(passport_path(home, passport.name), passport_text(passport).encode())
    return passport


def find_passport(home: Path, model: InstalledModel) -> Passport | None:
    """The passport of this installation; None if there is none, or one of what was there before.

    Raises: ModelError if it cannot be read.
    """
    path = passport_path(home, model.name)
    if not path.is_file():
        return None
    passport = read_passport(path)
    return passport if passport.belongs_to(model) else None


def read_passport(path: Path) -> Passport:
    """Raises: ModelError that names the file and what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"at most {MAX_BYTES} bytes expected")
        return parse_passport(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        name = path.parent.name
        raise ModelError(
            f"the passport {path} cannot be read: {problem}",
            hint=f"make it anew: kit model check {name} --renew",
        ) from None


def require_sound(home: Path, model: InstalledModel) -> None:
    """Raise ModelError if the passport of the file that runs now says that it is broken.

    A passport that cannot be read stops nobody: `kit model check` tells of it, and makes it anew.
    """
    try:
        passport = find_passport(home, model)
    except ModelError:
        return
    if passport is None or passport.smoke is None or not passport.is_of(model):
        return
    if problems := passport.smoke.problems():
        raise ModelError(
            f"{model.name} is broken: its answers are not those of a sound model",
            problems=problems,
            hint=f"ask it again: kit model check {model.name}; or get the file again",
        )
