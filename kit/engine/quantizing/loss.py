"""What quantizing cost a model: its predictions against those of the unquantized one.

Arithmetic only; `measure_loss` runs the models. Natural logarithms throughout, so divergences are
in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.errors import ModelError

DEFAULT_MAX_KL = 0.1
"""What a card that names no limit allows, in nats. llama.cpp's own table for Llama 3 8B (its
tools/perplexity/README.md) has Q4_K_M at 0.03, Q4_0 at 0.07 and Q3_K_M at 0.10; two-bit types lose
0.2 and more, which readers notice."""


@dataclass(frozen=True)
class Loss:
    """Of a quantized model on a text, against its reference, over `num_tokens` predictions.

    `perplexity` = exp of the mean of -ln q(next token) (Jelinek and others, 1977), q being the
    model's distribution; `mean_kl` = mean over positions of sum over tokens p ln(p/q) (Kullback and
    Leibler, 1951), p being the reference's. `p99_kl` is what 99 of 100 positions stay below,
    `top1_agreement` the share of positions where both find the same token likeliest.
    """

    perplexity: float
    reference_perplexity: float
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    num_tokens: int


@dataclass(frozen=True)
class Compared:
    """Of each position: -ln p and -ln q of the token that follows, the divergence, agreement."""

    reference_nll: np.ndarray
    nll: np.ndarray
    kl: np.ndarray
    is_same_top: np.ndarray


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """ln of the distribution over the last axis, float64; the largest logit is taken off first."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def compare(reference: np.ndarray, logits: np.ndarray, following: Sequence[int]) -> Compared:
    """Both models' logits, shape (num_positions, n_vocab), about the tokens that really followed.

    One position at a time, so that memory for float64 is one row's, whatever the vocabulary.
    """
    rows = []
    for at, token in enumerate(following):
        p, q = log_softmax(reference[at]), log_softmax(logits[at])  # (n_vocab,)
        kl = max(0.0, float((np.exp(p) * (p - q)).sum()))  # below 0 only by rounding
        rows.append((-p[token], -q[token], kl, p.argmax() == q.argmax()))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return Compared(columns[0], columns[1], columns[2], columns[3].astype(bool))


def summarize(parts: Sequence[Compared]) -> Loss:
    """The loss over all positions. Raises: ModelError if there are none, or a number is not finite.

    A model whose weights are damaged beyond use predicts NaN.
    """
    reference, own, kl, same = (
        np.concatenate([np.asarray(getattr(part, name)) for part in parts] or [np.empty(0)])
        for name in ("reference_nll", "nll", "kl", "is_same_top")
    )
    if not len(kl):
        raise ModelError("no loss was measured: the text is too short")
    if not (np.isfinite(kl).all() and np.isfinite(own).all()):
        raise ModelError(
            "the quantized model's predictions are not numbers",
            hint="quantize it again from the original, or choose another type",
        )
    return Loss(
        perplexity=float(np.exp(own.mean())),
        reference_perplexity=float(np.exp(reference.mean())),
        mean_kl=float(kl.mean()),
        p99_kl=float(np.quantile(kl, 0.99)),
        top1_agreement=float(same.mean()),
        num_tokens=len(kl),
    )


def require_acceptable(loss: Loss, card_max_kl: float | None, *, forced: bool) -> None:
    """Nothing happens if the loss is one that the card allows, or whoever asked insists.

    Raises: ModelError with both figures.
    """
    max_kl = DEFAULT_MAX_KL if card_max_kl is None else card_max_kl
    if loss.mean_kl <= max_kl or forced:
        return
    whose = "its card allows" if card_max_kl is not None else "is allowed without a card's word"
    raise ModelError(
        f"quantizing lost too much: a mean KL divergence of {loss.mean_kl:.3f} nats observed, at "
        f"most {max_kl:g} {whose} ({loss.top1_agreement:.0%} of the likeliest tokens are the "
        f"same, perplexity {loss.reference_perplexity:.2f} became {loss.perplexity:.2f})",
        hint="take a type with more bits (Q4_K_M, Q5_K_M, Q6_K, Q8_0), or insist: --force",
    )
