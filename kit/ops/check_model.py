"""A model asked again, or for the first time: what is kept of it, and what is refused.

Composes passports and records. Invariants: a file that fails its questions never takes the place of
one that runs; what this machine is too small to ask is said, not refused.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from kit.errors import MachineError, ModelError
from kit.ops.passport import Say, ask_model, known_passport, make_passport, plain_passport
from kit.supply.catalog import ModelCard, load_catalog
from kit.supply.passport import Loss, Passport, Provenance
from kit.supply.passport_json import write_passport
from kit.supply.smoke.report import SmokeReport
from kit.supply.store import InstalledModel, model_folder, write_record


@dataclass(frozen=True)
class Checked:
    """What a check found. `changed` names greedy questions that are answered otherwise now."""

    passport: Passport
    report: SmokeReport
    changed: tuple[str, ...]


def ensure_passport(
    home: Path,
    model: InstalledModel,
    *,
    say: Say,
    is_asked: bool = True,
    provenance: Provenance | None = None,
    loss: Loss | None = None,
) -> Passport:
    """A passport of exactly the file that runs lies beside the model, made now if need be.

    If this machine is too small to ask it, that is said, and the passport tells what the files do.
    Raises: ModelError if the model is broken.
    """
    known = known_passport(home, model)
    is_new = provenance is not None or loss is not None
    if known is not None and known.is_of(model) and not is_new and (known.smoke or not is_asked):
        passport = known
    else:
        passport = plain_passport(home, model, provenance=provenance, loss=loss)
        write_passport(home, passport)  # what was given is kept in it, whatever comes
        if is_asked:
            try:
                passport = make_passport(home, model, say=say)
            except MachineError as problem:
                say(f"{model.name} was not asked anything: {problem.message}")
    require_unbroken(model, passport.smoke)
    return passport


def require_unbroken(model: InstalledModel, report: SmokeReport | None) -> None:
    """Raise ModelError with every problem if the questions showed one."""
    if report is not None and (problems := report.problems()):
        raise ModelError(
            f"{model.name} is broken: its answers are not those of a sound model",
            problems=problems,
            hint=f"see them: kit model show {model.name} --page; then get the file again",
        )


def keep_if_sound(
    home: Path,
    before: InstalledModel,
    after: InstalledModel,
    *,
    say: Say,
    is_asked: bool = True,
    provenance: Provenance | None = None,
    loss: Loss | None = None,
) -> Passport:
    """The passport of the file that runs from now on; if it is broken, the one before runs again.

    Raises: ModelError with what the broken one answered; its file is removed.
    """
    old = known_passport(home, before)
    try:
        return ensure_passport(
            home, after, say=say, is_asked=is_asked, provenance=provenance, loss=loss
        )
    except ModelError:
        if after.active == before.active:
            raise
        _run_again(home, before, after)
        write_passport(home, old or plain_passport(home, before))
        say(f"{before.name} runs as {before.quant_type} as before")
        raise


def keep_if_close(
    home: Path,
    before: InstalledModel,
    after: InstalledModel,
    *,
    say: Say,
    is_forced: bool = False,
) -> Loss | None:
    """What quantizing cost, None if the model runs as it came; measured on a shipped text.

    Raises: ModelError if it is more than the card allows and nobody insists; then the one before
    runs again.
    """
    folder = model_folder(home, after.name)
    if after.active == after.files[0].path:
        return None
    try:
        return accepted_loss(
            home,
            folder / after.active,
            folder / after.files[0].path,
            load_catalog().get(after.name),
            say=say,
            is_forced=is_forced,
        )
    except ModelError:
        if after.active != before.active:
            _run_again(home, before, after)
            say(f"{before.name} runs as {before.quant_type} as before")
        raise


def accepted_loss(
    home: Path,
    path: Path,
    reference: Path,
    card: ModelCard | None,
    *,
    say: Say,
    is_forced: bool = False,
) -> Loss:
    """What `path` lost against `reference`. Raises: ModelError if that is too much."""
    from kit.engine.quantizing.loss import require_acceptable
    from kit.engine.quantizing.measure_loss import measure_loss
    from kit.samples import predicted_text

    say("measuring what quantizing cost")
    loss = measure_loss(path, reference, predicted_text(), home=home)
    require_acceptable(loss, card.max_kl if card else None, forced=is_forced)
    return Loss(**dataclasses.asdict(loss))


def _run_again(home: Path, before: InstalledModel, after: InstalledModel) -> None:
    """The file of before is the active one again; one that was not there before is gone."""
    is_new = after.active not in {file.path for file in before.files}
    files = tuple(file for file in after.files if not (is_new and file.path == after.active))
    write_record(
        home,
        dataclasses.replace(after, files=files, active=before.active, quant_type=before.quant_type),
    )
    if is_new:
        (model_folder(home, after.name) / after.active).unlink(missing_ok=True)


def check_model(
    home: Path, model: InstalledModel, *, say: Say, is_renewed: bool = False
) -> Checked:
    """The model was asked again, and its answers compared with its passport's.

    Without a full passport of this file, or if it `is_renewed`, the passport is made anew. It is
    rewritten too where the model turned broken or sound. Raises: MachineError.
    """
    before = known_passport(home, model, say=say)
    if before is None or before.smoke is None or not before.is_of(model) or is_renewed:
        passport = make_passport(home, model, say=say)
        report = passport.smoke or SmokeReport(())
        old = before.smoke if before is not None and before.is_of(model) else None
        return Checked(passport, report, report.changed_since(old) if old else ())
    report, _ = ask_model(home, model, say)
    passport = before
    if report.is_broken != before.smoke.is_broken:
        passport = write_passport(home, dataclasses.replace(before, smoke=report))
    return Checked(passport, report, report.changed_since(before.smoke))
