"""Passports made: the installed files read, the model asked and timed, all of it written down.

Composes supply, engine and the running model. Invariants: what starts no process takes no time, so
that a first run stays quick; a model that fails its questions keeps its passport, which says so.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kit import __version__
from kit.engine.gguf import GgufFile, read_gguf
from kit.errors import ModelError, NotFound
from kit.ops.measure_speed import measure_speed
from kit.ops.run_model import N_CTX, running_model
from kit.ops.smoke import smoke
from kit.supply.catalog import ModelCard, find_card
from kit.supply.licence import licence_of
from kit.supply.passport import (
    SCHEMA,
    ContextMemory,
    Loss,
    Machine,
    Memory,
    Passport,
    Provenance,
    Template,
    TemplateNote,
    Tools,
    arrived_files,
    public_source,
    running_files,
)
from kit.supply.passport_json import find_passport, write_passport
from kit.supply.smoke.report import SmokeReport
from kit.supply.store import InstalledModel, model_folder, model_path
from kit.supply.template_safety import check_template, template_digest, template_faults

Say = Callable[[str], None]
CONTEXTS = (2048, 4096, 8192, 32768)


def plain_passport(
    home: Path,
    model: InstalledModel,
    *,
    provenance: Provenance | None = None,
    loss: Loss | None = None,
    is_forced: bool = False,
) -> Passport:
    """What the files and their record say, without asking the model; nothing is written.

    With `is_forced` a chat template that is refused was taken nevertheless. What is not given is
    taken from the passport that is there, as far as it is of the same files.
    """
    before = known_passport(home, model)
    card = _card_of(model)
    is_same = before is not None and before.is_of(model)
    if provenance is None and before is not None:
        provenance = before.provenance
        if not is_same:  # the matrix was another quantization's
            provenance = dataclasses.replace(provenance, imatrix_sha256="")
    provenance = provenance or Provenance()
    inputs = provenance.inputs or arrived_files(model, card.files if card else ())
    template = _template(home, model, card, before, is_forced)
    if before is not None and is_same:
        loss = loss or before.loss
    return Passport(
        schema=SCHEMA,
        name=model.name,
        title=card.title if card else model.name,
        kind=model.kind,
        source=public_source(model.source),
        revision=provenance.revision or (card.revision if card else ""),
        licence=licence_of(model_folder(home, model.name), model, card),
        inputs=inputs,
        outputs=tuple(file for file in model.files if file not in inputs),
        active=model.active,
        quant_type=model.quant_type,
        imatrix_sha256=provenance.imatrix_sha256,
        tools=_tools(provenance.converter),
        template=template,
        memory=_memory(home, model),
        loss=loss,
        speed=None,
        smoke=None,
        machine=_machine(),
        installed_at=model.installed_at,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def make_passport(
    home: Path,
    model: InstalledModel,
    *,
    say: Say,
    provenance: Provenance | None = None,
    loss: Loss | None = None,
) -> Passport:
    """The model was asked and timed here, and its passport lies beside it.

    A broken model's passport says so and has no speed. Raises: MachineError if it cannot run here.
    """
    passport = plain_passport(home, model, provenance=provenance, loss=loss)
    report, resident_bytes = ask_model(home, model, say)
    if resident_bytes is not None:
        n_ctx = min(N_CTX, _trained_context(home, model) or N_CTX) if model.active else None
        measured = dataclasses.replace(
            passport.memory, resident_bytes=resident_bytes, resident_n_ctx=n_ctx
        )
        passport = dataclasses.replace(passport, memory=measured)
    if not report.is_broken and model.kind != "reranker":
        say(f"measuring how fast {model.name} is here")
        passport = dataclasses.replace(passport, speed=measure_speed(home, model))
    return write_passport(home, dataclasses.replace(passport, smoke=report))


def ask_model(home: Path, model: InstalledModel, say: Say) -> tuple[SmokeReport, int | None]:
    """The answers and the memory that was held then; None if it could not be loaded."""
    say(f"loading {model.name}")
    card = _card_of(model)
    gguf = read_gguf(model_path(home, model)) if model.active else None
    return smoke(
        lambda: running_model(home, model),
        model,
        card,
        languages=_languages(card, gguf),
        thinks=_thinks(card, gguf),
        say=say,
    )


def known_passport(home: Path, model: InstalledModel, say: Say = lambda _: None) -> Passport | None:
    """The passport of this installation; one that cannot be read is as none, and is made anew."""
    try:
        return find_passport(home, model)
    except ModelError as problem:
        say(problem.message)
        return None


def _card_of(model: InstalledModel) -> ModelCard | None:
    try:
        return find_card(model.name)
    except NotFound:
        return None


def _languages(card: ModelCard | None, gguf: GgufFile | None) -> tuple[str, ...]:
    """Those the card claims, else the file's own header, else English."""
    if card is not None:
        return card.languages
    said = gguf.metadata.get("general.languages") if gguf else None
    named = said if isinstance(said, tuple) else ()
    return tuple(language for language in named if isinstance(language, str)) or ("en",)


def _thinks(card: ModelCard | None, gguf: GgufFile | None) -> bool:
    """Whether it reasons before it answers: its card or its chat template says so."""
    text = gguf.chat_template if gguf else ""
    is_told = card is not None and card.reasoning
    return is_told or "<think>" in text or "enable_thinking" in text


def _tools(converter: str) -> Tools:
    from kit.engine.build import llama_cpp_commit, llama_cpp_python_version

    return Tools(__version__, llama_cpp_python_version(), llama_cpp_commit(), converter)


def _machine() -> Machine:
    from kit.engine.cpu.machine import cpu_name, usable_cores

    return Machine(cpu_name(), usable_cores(), f"{platform.system()} {platform.machine()}")


def _template(
    home: Path,
    model: InstalledModel,
    card: ModelCard | None,
    before: Passport | None,
    is_forced: bool,
) -> Template | None:
    """None for a model without one. Who insisted on a template need not do so again."""
    if not model.active or not (text := read_gguf(model_path(home, model)).chat_template):
        return None
    digest, pinned = template_digest(text), card.template_sha256 if card else ""
    noted = tuple(TemplateNote(f.severity, f.line, f.what) for f in check_template(text))
    known = before.template if before else None
    is_known = known is not None and known.is_forced and known.sha256 == digest
    is_refused = bool(template_faults(text, pinned))
    return Template(digest, pinned, noted, is_refused and (is_forced or is_known))


def _memory(home: Path, model: InstalledModel) -> Memory:
    """Weights as the files are large, contexts as the header says, up to the trained one."""
    weights_bytes = sum(file.size_bytes for file in running_files(model))
    contexts: tuple[ContextMemory, ...] = ()
    if model.kind == "chat" and model.active:
        from kit.engine.gpu import size_of

        gguf, trained = read_gguf(model_path(home, model)), _trained_context(home, model)
        contexts = tuple(
            ContextMemory(n_ctx, size_of(gguf, n_ctx, 1).cache_bytes)
            for n_ctx in CONTEXTS
            if not trained or n_ctx <= trained
        )
    return Memory(weights_bytes, contexts, None, None)


def _trained_context(home: Path, model: InstalledModel) -> int:
    """Tokens; 0 if the file does not say."""
    return read_gguf(model_path(home, model)).number("context_length")
