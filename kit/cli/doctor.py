"""kit doctor: checks this machine and this home, and says what to do."""

from __future__ import annotations

import typer

from kit.cli import options
from kit.cli.output import emit
from kit.config import load_config


def doctor(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Check this machine and this home; every line says what to do next."""
    from kit.ops.doctor import examine

    findings = examine(load_config(home=home))
    if is_json:
        emit({"checks": [vars(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{finding.state:<4}  {finding.name.ljust(width)}  {finding.found}")
            if finding.next_step:
                print(f"      {' ' * width}  -> {finding.next_step}")
    raise typer.Exit(4 if any(finding.state == "fail" for finding in findings) else 0)
