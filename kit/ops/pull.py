"""The whole model line: from a card to a model that runs, whatever its source has.

Composes fetch, convert and quantize. Invariants: what is fetched and converted waits in a folder of
its own, where an interrupted pull goes on; the model is there only once all of it is.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.files import explain_os_errors, fsync_folder, make_private_folder, sha256_file
from kit.ops.check_model import accepted_loss
from kit.supply import fetch as fetching
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.convert import convert
from kit.supply.converter import find_converter
from kit.supply.fetch import FetchedModel, Progress
from kit.supply.passport import Loss, Provenance
from kit.supply.store import InstalledModel, model_folder, write_record

Say = Callable[[str], None]
_LICENCES = ("LICEN", "COPYING", "NOTICE")


@dataclass(frozen=True)
class Pulled:
    """The installed model and, where it was made here, what the stages know of it."""

    model: InstalledModel
    provenance: Provenance | None = None
    loss: Loss | None = None


def pull_model(
    home: Path,
    card: ModelCard,
    *,
    quant_type: str | None = None,
    is_forced: bool = False,
    environ: Mapping[str, str] | None = None,
    say: Say,
    on_progress: Progress,
) -> Pulled:
    """The card's model is installed, converted and quantized if need be.

    `quant_type` is that of a model which is converted here; the card's without it. One that lost
    more than the card allows is refused unless it `is_forced`; what was fetched is kept then.
    Raises: FetchError, ModelError, UsageError, EngineError, DiskFull.
    """
    if card.is_ready_made:
        return Pulled(fetching.pull(home, card, environ=environ, on_progress=on_progress))
    if installed := fetching.find_whole(home, card):
        return Pulled(installed)
    make_private_folder(home)
    wanted = quant_type or card.quant_type
    return _make(home, card, wanted, is_forced, environ, say, on_progress)


def _make(
    home: Path,
    card: ModelCard,
    quant_type: str,
    is_forced: bool,
    environ: Mapping[str, str] | None,
    say: Say,
    on_progress: Progress,
) -> Pulled:
    from kit.engine.gguf import read_gguf
    from kit.engine.quantize import file_type, quantize

    file_type(quant_type)  # a type that is none costs no download
    folder, work = model_folder(home, card.name), home / "tmp" / f"pull-{card.name}"
    fetched = fetching.fetch(work / "hub", card, environ=environ, on_progress=on_progress)
    _drop_others(fetched)
    converter = find_converter(home, environ=environ, on_report=on_progress)
    whole = work / f"unquantized-{_digest_of(fetched.files)[:16]}.gguf"
    if not whole.is_file():  # it takes this name only when it is whole
        say(f"converting {card.name} to GGUF")
        convert(work / "hub", whole, converter, environ=environ, on_progress=on_progress)
    active = f"{card.name}.{quant_type}.gguf"
    say(f"quantizing to {quant_type}")
    if read_gguf(whole).type_name == quant_type:
        shutil.copyfile(whole, work / active)
    else:
        quantize(whole, work / active, quant_type, home=home)
    loss = accepted_loss(home, work / active, whole, card, say=say, is_forced=is_forced)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted((work / "hub").glob("*")):
            if path.name.upper().startswith(_LICENCES):
                shutil.copyfile(path, folder / path.name)
        (work / active).replace(folder / active)
        fsync_folder(folder)
        made = ModelFile(active, sha256_file(folder / active), (folder / active).stat().st_size)
        model = write_record(
            home,
            InstalledModel(
                name=card.name,
                kind=card.kind,
                source=fetched.origin,
                licence=card.licence,
                files=(made,),
                active=active,
                quant_type=quant_type,
            ),
        )
        shutil.rmtree(work)
    version = f"of llama-cpp-python {converter.version}"
    return Pulled(model, Provenance(fetched.files, fetched.revision, version), loss)


def _drop_others(fetched: FetchedModel) -> None:
    """Only what was fetched lies in its folder: an interrupted pull of another revision may have
    left a piece of other weights, which would be converted with these."""
    ours = {fetched.folder / file.path for file in fetched.files}
    for path in fetched.folder.rglob("*"):
        if path.is_file() and path not in ours:
            path.unlink()


def _digest_of(files: Sequence[ModelFile]) -> str:
    """One digest of all of them, so that what was made of others is not taken for these."""
    lines = sorted(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
