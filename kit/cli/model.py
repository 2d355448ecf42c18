"""kit model: the models that are installed and those the kit knows."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.check_model import check
from kit.cli.model_list import list_models
from kit.cli.output import emit, meter, say, table
from kit.config import load_config
from kit.errors import NotFound, UsageError

if TYPE_CHECKING:
    from kit.supply.catalog import ModelCard
    from kit.supply.passport import Passport
    from kit.supply.store import InstalledModel

app = typer.Typer(help="The models: which there are, and how they get here.")

Name = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")]
QuantType = Annotated[
    str | None, typer.Option("--type", help="Quantization type, for example Q4_K_M.")
]
QuantTypeOrAuto = Annotated[
    str | None,
    typer.Option("--type", help="Quantization type, for example Q4_K_M; 'auto' weighs loss, too."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Take it although quantizing lost more than allowed.")
]
ForceAll = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Take it although quantizing lost more than allowed, or its template is refused.",
    ),
]
NoSmoke = Annotated[
    bool, typer.Option("--no-smoke", help="Ask it nothing: neither start nor time it.")
]


app.command("list")(list_models)


def _json(
    name: str, installed: dict[str, InstalledModel], cards: dict[str, ModelCard]
) -> dict[str, Any]:
    model, card = installed.get(name), cards.get(name)
    return {
        "name": name,
        "installed": asdict(model) if model else None,
        "card": asdict(card) if card else None,
    }


@app.command()
def show(
    name: Name,
    is_page: Annotated[
        bool, typer.Option("--page", help="Print the passport as a page in Markdown.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Show what is known about a model: its card, memory by type and context, passport."""
    from kit.supply.catalog import find_card, load_catalog
    from kit.supply.fit import memory_by_type
    from kit.supply.passport_json import find_passport
    from kit.supply.store import list_installed

    folder = load_config(home=home).home
    installed = {model.name: model for model in list_installed(folder)}
    cards = load_catalog()
    if name not in installed:
        find_card(name)  # names the nearest one if there is none
    record = _json(name, installed, cards)
    if name in cards:
        record["memory"] = [asdict(row) for row in memory_by_type(cards[name])]
    passport = find_passport(folder, installed[name]) if name in installed else None
    if is_page:
        _print_page(name, passport)
        return
    if is_json:
        emit(record | {"passport": asdict(passport) if passport else None})
        return
    for part in ("card", "installed"):
        print(f"{part}:" if record[part] else f"{part}: no")
        for key, value in (record[part] or {}).items():
            if key in ("files", "measured"):
                for entry in value:
                    print(f"  {key:<18} {'  '.join(map(str, entry.values()))}")
            elif value not in (None, "", (), [], {}):
                print(f"  {key:<18} {_said(value)}")
    if name in cards:
        _print_memory(cards[name])
    if name in installed:
        _print_figures(installed[name], passport)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return repr(value) if isinstance(value, str) and "\n" in value else str(value)


def _print_memory(card: ModelCard) -> None:
    """Estimated memory by type and by the length of one conversation."""
    from kit.files import format_bytes
    from kit.supply.fit import memory_by_type

    rows = memory_by_type(card)
    if not rows:
        return
    print("memory by type, for one conversation of so many tokens (estimated):")
    contexts = list(rows[0].needed_bytes)
    table(
        [
            (
                row.quant_type,
                format_bytes(row.weights_bytes),
                *(format_bytes(n) if n is not None else None for n in row.needed_bytes.values()),
            )
            for row in rows
        ],
        ("TYPE", "WEIGHTS", *(f"{num_tokens:,}" for num_tokens in contexts)),
    )


def _print_page(name: str, passport: Passport | None) -> None:
    """Raises: NotFound if there is no passport."""
    from kit.supply.passport_page import render_page

    if passport is None:
        raise NotFound(f"{name} has no passport yet", hint=f"make it: kit model check {name}")
    print(render_page(passport), end="")


def _print_figures(model: InstalledModel, passport: Passport | None) -> None:
    """The passport's main figures, or how to get them."""
    from kit.files import format_bytes
    from kit.supply.passport_page import verdict_line

    if passport is None or not passport.is_of(model):
        print(f"passport: none of the file that runs; make it: kit model check {model.name}")
        return
    print(f"passport: {verdict_line(passport)}")
    rows = [("made at", passport.made_at), ("machine", passport.machine.cpu)]
    if speed := passport.speed:
        rows.append(("reads", f"{speed.prefill_tok_per_s:,} tokens per second"))
        if speed.decode_tok_per_s is not None:
            rows.append(("writes", f"{speed.decode_tok_per_s:,} tokens per second"))
    if passport.memory.resident_bytes is not None:
        rows.append(("memory", f"{format_bytes(passport.memory.resident_bytes)} measured"))
    if loss := passport.loss:
        said = f"{loss.perplexity:.3f} ({loss.reference_perplexity:.3f} unquantized)"
        rows += [("perplexity", said), ("mean KL", f"{loss.mean_kl:.5f} nats")]
    for key, value in rows:
        print(f"  {key:<18} {value}")


@app.command()
def pull(
    name: Name,
    quant_type: QuantType = None,
    is_unasked: NoSmoke = False,
    is_forced: ForceAll = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Fetch a model, convert and quantize it where its source has it for training only.

    Every byte is checked against the source's digests. Needs the network; nothing else does.
    """
    from kit.ops.check_model import ensure_passport
    from kit.ops.pull import pull_model
    from kit.supply.catalog import find_card

    folder = load_config(home=home).home
    with meter() as shown:
        pulled = pull_model(
            folder,
            find_card(name),
            quant_type=_checked_type(quant_type),
            is_forced=is_forced,
            say=say,
            on_progress=shown.show,
        )
    model = pulled.model
    ensure_passport(
        folder,
        model,
        say=say,
        is_asked=not is_unasked,
        provenance=pulled.provenance,
        loss=pulled.loss,
    )
    _print(model, "installed", is_json)


@app.command("import")
def import_model(
    path: Annotated[Path, typer.Argument(help="A GGUF file.", metavar="PATH")],
    name: Annotated[str, typer.Option("--name", help="The name it gets.")],
    quant_type: QuantType = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of the one there.")] = False,
    is_unasked: NoSmoke = False,
    is_forced: ForceAll = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Install a GGUF file that is already here; with --type also in another quantization."""
    from kit.ops.check_model import ensure_passport, keep_if_close
    from kit.ops.check_template import acceptor, insist
    from kit.ops.starter import use_type
    from kit.supply.catalog import load_catalog
    from kit.supply.store import import_gguf

    folder = load_config(home=home).home
    wanted = _checked_type(quant_type)
    accept = acceptor(name, load_catalog().get(name), say=say, is_forced=is_forced)
    with meter() as shown:

        def progress(done: int, total: int) -> None:
            shown.show(f"copying {path.name}", done, total)

        model = import_gguf(
            folder, path, name, replace=replace, accept=accept, on_progress=progress
        )
    if is_forced:
        insist(folder, model)
    loss = None
    if wanted and wanted != model.quant_type:
        before = model
        say(f"quantizing to {wanted}")
        model = use_type(folder, model, wanted)
        if not is_unasked:
            loss = keep_if_close(folder, before, model, say=say, is_forced=is_forced)
    ensure_passport(folder, model, say=say, is_asked=not is_unasked, loss=loss)
    _print(model, "installed", is_json)


def _checked_type(quant_type: str | None) -> str | None:
    """The type in capitals. Raises UsageError for one that llama.cpp does not know."""
    from kit.engine.quantize import file_type

    if quant_type is None:
        return None
    file_type(quant_type)
    return quant_type.upper()


@app.command()
def quantize(
    name: Name,
    quant_type: QuantTypeOrAuto = None,
    is_unasked: NoSmoke = False,
    is_forced: Force = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Run a chat model in another quantization type; without --type the fastest one here.

    With --type auto the soonest of those that lose no more than the model's card allows. If it
    loses more, or its answers show that it is broken, the type before runs again.
    """
    from kit.ops.check_model import keep_if_close, keep_if_sound
    from kit.ops.starter import choose_fastest, use_type
    from kit.supply.store import find_installed, require_whole

    folder = load_config(home=home).home
    is_auto = quant_type is not None and quant_type.lower() == "auto"
    wanted = None if is_auto else _checked_type(quant_type)
    model = find_installed(folder, name)
    if model.kind != "chat":
        raise UsageError(f"{name} is an embedding model; only chat models are quantized")
    require_whole(folder, model)
    before = model
    found: dict[str, Any] = {}
    if is_auto:
        model, found = _choose_best(folder, model)
    elif wanted:
        say(f"quantizing to {wanted}")
        model = use_type(folder, model, wanted)
    else:
        say("measuring which quantization type runs fastest on this machine")
        model = choose_fastest(folder, model)
    if not (is_auto or is_unasked):
        found["loss"] = keep_if_close(folder, before, model, say=say, is_forced=is_forced)
    keep_if_sound(folder, before, model, say=say, is_asked=not is_unasked, **found)
    _print(model, f"runs as {model.quant_type}", is_json)


def _choose_best(home: Path, model: InstalledModel) -> tuple[InstalledModel, dict[str, Any]]:
    """The model in the type that speed and loss speak for; each type's figures are said.

    Returns the model, and what its passport is to tell: {"loss", "provenance"}.
    """
    from kit.ops.passport import known_passport
    from kit.ops.starter import choose_best
    from kit.supply.catalog import load_catalog
    from kit.supply.passport import Loss, Provenance

    say("measuring how fast each type runs on this machine and what it loses")
    card = load_catalog().get(model.name)
    known = known_passport(home, model)
    model, choice, matrix = choose_best(home, model, max_kl=card.max_kl if card else None)
    for one in choice.candidates:
        say(
            f"  {one.type_name:<8} a typical answer {one.speed.seconds():6.1f} s, "
            f"mean KL {one.loss.mean_kl:.4f} nats, {one.loss.top1_agreement:.0%} the same token"
        )
    if choice.is_relative:
        say(f"losses are relative to what was fetched, which was {choice.reference_type} already")
    provenance = replace(known.provenance if known else Provenance(), imatrix_sha256=matrix)
    return model, {"loss": Loss(**asdict(choice.chosen.loss)), "provenance": provenance}


app.command()(check)


@app.command()
def rm(name: Name, home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Remove an installed model, and what pulls of it that were cut short left."""
    from kit.ops.leftovers import remove

    model = remove(load_config(home=home).home, name)
    if model is not None:
        _print(model, "removed", is_json)
    elif is_json:
        emit({"model": None})
    else:
        say(f"{name} was not installed; what a pull of it left is removed")


def _print(model: InstalledModel, what: str, is_json: bool) -> None:
    if is_json:
        emit({"model": asdict(model)})
    else:
        say(f"{model.name}: {what}")
