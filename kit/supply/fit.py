"""Which models fit a machine, and about how fast one could answer there.

Arithmetic over cards and numbers; asks no machine itself. Invariant: "no" is said only of what
cannot fit, and what is not known is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kit.supply.catalog import ModelCard, recommend
from kit.supply.quant_types import BITS_PER_WEIGHT

Verdict = Literal["yes", "tight", "no", "unknown"]

SHOWN_TYPES = ("Q3_K_M", "IQ4_XS", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")
SHOWN_CONTEXTS = (4096, 8192, 32768)
READING_TOK_PER_S = 5.0  # about as fast as a person reads; slower is waiting


@dataclass(frozen=True)
class Room:
    """What a machine has for a model."""

    memory_bytes: int
    num_tokens: int
    """Of context, all sequences together."""
    bandwidth_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Fit:
    """One model on one machine."""

    quant_type: str
    needed_bytes: int | None
    verdict: Verdict
    """tight = it fits, but leaves less than a quarter of the memory to everything else."""
    max_decode_tok_per_s: float | None
    """An estimate from above: reading the weights once per token, at the memory's bandwidth."""


@dataclass(frozen=True)
class TypeMemory:
    """The memory of one quantization type for one conversation, by its length in tokens."""

    quant_type: str
    weights_bytes: int
    needed_bytes: Mapping[int, int | None]


def fit(card: ModelCard, room: Room) -> Fit:
    """How the model would do in that room, in the type of its card."""
    needed = card.needed_bytes(room.num_tokens)
    return Fit(card.run_type, needed, _verdict(card, needed, room), max_decode(card, room))


def _verdict(card: ModelCard, needed: int | None, room: Room) -> Verdict:
    if needed is None:  # the weights alone can rule it out
        weights = card.weights_bytes()
        return "no" if weights is not None and weights > room.memory_bytes else "unknown"
    if needed > room.memory_bytes:
        return "no"
    return "yes" if needed <= room.memory_bytes * 3 // 4 else "tight"


def max_decode(card: ModelCard, room: Room) -> float | None:
    """Tokens per second at most = bandwidth / bytes read per token; None if not known.

    Of a mixture of experts a token reads the active parameters only. The cache, computing and
    everything else make it slower.
    """
    bits = BITS_PER_WEIGHT.get(card.run_type)
    read = card.active_parameters or card.parameters
    if card.kind != "chat" or not (room.bandwidth_bytes_per_s and read and bits):
        return None
    return room.bandwidth_bytes_per_s / (read * bits / 8)


def recommend_for(cards: Mapping[str, ModelCard], room: Room) -> tuple[ModelCard | None, str]:
    """The recommended model for that room, and why it, or why none."""
    quick = {
        name: card
        for name, card in cards.items()
        if (speed := max_decode(card, room)) is None or speed >= READING_TOK_PER_S
    }
    card = recommend(quick, room.memory_bytes, room.num_tokens)
    if card is not None:
        why = "the largest recommended one that leaves a quarter of the memory"
        if (speed := max_decode(card, room)) is not None:
            why += f" and could write up to {speed:.0f} tokens a second"
        return card, why
    if recommend(cards, room.memory_bytes, room.num_tokens) is not None:
        return None, "none: what fits the memory would write slower than a person reads"
    return None, "none: no recommended model leaves a quarter of the memory"


def memory_by_type(
    card: ModelCard, contexts: Iterable[int] = SHOWN_CONTEXTS
) -> tuple[TypeMemory, ...]:
    """Memory of the usual types and of the card's own; a context beyond the trained one is None."""
    wanted = SHOWN_TYPES if card.kind == "chat" else ()
    types = (*wanted, *({card.run_type} - set(wanted)))
    contexts = tuple(contexts)
    return tuple(
        TypeMemory(
            quant_type,
            weights,
            {
                num_tokens: card.needed_bytes(num_tokens, quant_type)
                for num_tokens in contexts
                if card.n_ctx is None or num_tokens <= card.n_ctx
            },
        )
        for quant_type in types
        if (weights := card.weights_bytes(quant_type)) is not None
    )
