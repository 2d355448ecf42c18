"""kit model check: bytes against digests, answers against the passport.

Knows options and words; what is asked and what is refused is `kit.ops.check_model`'s.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.output import emit, plain, say
from kit.config import load_config
from kit.errors import ModelError, NotFound, Problem, UsageError

if TYPE_CHECKING:
    from kit.ops.check_model import Checked
    from kit.supply.store import InstalledModel


def check(
    name: Annotated[
        str | None, typer.Argument(help="One model; without it all of them.", metavar="[NAME]")
    ] = None,
    is_smoked: Annotated[
        bool, typer.Option("--smoke", help="Ask each of them the smoke questions, too.")
    ] = False,
    is_unasked: Annotated[
        bool, typer.Option("--no-smoke", help="Compare the digests only.")
    ] = False,
    is_renewed: Annotated[
        bool, typer.Option("--renew", help="Measure everything anew for the passport.")
    ] = False,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Accept a chat template that is refused.")
    ] = False,
    passport_folder: Annotated[
        Path | None,
        typer.Option(
            "--passport",
            metavar="FOLDER",
            help="Write the passport, its page and the licence there.",
        ),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Read every byte of the installed models; of one that is named, ask the smoke questions, too.

    Bytes are compared with the recorded digests, answers with those in the model's passport, which
    is made if there is none. A broken model, and one whose chat template does what none should,
    ends with 11.
    """
    from kit.supply.store import find_damage, find_installed, list_installed, repair_hint

    _check_options(name, is_smoked, is_unasked, is_renewed, passport_folder)
    folder = load_config(home=home).home
    models = [find_installed(folder, name)] if name else list_installed(folder)
    damage = {
        model.name: find_damage(
            folder, model, by_digest=True, on_progress=lambda where: say(f"checking {where}")
        )
        for model in models
    }
    damaged = [model for model in models if damage[model.name]]
    if damaged:
        raise ModelError(
            f"damaged: {', '.join(model.name for model in damaged)}",
            problems=[problem for model in damaged for problem in damage[model.name]],
            hint=repair_hint(damaged[0]),
        )
    _judge_templates(folder, models, is_forced)
    checked = _ask(folder, models, is_renewed) if is_smoked or (name and not is_unasked) else {}
    if passport_folder is not None:
        _write_passport(folder, models[0], passport_folder)
    _report(models, checked, is_json)


def _judge_templates(folder: Path, models: list[InstalledModel], is_forced: bool) -> None:
    """Raises: ModelError that names every model whose chat template is refused, and why."""
    from kit.ops.check_template import HINT, find_refused, require_accepted

    if is_forced:
        for model in models:
            require_accepted(folder, model, say=say, is_forced=True)
    found = {model.name: find_refused(folder, model) for model in models}
    if refused := [name for name, problems in found.items() if problems]:
        raise ModelError(
            f"the chat template is refused of: {', '.join(refused)}",
            problems=[
                Problem(f"{name} {problem.where}", plain(problem.what))
                for name in refused
                for problem in found[name]
            ],
            hint=HINT,
        )


def _check_options(
    name: str | None,
    is_smoked: bool,
    is_unasked: bool,
    is_renewed: bool,
    passport_folder: Path | None,
) -> None:
    """Raises: UsageError for what contradicts itself."""
    if is_unasked and (is_smoked or is_renewed):
        raise UsageError(f"--no-smoke contradicts {'--smoke' if is_smoked else '--renew'}")
    if name is None and (is_renewed or passport_folder is not None):
        option = "--renew" if is_renewed else "--passport"
        raise UsageError(
            f"{option} is for one model", hint=f"name it: kit model check NAME {option}"
        )


def _ask(folder: Path, models: list[InstalledModel], is_renewed: bool) -> dict[str, Checked]:
    from kit.ops.check_model import check_model

    return {
        model.name: check_model(folder, model, say=say, is_renewed=is_renewed) for model in models
    }


def _write_passport(folder: Path, model: InstalledModel, destination: Path) -> None:
    """The passport, its page and the licence's text are in the folder."""
    from kit.supply.passport_json import find_passport
    from kit.supply.passport_page import write_pages

    passport = find_passport(folder, model)
    if passport is None:
        raise NotFound(
            f"{model.name} has no passport yet", hint=f"make it: kit model check {model.name}"
        )
    write_pages(passport, destination)
    say(f"wrote the passport to {destination}")


def _report(models: list[InstalledModel], checked: dict[str, Checked], is_json: bool) -> None:
    """What the check found. Raises: ModelError that names each broken model's answers."""
    from kit.ops.check_model import require_unbroken

    for model in models:
        found = checked.get(model.name)
        require_unbroken(model, found.report if found else None)
    if is_json:
        emit({"models": [_checked_json(model, checked.get(model.name)) for model in models]})
        return
    for model in models:
        print(f"{model.name}: whole ({len(model.files)} files)")
        if found := checked.get(model.name):
            _print_answers(found)


def _checked_json(model: InstalledModel, found: Checked | None) -> dict[str, Any]:
    smoke = asdict(found.report) | {"changed": found.changed} if found else None
    return {"name": model.name, "whole": True, "smoke": smoke}


def _print_answers(found: Checked) -> None:
    answers = found.report.answers
    print(f"  {found.report.num_passed} of {len(answers)} smoke questions passed")
    for answer in answers:
        if answer.outcome != "passed":
            print(f"  {answer.outcome}: {answer.name}: {plain(answer.why)}")
    if found.changed:
        print(f"  answered otherwise than in the passport: {', '.join(found.changed)}")
