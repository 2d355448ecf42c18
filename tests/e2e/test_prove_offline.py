"""`kit doctor --prove-offline`: silent as it is, and not if something leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.bundle import minisign
from kit.bundle.make.write import Part, write_bundle
from kit.bundle.minisign import parse_public_key
from kit.bundle.trust import SIGNER
from kit.ops.prove.prove import prove, prover_key
from tests.bundle.made import KEY, TEMPLATE, parts
from tests.e2e.drive import CHROMIUM, link_models, run_kit

pytestmark = pytest.mark.e2e


def test_this_kit_is_silent(ready_models: Path, tmp_path: Path) -> None:
    """Served, loaded, asked, looked at and backed up; the report is signed and says what was not
    run."""
    home, proof = tmp_path / "home", tmp_path / "proof"
    link_models(ready_models, home)
    arguments = ("--prove-offline", "--output", str(proof), "--browser", CHROMIUM, "--json")
    done = run_kit(home, "doctor", *arguments, timeout_s=600)
    assert done.code == 0, done.out + done.err
    assert done.json()["verdict"] == "silent"
    assert done.json()["num_attempts"] == 0
    raw = (proof / "report.json").read_bytes()
    report = json.loads(raw)
    outcomes = {step["name"]: step["outcome"] for step in report["steps"]}
    ran = ("serve", "upload", "ask", "page in a browser", "backup")
    assert {name for name, outcome in outcomes.items() if outcome == "ok"} == set(ran)
    assert outcomes["install"] == outcomes["upgrade"] == outcomes["rollback"] == "not run"
    assert len(report["controls"]) == 4
    assert all(control["is_caught"] for control in report["controls"])
    serving = next(step for step in report["steps"] if step["name"] == "serve")
    assert serving["trace"]["num_calls"] > 100
    key = parse_public_key(prover_key(home).public.text())
    minisign.verify(key, raw, (proof / "report.json.minisig").read_text())


CALLING_HOME = b"""#!/bin/sh
exec python3 -c 'import socket
try: socket.getaddrinfo("updates.invalid", 443)
except OSError: pass'
"""


def test_a_bundle_that_calls_home_is_found_out(ready_models: Path, tmp_path: Path) -> None:
    """Its installer looks up a name and swallows the error: the verdict says so, and where."""
    bundle = tmp_path / "bundle"
    others = [part for part in parts() if part.path != "install.sh"]
    signer = Part(SIGNER, "readme", KEY.public.text().encode())
    leaky = Part("install.sh", "installer", CALLING_HOME)
    write_bundle(bundle, [*others, signer, leaky], TEMPLATE, KEY)
    models = ready_models / "models"
    report = prove(models, bundle=bundle, newer=None, browser="", say=lambda _: None)
    assert report.verdict == "attempts"
    assert [step.name for step in report.steps if step.trace.attempts] == ["install"]
    assert report.bundle
