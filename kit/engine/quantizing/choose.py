"""Which quantization type to run: the rule, over figures that were measured.

Touches no file and no clock. Speed is this machine's, loss the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.engine.quantizing.loss import DEFAULT_MAX_KL, Loss
from kit.engine.quantizing.speed import ANSWER_TOKENS, PROMPT_TOKENS, Measurement
from kit.errors import ModelError

TIE_SHARE = 0.03  # less than two runs of one measurement differ by


@dataclass(frozen=True)
class Candidate:
    """One type: how fast it is here, and what it lost against the reference."""

    speed: Measurement
    loss: Loss

    @property
    def type_name(self) -> str:
        return self.speed.type_name


@dataclass(frozen=True)
class Choice:
    """The type to run, and every figure that led to it.

    `reference_type` is the type of the file that losses are relative to: what was fetched. If that
    was quantized already (`is_relative`), what it had lost before is not known.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    reference_type: str
    max_kl: float
    prompt_tokens: int = PROMPT_TOKENS
    answer_tokens: int = ANSWER_TOKENS

    @property
    def is_relative(self) -> bool:
        return self.reference_type not in ("F32", "F16", "BF16")


def choose_type(
    candidates: Sequence[Candidate],
    reference_type: str,
    *,
    max_kl: float | None = None,
    prompt_tokens: int = PROMPT_TOKENS,
    answer_tokens: int = ANSWER_TOKENS,
) -> Choice:
    """Of the types that lose at most `max_kl` (None: DEFAULT_MAX_KL), the one that gives a typical
    cited answer soonest; of those within 3 % of it, the one that loses least.

    Raises: ModelError with each one's loss if all lose more.
    """
    limit = DEFAULT_MAX_KL if max_kl is None else max_kl
    allowed = [one for one in candidates if one.loss.mean_kl <= limit]
    if not allowed:
        losses = ", ".join(f"{one.type_name} {one.loss.mean_kl:.3f}" for one in candidates)
        raise ModelError(
            f"every type loses more than the {limit:g} nats that are allowed: {losses}",
            hint="keep the model as it arrived, or name a type with more bits: --type Q8_0",
        )

    def seconds(one: Candidate) -> float:
        return one.speed.seconds(prompt_tokens, answer_tokens)

    soonest = min(map(seconds, allowed))
    tied = [one for one in allowed if seconds(one) <= soonest * (1 + TIE_SHARE)]
    best = min(tied, key=lambda one: (one.loss.mean_kl, seconds(one)))
    return Choice(best, tuple(candidates), reference_type, limit, prompt_tokens, answer_tokens)
