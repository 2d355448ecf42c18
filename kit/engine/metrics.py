"""What the engine counts, and how Prometheus reads it.

Counters are of this process, since its start. Knows numbers, not where they come from.
Source of the text format: Prometheus exposition format 0.0.4.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

TTFT_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
TOKEN_BOUNDS_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)


@dataclass
class Histogram:
    """Observations counted by upper bound, in seconds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, help_text: str) -> list[str]:
        out = [f"# HELP {name} {help_text}", f"# TYPE {name} histogram"]
        so_far = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            out.append(f'{name}_bucket{{le="{bound}"}} {so_far}')
        return [*out, f"{name}_sum {self.total:g}", f"{name}_count {so_far}"]


@dataclass
class Counters:
    """Totals since the start."""

    requests: int = 0
    refused: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefix_hits: int = 0
    generated_tokens: int = 0
    steps: int = 0
    busy_s: float = 0.0
    ttft_s: Histogram = field(default_factory=lambda: Histogram(TTFT_BOUNDS_S))
    token_s: Histogram = field(default_factory=lambda: Histogram(TOKEN_BOUNDS_S))


@dataclass(frozen=True)
class Sample:
    """One number under its name. A counter's name ends in _total."""

    name: str
    help: str
    value: float

    def lines(self) -> list[str]:
        kind = "counter" if self.name.endswith("_total") else "gauge"
        return [
            f"# HELP {self.name} {self.help}",
            f"# TYPE {self.name} {kind}",
            f"{self.name} {self.value:.15g}",
        ]


def counter_samples(total: Counters) -> list[Sample]:
    rows: list[tuple[str, str, float]] = [
        ("requests_total", "requests accepted", total.requests),
        ("requests_finished_total", "answers completed", total.finished),
        ("requests_cancelled_total", "answers nobody waited for", total.cancelled),
        ("requests_failed_total", "answers that failed", total.failed),
        ("requests_refused_total", "refused: the queue was full", total.refused),
        ("prompt_tokens_total", "prompt tokens computed", total.prompt_tokens),
        ("cached_tokens_total", "prompt tokens reused", total.cached_tokens),
        ("prefix_hits_total", "requests that reused a prefix", total.prefix_hits),
        ("generated_tokens_total", "tokens sampled", total.generated_tokens),
        ("steps_total", "batches decoded", total.steps),
        ("busy_seconds_total", "seconds spent decoding", total.busy_s),
    ]
    return [Sample(f"kit_engine_{name}", text, value) for name, text, value in rows]


def exposition(samples: Iterable[Sample], total: Counters) -> str:
    """The whole page that Prometheus reads."""
    lines = [line for sample in samples for line in sample.lines()]
    lines += total.ttft_s.lines(
        "kit_engine_time_to_first_token_seconds", "from acceptance to the first token"
    )
    lines += total.token_s.lines(
        "kit_engine_time_per_output_token_seconds", "between two tokens of one answer"
    )
    return "\n".join(lines) + "\n"
