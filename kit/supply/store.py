"""The models of one KIT_HOME: home/models/<name>/ with its files and an installed.json.

A release that came in a bundle carries models too; they are seen beside the home's own, of the same
name the home's own first. Knows no network and no llama.cpp. Invariants: a model exists exactly
when its installed.json does; that file is written last and removed first, so a model cut short by a
kill is not a model. What a bundle brought is never changed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import ModelError, NotFound, Problem, UsageError
from kit.files import (
    copy_hashing,
    digests_differ,
    explain_os_errors,
    make_private_folder,
    require_space,
    sha256_file,
    write_atomic,
)
from kit.release import bundled_models
from kit.supply.catalog import Kind, ModelFile

if TYPE_CHECKING:
    from kit.engine.gguf import GgufFile

RECORD = "installed.json"


@dataclass(frozen=True)
class TypeSpeed:
    """What one quantization type measured on this machine, tokens per second."""

    quant_type: str
    prefill_tok_per_s: float
    decode_tok_per_s: float


@dataclass(frozen=True)
class InstalledModel:
    """One model as it lies on the disk."""

    name: str
    kind: Kind
    source: str
    licence: str
    files: tuple[ModelFile, ...]
    active: str = ""
    """The GGUF file to run, one of `files`; empty for an embedding model, which is its folder."""
    quant_type: str = ""
    measured: tuple[TypeSpeed, ...] = ()
    """Speeds from which `active` was chosen; empty if no choice was made here."""
    measured_on: str = ""
    """The CPU of these measurements."""
    installed_at: str = ""
    query_prefix: str = ""
    """What an embedding model wants before a question, and before a passage; both are read in the
    record by kit.library.index.embed."""
    passage_prefix: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def model_folder(home: Path, name: str) -> Path:
    """Where that model lies: home/models/<name>, or the bundle's if only that has it.

    Raises: UsageError for a name that is no single folder's name.
    """
    own, bundled = own_folder(home, name), bundled_models()
    if bundled is None or (own / RECORD).is_file() or not (bundled / name / RECORD).is_file():
        return own
    return bundled / name


def is_bundled(home: Path, name: str) -> bool:
    """Whether the model came with the release and lies there: to be read, never changed."""
    return model_folder(home, name) != own_folder(home, name)


def copy_bundled(home: Path, name: str) -> bool:
    """A model that came with the release is the home's own as well, so that it can be changed.

    False if it was already. Raises: DiskFull before anything is copied.
    """
    if not is_bundled(home, name):
        return False
    source, own = model_folder(home, name), own_folder(home, name)
    require_space(own, sum(path.stat().st_size for path in source.rglob("*") if path.is_file()))
    make_private_folder(home)
    with explain_os_errors(own):
        shutil.copytree(source, own, ignore=lambda *_: [RECORD], dirs_exist_ok=True)
    write_record(home, find_installed(home, name))
    return True


def own_folder(home: Path, name: str) -> Path:
    """home/models/<name>. Raises UsageError for a name that is no single folder's name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UsageError(
            f"{name!r} cannot name a model",
            hint="use small letters, digits, '.', '_' and '-', for example: qwen3-8b",
        )
    return home / "models" / name


def list_installed(home: Path) -> list[InstalledModel]:
    """Every installed model by name; a record that cannot be read is an error that names it."""
    places = [bundled_models(), home / "models"]
    records = {p.parent.name: p for place in places if place for p in place.glob(f"*/{RECORD}")}
    return [_read_record(records[name]) for name in sorted(records)]


def find_installed(home: Path, name: str) -> InstalledModel:
    """That model. Raises NotFound with what to do."""
    path = model_folder(home, name) / RECORD
    if not path.is_file():
        raise NotFound(
            f"no model called {name!r} is installed",
            hint=f"see them: kit model list; get it: kit model pull {name}",
        )
    return _read_record(path)


def _read_record(path: Path) -> InstalledModel:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["files"] = tuple(ModelFile(**entry) for entry in record["files"])
        record["measured"] = tuple(TypeSpeed(**entry) for entry in record["measured"])
        return InstalledModel(**record)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(
            f"{path} cannot be read: {problem}",
            hint=f"remove the folder {path.parent} and install the model again",
        ) from None


def write_record(home: Path, model: InstalledModel) -> InstalledModel:
    """The model exists from here on, stamped with the time if it had none."""
    if not model.installed_at:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        model = dataclasses.replace(model, installed_at=now)
    text = json.dumps(dataclasses.asdict(model), indent=2)
    write_atomic(own_folder(home, model.name) / RECORD, text.encode())
    return model


def remove_model(home: Path, name: str) -> InstalledModel:
    """The model is gone; its record goes first."""
    model = find_installed(home, name)
    if is_bundled(home, name):
        raise UsageError(
            f"the model {name} came with the installed bundle, which is never changed",
            hint="a bundle without it removes it",
        )
    folder = own_folder(home, name)
    with explain_os_errors(folder):
        (folder / RECORD).unlink()
        shutil.rmtree(folder)
    return model


def model_path(home: Path, model: InstalledModel) -> Path:
    """What to load: the active GGUF file of a chat model, the folder of an embedding model."""
    return model_folder(home, model.name) / model.active


def find_damage(
    home: Path,
    model: InstalledModel,
    *,
    by_digest: bool,
    on_progress: Callable[[str], None] = lambda _path: None,
) -> list[Problem]:
    """Every file that is missing, of another size or (`by_digest`) of other content."""
    problems: list[Problem] = []
    for file in model.files:
        path = model_folder(home, model.name) / file.path
        where = f"models/{model.name}/{file.path}"
        on_progress(where)
        if not path.is_file():
            problems.append(Problem(where, "missing"))
        elif (observed := path.stat().st_size) != file.size_bytes:
            problems.append(
                Problem(where, f"expected {file.size_bytes} bytes, observed {observed}")
            )
        elif by_digest and (digest := sha256_file(path)) != file.sha256:
            problems.append(Problem(where, digests_differ(file.sha256, digest)))
    return problems


def require_whole(home: Path, model: InstalledModel, *, by_digest: bool = False) -> None:
    """Raise ModelError that names every damaged file."""
    if problems := find_damage(home, model, by_digest=by_digest):
        raise ModelError(
            f"the model {model.name} is damaged",
            problems=problems,
            hint=repair_hint(model),
        )


def repair_hint(model: InstalledModel) -> str:
    """How to get a damaged model back, by where it came from."""
    if not model.source.startswith("file "):
        return f"fetch it again: kit model pull {model.name}"
    return f"copy the file again, then run: kit model import FILE --name {model.name} --replace"


def import_gguf(
    home: Path,
    source: Path,
    name: str,
    *,
    replace: bool = False,
    accept: Callable[[GgufFile], None] = lambda _header: None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> InstalledModel:
    """A copy of the GGUF file (all its parts, if it is split) is the chat model `name`.

    `accept` sees the first part's header before anything is copied, and may raise; `on_progress`
    receives bytes done and bytes in all. Raises: ModelError if a part is missing or
    no whole GGUF file, UsageError if the name is taken, DiskFull before anything is copied.
    """
    from kit.engine.gguf import read_gguf, split_paths

    folder = own_folder(home, name)
    if (folder / RECORD).is_file() and not replace:
        raise UsageError(
            f"a model called {name!r} is already installed",
            hint=f"choose another --name, add --replace, or remove it: kit model rm {name}",
        )
    parts = split_paths(source)
    headers = [read_gguf(part) for part in parts]  # before the copy: damage costs no time
    accept(headers[0])
    total = sum(header.size_bytes for header in headers)
    require_space(folder, total)
    make_private_folder(home)
    (folder / RECORD).unlink(missing_ok=True)
    files: list[ModelFile] = []

    def progress(done: int) -> None:
        on_progress(sum(file.size_bytes for file in files) + done, total)

    for part in parts:
        files.append(_copy_in(part, folder, progress))
    return write_record(
        home,
        InstalledModel(
            name=name,
            kind="chat",
            source=f"file {source.name}",
            licence=headers[0].text("general.license", "unknown"),
            files=tuple(files),
            active=parts[0].name,
            quant_type=headers[0].type_name,
        ),
    )


def _copy_in(source: Path, folder: Path, on_progress: Callable[[int], None]) -> ModelFile:
    with explain_os_errors(source), source.open("rb") as stream:
        digest, size_bytes = copy_hashing(stream, folder / source.name, on_progress=on_progress)
    return ModelFile(source.name, digest, size_bytes)


def add_file(home: Path, model: InstalledModel, path: Path, quant_type: str) -> InstalledModel:
    """The model runs from now on from `path`, a GGUF file inside its folder."""
    name = path.relative_to(model_folder(home, model.name)).as_posix()
    added = ModelFile(name, sha256_file(path), path.stat().st_size)
    files = (*(file for file in model.files if file.path != name), added)
    changed = dataclasses.replace(model, files=files, active=name, quant_type=quant_type)
    return write_record(home, changed)
