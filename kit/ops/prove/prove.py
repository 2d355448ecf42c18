"""Prove that nothing leaves: the journey and the planted leaks, in a process without a network.

    python -I -m kit.ops.prove.prove ORDER      inside the namespace; prints the report's JSON

Composes stage, journey, controls and report.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit import __version__
from kit.bundle import minisign
from kit.bundle.manifest import MANIFEST, parse_manifest
from kit.bundle.minisign import SecretKey
from kit.bundle.service import clean_environment
from kit.errors import MachineError
from kit.files import write_atomic
from kit.ops.prove.controls import plant_in_page, plant_in_python
from kit.ops.prove.journey import Journey, travel
from kit.ops.prove.report import Control, Report, Step, render
from kit.ops.prove.stage import Stage, has_other_interfaces, raise_loopback, require_tools
from kit.ops.prove.trace import Attempt, Trace
from kit.silence import quiet_environment

KEY_FILE = "proof.key"
Say = Callable[[str], None]


def prove(
    models: Path, *, bundle: Path | None, newer: Path | None, browser: str, say: Say
) -> Report:
    """The report of a journey that ran without a network. Raises: MachineError."""
    require_tools()
    with tempfile.TemporaryDirectory(prefix="kit-proof-") as folder:
        order = {
            "folder": folder,
            "models": str(models.resolve()),
            "bundle": str(bundle.resolve()) if bundle else "",
            "newer": str(newer.resolve()) if newer else "",
            "browser": browser,
        }
        command = ["unshare", "-rn", sys.executable, "-I", "-m", __spec__.name, json.dumps(order)]
        inside = subprocess.Popen(
            command, env=quiet_environment(clean_environment()), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        last = ""
        with inside:
            for line in inside.stderr or ():
                last = line.strip()
                say(last)
            out = inside.stdout.read() if inside.stdout else ""
        if inside.returncode != 0:
            raise MachineError(f"the proof could not be run: {last or 'no reason given'}")
        return read_report(json.loads(out))


def read_report(record: dict[str, Any]) -> Report:
    """The report of its JSON."""
    steps = tuple(
        Step(**{**step, "trace": _trace(step["trace"]), "urls": tuple(step["urls"])})
        for step in record["steps"]
    )
    controls = tuple(Control(**control) for control in record["controls"])
    names = {field.name for field in dataclasses.fields(Report)}
    rest = {name: value for name, value in record.items() if name in names}
    return Report(**{**rest, "steps": steps, "controls": controls})


def _trace(record: dict[str, Any]) -> Trace:
    return Trace(**{**record, "attempts": tuple(Attempt(**one) for one in record["attempts"])})


def write_report(report: Report, folder: Path, key: SecretKey) -> tuple[Path, ...]:
    """(JSON, its signature, a page to read, the public key) are in that folder.

    Raises: MachineError, DiskFull.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw = report.to_bytes()
    names = ("report.json", "report.json.minisig", "report.md", "signer.pub")
    paths = tuple(folder / name for name in names)
    comment = f"kit proof of {report.made_at}: {report.verdict}"
    write_atomic(paths[0], raw)
    write_atomic(paths[1], minisign.sign(key, raw, comment).encode())
    write_atomic(paths[2], render(report).encode())
    write_atomic(paths[3], key.public.text().encode())
    return paths


def prover_key(home: Path) -> SecretKey:
    """This server's own key for proofs, made when it is first asked for."""
    path = home / KEY_FILE
    if path.is_file():
        return minisign.parse_secret_key(path.read_text(encoding="utf-8"))
    key = minisign.generate()
    write_atomic(path, minisign.secret_key_text(key).encode(), mode=0o600)
    return key


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(text: str) -> None:
    """The journey, inside; progress goes to stderr."""
    order = json.loads(text)
    raise_loopback()
    if has_other_interfaces():
        raise SystemExit("there is another interface than loopback")
    folder = Path(order["folder"])
    bundle, newer = (Path(order[name]) if order[name] else None for name in ("bundle", "newer"))
    stage = Stage(folder, os.environ)
    _tell("planting leaks")
    controls = plant_in_python(stage)
    if order["browser"]:
        controls.append(plant_in_page(stage, order["browser"], folder))
    journey = Journey(folder, Path(order["models"]), bundle, newer, order["browser"])
    steps = travel(journey, stage, _tell)
    digest = parse_manifest((bundle / MANIFEST).read_bytes()).sha256 if bundle else ""
    report = Report(
        f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        __version__,
        f"{platform.machine()}, {platform.platform(terse=True)}, Linux {platform.release()}",
        digest,
        tuple(steps),
        tuple(controls),
    )
    sys.stdout.write(report.to_bytes().decode())


if __name__ == "__main__":
    main(sys.argv[1])
