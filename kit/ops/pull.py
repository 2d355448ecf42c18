"""The whole model line: from a card to a model that runs, whatever its source has.

Composes fetch, convert and quantize. Invariants: what is fetched and converted waits in a folder of
its own, where an interrupted pull goes on and which a finished one removes; the model is there only
once all of it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.engine.gguf import GgufFile, read_gguf
from kit.engine.quantize import NEED_IMPORTANCE, file_type, quantize
from kit.engine.quantizing.importance import weigh
from kit.errors import UsageError
from kit.files import explain_os_errors, fsync_folder, sha256_file
from kit.ops.check_model import accepted_loss
from kit.ops.check_template import acceptor, insist, require_accepted
from kit.ops.leftovers import keep_only, own_pull_folder
from kit.samples import read_text
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

    Without `quant_type` the card's is taken. One that lost more than the card allows, or whose chat
    template does what none should, is refused unless it `is_forced`; what was fetched is kept then.
    Raises: FetchError, ModelError, UsageError, EngineError, DiskFull, AlreadyRunning.
    """
    card = card if quant_type is None else _as_type(card, quant_type.upper())
    with own_pull_folder(home, card.name) as work:
        if installed := fetching.find_whole(home, card):
            require_accepted(home, installed, say=say, is_forced=is_forced)
            pulled = Pulled(installed)
        elif card.is_ready_made:
            accept = acceptor(card.name, card, say=say, is_forced=is_forced)
            model = fetching.pull(
                home,
                card,
                environ=environ,
                accept=lambda fetched: _accept_fetched(fetched, accept),
                on_progress=on_progress,
            )
            pulled = Pulled(model)
        else:
            pulled = _make(home, work, card, is_forced, environ, say, on_progress)
        if is_forced:
            insist(home, pulled.model)
        with explain_os_errors(work):
            shutil.rmtree(work)
    if quant_type is not None and pulled.model.quant_type != card.quant_type:
        raise UsageError(
            f"{card.name} is installed as {pulled.model.quant_type} already",
            hint=f"kit model quantize {card.name} --type {card.quant_type}; or begin anew: "
            f"kit model rm {card.name}",
        )
    return pulled


def _accept_fetched(fetched: FetchedModel, accept: Callable[[GgufFile], None]) -> None:
    for file in fetched.gguf_files[:1]:
        accept(read_gguf(fetched.folder / file.path))


def _as_type(card: ModelCard, quant_type: str) -> ModelCard:
    """The card, asking for that type. Raises: UsageError, before a byte is fetched."""
    file_type(quant_type)
    if quant_type == card.quant_type:
        return card
    if card.kind != "chat":
        raise UsageError(f"{card.name} is an embedding model; only chat models are quantized")
    if card.is_ready_made and card.files:
        raise UsageError(
            f"{card.name} comes as {card.quant_type} only",
            hint=f"kit model pull {card.name}, then: "
            f"kit model quantize {card.name} --type {quant_type}",
        )
    return dataclasses.replace(card, quant_type=quant_type)


def _make(
    home: Path,
    work: Path,
    card: ModelCard,
    is_forced: bool,
    environ: Mapping[str, str] | None,
    say: Say,
    on_progress: Progress,
) -> Pulled:
    fetched = fetching.fetch(work / "hub", card, environ=environ, on_progress=on_progress)
    _drop_others(fetched)
    converter = find_converter(home, environ=environ, on_report=on_progress)
    whole = work / f"unquantized-{_digest_of(fetched.files)[:16]}.gguf"
    matrix = work / "importance.npz"
    keep_only(work, work / "hub", whole, matrix)
    if not whole.is_file():  # it takes this name only when it is whole
        say(f"converting {card.name} to GGUF")
        convert(work / "hub", whole, converter, environ=environ, on_progress=on_progress)
    acceptor(card.name, card, say=say, is_forced=is_forced)(read_gguf(whole))
    importance = _weighed(whole, card.quant_type, matrix, home, say)
    say(f"quantizing to {card.quant_type}")
    made = work / f"{card.name}.{card.quant_type}.gguf"
    if read_gguf(whole).type_name == card.quant_type:
        shutil.copyfile(whole, made)
    else:
        quantize(whole, made, card.quant_type, importance=importance, home=home)
    loss = accepted_loss(home, made, whole, card, say=say, is_forced=is_forced)
    model = _install(home, fetched, made)
    version = f"of llama-cpp-python {converter.version}"
    imatrix_sha256 = sha256_file(importance) if importance else ""
    provenance = Provenance(fetched.files, fetched.revision, version, imatrix_sha256)
    return Pulled(model, provenance, loss)


def _install(home: Path, fetched: FetchedModel, made: Path) -> InstalledModel:
    """What was made is the model, with the licence that came with it."""
    card, folder = fetched.card, model_folder(home, fetched.card.name)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(fetched.folder.glob("*")):
            if path.name.upper().startswith(_LICENCES):
                shutil.copyfile(path, folder / path.name)
        final = folder / made.name
        made.replace(final)
        fsync_folder(folder)
        file = ModelFile(final.name, sha256_file(final), final.stat().st_size)
        return write_record(
            home,
            InstalledModel(
                name=card.name,
                kind=card.kind,
                source=fetched.origin,
                licence=card.licence,
                files=(file,),
                active=file.path,
                quant_type=card.quant_type,
            ),
        )


def _weighed(whole: Path, quant_type: str, matrix: Path, home: Path, say: Say) -> Path | None:
    """The importance matrix for a type that is useless without one; None for the others."""
    if quant_type not in NEED_IMPORTANCE:
        return None
    say(f"computing the importance matrix that {quant_type} needs")
    weigh(whole, read_text(), matrix, home=home)
    return matrix


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
