"""The first run: starter models, the type that runs fastest here, sample documents.

Composes supply, engine and library; each step is skipped when it is already done, so an
interrupted first run goes on where it stopped. Invariant: what a person removed stays removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit import __version__
from kit.config import Config
from kit.database import Database
from kit.errors import EngineError, MachineError, ModelError, NotFound
from kit.files import explain_os_errors, fsync_folder, sha256_file
from kit.supply.catalog import STARTER_CHAT, STARTER_EMBEDDING, find_card
from kit.supply.fetch import Progress, pull
from kit.supply.store import (
    InstalledModel,
    TypeSpeed,
    add_file,
    find_damage,
    find_installed,
    model_folder,
    write_record,
)

if TYPE_CHECKING:
    from kit.engine.quantizing.choose import Choice
    from kit.engine.quantizing.speed import Measurement

Say = Callable[[str], None]
STARTER_TYPES = ("Q4_0", "Q4_K_M", "Q8_0")
SAMPLES_COLLECTION = "samples"
SAMPLES_KEY = "samples.added"


def needed_models(config: Config) -> list[str]:
    """The starter models that these settings rely on."""
    needed = []
    if not config.engine.url and not config.engine.model:
        needed.append(STARTER_CHAT)
    if not config.library.embedding_model:
        needed.append(STARTER_EMBEDDING)
    return needed


def fetch_starters(config: Config, *, say: Say, on_progress: Progress) -> None:
    """The starter models that are needed are installed and whole by size.

    Raises: FetchError, DiskFull.
    """
    for name in needed_models(config):
        if not _is_there(config.home, name):
            card = find_card(name)
            say(f"getting the starter model {card.title}")
            pull(config.home, card, on_progress=on_progress)


def _is_there(home: Path, name: str) -> bool:
    try:
        return not find_damage(home, find_installed(home, name), by_digest=False)
    except (NotFound, ModelError):
        return False


def prepare_chat_model(home: Path, *, say: Say) -> None:
    """The starter chat model runs in the quantization type that measured fastest on this CPU.

    Done once per CPU; if no type can be measured the model runs as it arrived, and that is said.
    """
    from kit.engine.cpu.machine import cpu_name

    model = find_installed(home, STARTER_CHAT)
    if model.measured and model.measured_on == cpu_name():
        return
    say("measuring which quantization type runs fastest on this machine (once)")
    try:
        model = choose_fastest(home, model)
    except (EngineError, ModelError, MachineError) as problem:
        say(f"the starter model stays as it arrived ({model.quant_type}): {problem.message}")
        return
    say(f"the starter model runs as {model.quant_type}")


def write_passports(config: Config) -> None:
    """Each starter model that is needed has a passport of the file it runs from.

    Only what the files say: nobody waits for questions on a first run, `kit model check` asks them.
    """
    from kit.ops.check_model import ensure_passport

    for name in needed_models(config):
        model = find_installed(config.home, name)
        with contextlib.suppress(ModelError):  # a broken one is refused when it is to run
            ensure_passport(config.home, model, say=lambda _: None, is_asked=False)


def choose_fastest(home: Path, model: InstalledModel) -> InstalledModel:
    """Measure STARTER_TYPES and the type it arrived in; the fastest one is the active file.

    The measurements are kept with the model. Raises: EngineError, MachineError, DiskFull.
    """
    from kit.engine.gguf import read_gguf
    from kit.engine.quantize import fastest, measure_types

    source = model_folder(home, model.name) / model.files[0].path
    arrived = read_gguf(source).type_name
    types = tuple(dict.fromkeys((arrived, *STARTER_TYPES)))
    work = home / "tmp" / f"measure-{model.name}"  # an interrupted run finds its files here
    measured = measure_types(source, types, work, home=home)
    return _run_measured(home, model, source, fastest(measured), measured, work)


def _run_measured(
    home: Path,
    model: InstalledModel,
    source: Path,
    best: Measurement,
    measured: Sequence[Measurement],
    work: Path,
) -> InstalledModel:
    """The model runs from `best`'s file; the others are gone, their figures kept with the model."""
    from kit.engine.cpu.machine import cpu_name
    from kit.engine.gguf import read_gguf

    arrived = read_gguf(source).type_name
    if best.type_name == arrived:
        model = dataclasses.replace(model, active=source.name, quant_type=arrived)
    else:
        model = adopt_file(home, model, best.path, best.type_name)
    shutil.rmtree(work, ignore_errors=True)  # absent if only what arrived was measured
    speeds = tuple(
        TypeSpeed(m.type_name, round(m.prefill_tok_per_s, 1), round(m.decode_tok_per_s, 1))
        for m in measured
    )
    return write_record(home, dataclasses.replace(model, measured=speeds, measured_on=cpu_name()))


def adopt_file(home: Path, model: InstalledModel, path: Path, quant_type: str) -> InstalledModel:
    """The model runs from that file, which is moved into its folder; what arrived stays too."""
    folder = model_folder(home, model.name)
    destination = folder / quantized_name(model.files[0].path, quant_type)
    with explain_os_errors(destination):
        os.replace(path, destination)
        fsync_folder(folder)
    return add_file(home, model, destination, quant_type)


def use_type(home: Path, model: InstalledModel, quant_type: str) -> InstalledModel:
    """The model runs in that type. Raises: UsageError, ModelError, EngineError, DiskFull."""
    from kit.engine.gguf import read_gguf
    from kit.engine.quantize import NEED_IMPORTANCE, quantize

    folder = model_folder(home, model.name)
    source = folder / model.files[0].path
    if read_gguf(source).type_name == quant_type:
        changed = dataclasses.replace(model, active=model.files[0].path, quant_type=quant_type)
        return write_record(home, changed)
    destination = folder / quantized_name(source.name, quant_type)
    importance = importance_of(home, model) if quant_type in NEED_IMPORTANCE else None
    quantize(source, destination, quant_type, importance=importance, home=home)
    return add_file(home, model, destination, quant_type)


def importance_of(home: Path, model: InstalledModel) -> Path:
    """The importance matrix of what arrived, computed on the shipped text unless it is there.

    Raises: ModelError, EngineError, DiskFull.
    """
    from kit.engine.quantizing.importance import weigh
    from kit.samples import read_text

    path = home / "tmp" / f"importance-{model.name}.npz"
    weigh(model_folder(home, model.name) / model.files[0].path, read_text(), path, home=home)
    return path


def choose_best(
    home: Path, model: InstalledModel, *, max_kl: float | None = None
) -> tuple[InstalledModel, Choice, str]:
    """The model runs in the type that answers soonest here among those that lose little enough.

    Returns the model, every figure that was measured, and the SHA-256 of the importance matrix that
    the running file was made with; empty for the file that arrived.
    Raises: ModelError (every type loses too much), EngineError, MachineError, DiskFull.
    """
    from kit.engine.quantizing.auto import measure_and_choose
    from kit.samples import predicted_text

    source = model_folder(home, model.name) / model.files[0].path
    work = home / "tmp" / f"measure-{model.name}"
    shutil.rmtree(work, ignore_errors=True)  # what an interrupted run made without the matrix
    importance = importance_of(home, model)
    choice = measure_and_choose(
        source, work, predicted_text(), max_kl=max_kl, importance=importance, home=home
    )
    speeds = [one.speed for one in choice.candidates]
    model = _run_measured(home, model, source, choice.chosen.speed, speeds, work)
    has_matrix = model.active != source.name
    return model, choice, sha256_file(importance) if has_matrix else ""


def quantized_name(name: str, quant_type: str) -> str:
    """'Office-8B-F16.gguf', 'Q4_0' -> 'Office-8B-Q4_0.gguf'; appended where no type is named."""
    stem = name.removesuffix(".gguf")
    known = re.fullmatch(r"(.+[.-])(I?Q\d\w*|B?F16|F32)", stem, re.IGNORECASE)
    return f"{known[1] if known else stem + '.'}{quant_type}.gguf"


def add_samples(home: Path, database: Database, *, say: Say) -> None:
    """The sample documents are in the collection "samples", unless they were added before."""
    from kit.library.store import Library
    from kit.samples import sample_paths

    if database.row("SELECT 1 FROM settings WHERE key = ?", (SAMPLES_KEY,)):
        return
    library = Library(home, database)
    paths = sample_paths()
    for path in paths:
        with path.open("rb") as stream:
            library.add(stream, path.name, added_by="local", collection=SAMPLES_COLLECTION)
    with database.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?)", (SAMPLES_KEY, __version__)
        )
    say(f"added {len(paths)} sample documents (collection {SAMPLES_COLLECTION})")
