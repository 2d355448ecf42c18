"""kit model list: which models there are, which fit, and which one to take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import options
from kit.cli.output import emit, say, table
from kit.config import Config, load_config
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.supply.catalog import ModelCard
    from kit.supply.fit import Fit, Room
    from kit.supply.machine import MachineProbe
    from kit.supply.store import InstalledModel

HEADERS = (
    "NAME", "KIND", "STATE", "PARAMETERS", "TYPE", "MEMORY", "FITS", "TOKENS/S UP TO", "LICENCE",
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """One model: its card, what is installed of it, and how it would do."""

    name: str
    card: ModelCard | None
    installed: InstalledModel | None
    fit: Fit | None

    @property
    def kind(self) -> str:
        return self.installed.kind if self.installed else self.card.kind if self.card else ""

    @property
    def state(self) -> str:
        if self.installed:
            return f"installed {self.installed.quant_type}".strip()
        return "kit model pull" if self.card else "kit model import"

    @property
    def size(self) -> tuple[int, str]:
        """Sorts what is installed first, then by kind and memory."""
        needed = self.fit.needed_bytes if self.fit else None
        return (-1 if self.installed else needed or 1 << 62), self.name


def list_models(
    machine: Annotated[
        Path | None,
        typer.Option("--for", metavar="FILE", help="For the machine of a probe file."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only chat, embedding or reranker."),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """List the models and which of them fit this machine, or another one; recommend one."""
    from kit.supply.machine import read_probe

    _require_kind(kind)
    probe = read_probe(machine) if machine else None
    config = load_config(home=home)
    room = _room(config, probe)
    rows = [row for row in _rows(config, room) if kind in (None, row.kind)]
    recommended, why = _recommend(config, probe, room)
    if is_json:
        emit(_document(rows, room, probe, recommended, why))
        return
    table([_cells(row) for row in rows], HEADERS)
    if kind in (None, "chat"):
        named = f"{recommended.name}, " if recommended else ""
        print(f"\nrecommended: {named}{why}")
    _explain(room, probe)


def _require_kind(kind: str | None) -> None:
    from typing import get_args

    from kit.supply.catalog import Kind

    if kind is not None and kind not in get_args(Kind):
        raise UsageError(
            f"no kind of model is called {kind!r}", hint=f"known: {', '.join(get_args(Kind))}"
        )


def _room(config: Config, probe: MachineProbe | None) -> Room:
    from kit.engine.cpu.machine import available_memory
    from kit.supply.fit import Room

    num_tokens = config.engine.ctx * config.engine.parallel
    if probe is None:
        return Room(available_memory(), num_tokens)
    return Room(probe.memory_available_bytes, num_tokens, probe.bandwidth_bytes_per_s)


def _rows(config: Config, room: Room) -> list[_Row]:
    from kit.supply.catalog import load_catalog
    from kit.supply.fit import fit
    from kit.supply.store import list_installed

    installed = {model.name: model for model in list_installed(config.home)}
    cards = load_catalog()
    rows = [
        _Row(name, card, installed.get(name), fit(card, room) if card else None)
        for name in {*installed, *cards}
        for card in (cards.get(name),)
    ]
    return sorted(rows, key=lambda row: (row.installed is None, row.kind != "chat", row.size))


def _recommend(
    config: Config, probe: MachineProbe | None, room: Room
) -> tuple[ModelCard | None, str]:
    """By a probe's measured bandwidth, or here by what the starter model measured."""
    from kit.ops.recommend import choose_model
    from kit.supply.catalog import load_catalog
    from kit.supply.fit import recommend_for

    if probe is not None:
        return recommend_for(load_catalog(), room)
    choice = choose_model(config)
    return choice.card, choice.why


def _cells(row: _Row) -> tuple[object, ...]:
    from kit.files import format_bytes

    card, seen = row.card, row.fit
    needed = seen.needed_bytes if seen else None
    speed = seen.max_decode_tok_per_s if seen else None
    licence = row.installed.licence if row.installed else card.licence if card else ""
    return (
        row.name,
        row.kind,
        row.state,
        _parameters(card),
        seen.quant_type if seen else None,
        format_bytes(needed) if needed is not None else None,
        seen.verdict if seen else None,
        f"{speed:.1f}" if speed is not None else None,
        licence,
    )


def _parameters(card: ModelCard | None) -> str | None:
    """'30.5 B (3.4 B active)'."""
    if card is None or card.parameters is None:
        return None
    active = f" ({_count(card.active_parameters)} active)" if card.active_parameters else ""
    return _count(card.parameters) + active


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} B" if number >= 999.5e6 else f"{number / 1e6:.0f} M"


def _explain(room: Room, probe: MachineProbe | None) -> None:
    """What the columns count, on stderr."""
    from kit.files import format_bytes

    whose = f"{probe.cpu_name}, probed {probe.probed_at}" if probe else "this machine"
    say(
        f"memory: weights and {room.num_tokens:,} tokens of context (engine.ctx x engine.parallel);"
        f" {whose} has {format_bytes(room.memory_bytes)} available"
    )
    if room.bandwidth_bytes_per_s:
        say("tokens/s: an estimate from above, the measured memory bandwidth by the weights read")
    elif probe is None:
        say("for an estimate of speed: kit doctor --probe --output machine.json, then add --for")
    if probe and probe.gpus:
        say(f"GPU memory is not counted: {'; '.join(probe.gpus)}")


def _document(
    rows: list[_Row],
    room: Room,
    probe: MachineProbe | None,
    recommended: ModelCard | None,
    why: str,
) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": row.name,
                "installed": asdict(row.installed) if row.installed else None,
                "card": asdict(row.card) if row.card else None,
                "fit": asdict(row.fit) if row.fit else None,
            }
            for row in rows
        ],
        "machine": {**asdict(room), "probe": asdict(probe) if probe else None},
        "recommended": recommended.name if recommended else None,
        "why": why,
    }
