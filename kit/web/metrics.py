"""Counters of this process and their text form for Prometheus.

Knows no meaning of what is counted. Labels come from our route table, never from a request, so a
scan of made-up addresses cannot make the list grow.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

Labels = Mapping[str, str]


class Metrics:
    """Requests by method, route and status."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()

    def count(self, method: str, route: str, status: int) -> None:
        known = method if method in {"GET", "HEAD", "POST", "PATCH", "DELETE"} else "other"
        with self._lock:
            self._requests[known, route, status] += 1

    def requests(self) -> list[tuple[Labels, float]]:
        with self._lock:
            counted = sorted(self._requests.items())
        return [
            ({"method": method, "route": route, "status": str(status)}, num)
            for (method, route, status), num in counted
        ]


def metric_text(name: str, kind: str, what: str, samples: Iterable[tuple[Labels, float]]) -> str:
    """One metric in the Prometheus text format, version 0.0.4."""
    lines = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{pairs}}} {value:g}" if pairs else f"{name} {value:g}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
