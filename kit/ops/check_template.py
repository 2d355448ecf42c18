"""A model's chat template, taken or refused: what is found in it, and whether somebody insists.

Composes headers, cards and passports. Invariant: a template that is refused comes in by --force
alone, and the passport says so from then on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from kit.engine.gguf import GgufFile, read_gguf
from kit.errors import ModelError, Problem
from kit.ops.passport import Say, known_passport, plain_passport
from kit.supply.catalog import ModelCard, load_catalog
from kit.supply.passport_json import write_passport
from kit.supply.store import InstalledModel, model_path
from kit.supply.template_safety import template_digest, template_faults

HINT = (
    "a template is code from whoever made the file: get the model from its makers; or read the "
    "template, and insist: --force"
)


def acceptor(
    name: str, card: ModelCard | None, *, say: Say, is_forced: bool
) -> Callable[[GgufFile], None]:
    """What looks at a file that is to become the model `name`.

    It raises ModelError with everything that speaks against the template unless it `is_forced`;
    then it says so.
    """
    pinned = card.template_sha256 if card else ""

    def accept(gguf: GgufFile) -> None:
        problems = template_faults(gguf.chat_template, pinned)
        if problems and not is_forced:
            raise ModelError(
                f"the chat template of {name} is refused", problems=problems, hint=HINT
            )
        for problem in problems:
            say(f"taken although refused: {problem.where}: {problem.what}")

    return accept


def find_refused(home: Path, model: InstalledModel) -> list[Problem]:
    """Why the template of the file that runs must not be used; empty if somebody insisted on it."""
    if not model.active:
        return []
    text = read_gguf(model_path(home, model)).chat_template
    passport = known_passport(home, model)
    known = passport.template if passport else None
    if known is not None and known.is_forced and known.sha256 == template_digest(text):
        return []
    card = load_catalog().get(model.name)
    return template_faults(text, card.template_sha256 if card else "")


def require_accepted(home: Path, model: InstalledModel, *, say: Say, is_forced: bool) -> None:
    """The template of an installed model may be used; if it `is_forced`, its passport tells.

    Raises: ModelError with everything that speaks against it.
    """
    problems = find_refused(home, model)
    if problems and not is_forced:
        raise ModelError(
            f"the chat template of {model.name} is refused", problems=problems, hint=HINT
        )
    for problem in problems:
        say(f"taken although refused: {problem.where}: {problem.what}")
    if problems:
        insist(home, model)


def insist(home: Path, model: InstalledModel) -> None:
    """The passport says what was found in a template that is refused, and that it was taken."""
    plain = plain_passport(home, model, is_forced=True)
    if plain.template is None or not plain.template.is_forced:
        return  # nothing is refused
    known = known_passport(home, model)
    is_same = known is not None and known.is_of(model)
    passport = dataclasses.replace(known, template=plain.template) if known and is_same else plain
    write_passport(home, passport)
