"""What was run and what was seen, for an auditor: JSON that is signed, and a page to read.

Nouns to text. Invariant: the verdict is 'silent' only if every step went well, nothing tried to
leave, and every planted leak was caught.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from kit.ops.prove.trace import NOTHING, Trace

FORMAT = 1


@dataclass(frozen=True)
class Step:
    """One part of the journey. `outcome` is 'ok', 'failed' or 'not run'; `said` tells why."""

    name: str
    outcome: str
    seconds: float = 0.0
    said: str = ""
    trace: Trace = NOTHING
    urls: tuple[str, ...] = ()
    """Outside addresses that the browser's pages asked for."""


@dataclass(frozen=True)
class Control:
    """A leak that was planted, and whether it was seen."""

    name: str
    is_caught: bool
    said: str = ""


@dataclass(frozen=True)
class Report:
    """The proof. Times are UTC."""

    made_at: str
    kit_version: str
    machine: str
    bundle: str
    """The manifest's digest; empty if the kit was proved as it is, without an installation."""
    steps: tuple[Step, ...]
    controls: tuple[Control, ...]

    @property
    def num_attempts(self) -> int:
        return sum(len(step.trace.attempts) + len(step.urls) for step in self.steps)

    @property
    def verdict(self) -> str:
        """'silent', 'attempts', 'incomplete' (a step failed) or 'invalid' (a control got by)."""
        if not self.controls or not all(control.is_caught for control in self.controls):
            return "invalid"
        if self.num_attempts:
            return "attempts"
        ran = [step for step in self.steps if step.outcome != "not run"]
        return "silent" if ran and all(step.outcome == "ok" for step in ran) else "incomplete"

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, one line."""
        record = {
            "format": FORMAT,
            "verdict": self.verdict,
            "num_attempts": self.num_attempts,
            **dataclasses.asdict(self),
        }
        text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"


_VERDICTS = {
    "silent": "Nothing tried to leave this machine.",
    "attempts": "Something tried to leave this machine.",
    "incomplete": "Nothing tried to leave, but not every step went well.",
    "invalid": "This proves nothing: a planted leak was not seen.",
}


def render(report: Report) -> str:
    """The report as Markdown."""
    lines = [
        "# Proof of the gap",
        "",
        f"**{_VERDICTS[report.verdict]}**",
        "",
        f"Made {report.made_at} with kit {report.kit_version} on {report.machine}.",
        f"Bundle: {report.bundle or 'none, the kit as it is'}.",
        "Every step ran in a network namespace that has loopback and nothing else, under strace.",
        "Counted is every call that names an outside address, and every look-up of a name, however"
        " it ended; of a browser, what pages asked for.",
        "",
        "| step | outcome | seconds | processes | calls | attempts |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for step in report.steps:
        attempts = len(step.trace.attempts) + len(step.urls)
        counts = f"{step.trace.num_processes} | {step.trace.num_calls} | {attempts}"
        lines.append(f"| {step.name} | {_told(step)} | {step.seconds:.0f} | {counts} |")
    lines += ["", "## Planted leaks", ""]
    for control in report.controls:
        state = "caught" if control.is_caught else f"NOT CAUGHT {control.said}".strip()
        lines.append(f"- {control.name}: {state}")
    if report.num_attempts:
        lines += ["", "## Attempts", ""]
        for step in report.steps:
            lines += [
                f"- {step.name}: {a.program} {a.call} {a.address} port {a.port}"
                for a in step.trace.attempts
            ]
            lines += [f"- {step.name}: a page asked for {url}" for url in step.urls]
    return "\n".join(lines) + "\n"


def _told(step: Step) -> str:
    said = " ".join(step.said.split()).replace("|", "/")
    return f"{step.outcome}: {said}" if said else step.outcome
