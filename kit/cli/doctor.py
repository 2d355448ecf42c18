"""kit doctor: checks this machine and this home, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, say
from kit.config import load_config
from kit.errors import UsageError

Probe = Annotated[
    bool,
    typer.Option("--probe", help="Describe this machine as JSON, for kit model list --for."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the probe there."),
]


def doctor(
    probe: Probe = False,
    output: Output = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Check this machine and this home; every line says what to do next."""
    from kit.ops.doctor import examine

    if output is not None and not probe:
        raise UsageError("--output is for --probe", hint="kit doctor --probe --output machine.json")
    config = load_config(home=home)
    if probe:
        _probe(config.home, output)
        return
    findings = examine(config)
    if is_json:
        emit({"checks": [vars(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{finding.state:<4}  {finding.name.ljust(width)}  {finding.found}")
            if finding.next_step:
                print(f"      {' ' * width}  -> {finding.next_step}")
    raise typer.Exit(4 if any(finding.state == "fail" for finding in findings) else 0)


def _probe(home: Path, output: Path | None) -> None:
    """The probe on stdout, or in a file that is whole or not there."""
    from kit.files import write_atomic
    from kit.ops.probe import probe_machine
    from kit.supply.machine import write_probe

    text = write_probe(probe_machine(home))
    if output is None:
        print(text, end="")
        return
    write_atomic(output, text.encode())
    say(f"{output}: carry it to the connected side, then: kit model list --for {output.name}")
