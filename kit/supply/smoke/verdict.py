"""What a rule says about one answer: passed, weak or broken.

A broken answer is one that no well-converted model gives, however small; a weak one is merely wrong
and is recorded, not held against the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "weak", "broken"]


@dataclass(frozen=True)
class Verdict:
    """`why` is empty if it passed."""

    outcome: Outcome
    why: str = ""


PASSED = Verdict("passed")
_ORDER: tuple[Outcome, ...] = ("passed", "weak", "broken")


def weak(why: str) -> Verdict:
    return Verdict("weak", why)


def broken(why: str) -> Verdict:
    return Verdict("broken", why)


def passed_if(is_right: bool, otherwise: str) -> Verdict:
    """Passed, or weak for the reason given."""
    return PASSED if is_right else weak(otherwise)


def worse(one: Verdict, other: Verdict) -> Verdict:
    """The worse of the two; the first if they are equally bad."""
    return max(one, other, key=lambda verdict: _ORDER.index(verdict.outcome))
