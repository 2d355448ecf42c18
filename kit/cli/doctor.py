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
    typer.Option("--output", "-o", metavar="FILE", help="Write the probe, or the proof, there."),
]


def doctor(
    probe: Probe = False,
    output: Output = None,
    prove_offline: Annotated[
        bool,
        typer.Option("--prove-offline", help="Run the whole journey without a network, and sign."),
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="With --prove-offline: install this bundle.")
    ] = None,
    upgrade_to: Annotated[
        Path | None, typer.Option("--upgrade-to", help="With --bundle: then upgrade to this one.")
    ] = None,
    browser: Annotated[
        str, typer.Option("--browser", help="With --prove-offline: a Chromium, by name or path.")
    ] = "",
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Check this machine and this home; every line says what to do next."""
    from kit.ops.doctor import examine

    if output is not None and not (probe or prove_offline):
        raise UsageError("--output is for --probe", hint="kit doctor --probe --output machine.json")
    config = load_config(home=home)
    if prove_offline:
        _prove(config.home, output, bundle, upgrade_to, browser, is_json)
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
    say(f"and for a bundle: kit bundle create --for {output.name}")


def _prove(
    home: Path,
    output: Path | None,
    bundle: Path | None,
    newer: Path | None,
    browser: str,
    is_json: bool,
) -> None:
    """Ends the command: 0 if nothing tried to leave and every planted leak was caught."""
    from kit.files import make_private_folder
    from kit.ops.prove.browse import find_browser
    from kit.ops.prove.prove import prove, prover_key, write_report
    from kit.ops.prove.report import render

    for folder in (bundle, newer):
        if folder is not None and not (folder / "manifest.json").is_file():
            raise UsageError(f"{folder} is no bundle: it has no manifest.json")
    if newer is not None and bundle is None:
        raise UsageError("--upgrade-to needs --bundle, which is installed first")
    found = find_browser(browser)
    if browser and not found:
        raise UsageError(f"there is no browser {browser}", hint="name a Chromium by its path")
    report = prove(home / "models", bundle=bundle, newer=newer, browser=found, say=say)
    make_private_folder(home)
    key = prover_key(home)
    paths = write_report(report, output or home / "proofs" / report.made_at, key)
    if is_json:
        emit(
            {
                "verdict": report.verdict,
                "num_attempts": report.num_attempts,
                "files": [str(path) for path in paths],
                "fingerprint": key.public.fingerprint,
            }
        )
    else:
        print(render(report))
        for path in paths:
            print(path)
        print(f"signed by {key.public.id_text}, fingerprint {key.public.fingerprint}")
    raise typer.Exit(0 if report.verdict == "silent" else 4)
