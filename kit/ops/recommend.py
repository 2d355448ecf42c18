"""Which model this machine should run, by its memory and by what the starter model measured here.

A rule over cards and one measurement. Invariant: nothing is recommended that would keep a person
waiting longer than PATIENCE_S for a typical answer.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from kit.config import Config
from kit.errors import NotFound
from kit.supply.catalog import STARTER_CHAT, ModelCard, load_catalog, recommend
from kit.supply.store import TypeSpeed, find_installed

PATIENCE_S = 180.0  # a model that would take longer for a typical answer is not recommended


@dataclass(frozen=True)
class Choice:
    """The recommended model, or what the machine lacks for any."""

    card: ModelCard | None
    wait_s: float | None = None
    """For a typical answer; None if nothing was measured here yet."""
    lacks: str = ""

    @property
    def why(self) -> str:
        if self.card is None:
            return f"none: this machine lacks the {self.lacks} for a recommended one"
        reason = "the largest recommended one that leaves a quarter of the memory"
        return reason + (f", about {self.wait_s:.0f} s for an answer" if self.wait_s else "")


def choose_model(config: Config) -> Choice:
    """The largest recommended model that fits here and answers in time."""
    from kit.engine.cpu.machine import available_memory

    num_tokens = config.engine.ctx * config.engine.parallel
    memory, cards, speed = available_memory(), load_catalog(), starter_speed(config)
    quick = {
        name: card
        for name, card in cards.items()
        if speed is None or typical_answer_s(card, speed) <= PATIENCE_S
    }
    card = recommend(quick, memory, num_tokens)
    if card is not None:
        return Choice(card, typical_answer_s(card, speed) if speed else None)
    is_small = recommend(cards, memory, num_tokens) is None
    return Choice(None, lacks="memory" if is_small else "speed")


def starter_speed(config: Config) -> TypeSpeed | None:
    """What the starter model measured here in the type it runs in; None before the first run."""
    with contextlib.suppress(NotFound):
        model = find_installed(config.home, STARTER_CHAT)
        return next((s for s in model.measured if s.quant_type == model.quant_type), None)
    return None


def typical_answer_s(card: ModelCard, starter: TypeSpeed) -> float:
    """Seconds for 1,000 tokens of prompt and 150 of answer, scaled up from the starter model.

    Both speeds fall in proportion to the parameters that a token uses; that is a rule of thumb,
    not a measurement.
    """
    used = card.active_parameters or card.parameters or 0
    factor = used / (load_catalog()[STARTER_CHAT].parameters or 1)
    return factor * (1000 / starter.prefill_tok_per_s + 150 / starter.decode_tok_per_s)
