"""What is to be measured, read from the words of a command line.

Knows names and numbers, starts nothing. Invariant: a plan names only loads that exist, in their
order, and every load that another is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import UsageError
from kit.evaluate.drive import MAX_LOAD_S
from kit.evaluate.loads import FULL, QUICK, TITLES, Size

NUM_SLOTS = 8  # of both servers: as many as there are people in the loads
ALL_LOADS = ",".join(TITLES)


@dataclass(frozen=True)
class Plan:
    """`threads` are the numbers to measure with; `embedding_model` is needed for load e alone."""

    loads: tuple[str, ...]
    threads: tuple[int, ...]
    rounds: int
    size: Size = FULL
    embedding_model: Path | None = None
    max_load_s: float = MAX_LOAD_S

    @property
    def is_quick(self) -> bool:
        return self.size is QUICK


def read_loads(text: str) -> tuple[str, ...]:
    """'e,a' -> ('a', 'b', 'e'): e is measured against b. Raises: UsageError."""
    wanted = {key.strip() for key in text.split(",") if key.strip()}
    unknown = sorted(wanted - set(TITLES))
    if unknown or not wanted:
        raise UsageError(
            f"--loads: {', '.join(TITLES)} expected, {(unknown or [text])[0]!r} observed",
            hint=f"give some of them, as in --loads {ALL_LOADS}",
        )
    wanted |= {"b"} if "e" in wanted else set()
    return tuple(key for key in TITLES if key in wanted)


def read_threads(text: str, *, num_cores: int) -> tuple[int, ...]:
    """'2,1' -> (1, 2); '' -> one and all cores. Raises: UsageError."""
    words = [word.strip() for word in text.split(",")] if text else ["1", str(num_cores)]
    if not all(word.isdecimal() and 0 < int(word) <= 1024 for word in words):
        raise UsageError(f"--threads: numbers from 1 expected, {text!r} observed", hint="as in 1,2")
    return tuple(sorted({int(word) for word in words}))
