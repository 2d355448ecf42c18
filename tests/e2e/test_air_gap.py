"""Across the air gap for real: make bundles, install one without a network, upgrade, go back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.bundle import minisign
from kit.bundle.manifest import parse_manifest
from kit.bundle.minisign import SecretKey

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]
TAKEN = ("kit", "models", "docs", "requirements", "pyproject.toml", "README.md", "LICENSE")
KEY = SecretKey(b"airgaped", bytes(range(1, 33)))
MADE = "2026-11-26T10:00:00Z"
# A server without a network: its own Python, nothing of the checkout, no package index, no cache.
SERVER = """
set -eu
"$KIT_PYTHON" -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14s", b"lo", 0x41, bytes(14)))'
cd "$1"
say() { echo "== $*"; }
say install; sh whole/install.sh --no-systemd --root server --home data --fingerprint "$2"
kit=$PWD/server/current/venv/bin/kit
say add; "$kit" docs add hours.txt
say ask; "$kit" ask "When does the office close on Fridays?"
say upgrade; "$kit" upgrade delta
say version; "$kit" --version
say ask again; "$kit" ask "When does the office close on Fridays?"
say written since; "$kit" docs add rates.txt
say rollback; "$kit" rollback
say version; "$kit" --version
say documents; "$kit" docs list
say status; "$kit" status --json
"""


@dataclass(frozen=True)
class Bundles:
    """What the connected side made: a whole bundle, the same again elsewhere, and a delta."""

    folder: Path
    whole: Path
    again: Path
    delta: Path


def checkout_at(folder: Path, version: str = "") -> Path:
    """A copy of this checkout, of another version if one is given."""
    folder.mkdir()
    for name in TAKEN:
        source = CHECKOUT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=leave)
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "wheels").symlink_to(CHECKOUT / ".venv" / "wheels")
    if version:
        init = folder / "kit" / "__init__.py"
        text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text())
        init.write_text(text)
    return folder


def create(checkout: Path, output: Path, key: Path, *more: str) -> None:
    home = os.environ["KIT_TEST_HOME"]
    command = [sys.executable, "-m", "kit", "--home", home, "bundle", "create"]
    command += ["--output", str(output), "--key", str(key), "--created", MADE, *more]
    environ = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command, cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")
    key = folder / "office.key"
    key.write_text(minisign.secret_key_text(KEY))
    made = Bundles(folder, folder / "whole", folder / "again", folder / "delta")
    create(CHECKOUT, made.whole, key)
    create(checkout_at(folder / "elsewhere"), made.again, key)
    newer = checkout_at(folder / "newer", "99.0.0")
    create(newer, made.delta, key, "--since", str(made.whole / "manifest.json"))
    return made


def test_the_same_inputs_give_the_same_bytes(bundles: Bundles) -> None:
    """Made in another folder from another checkout, it has the same signature over everything."""
    for name in ("manifest.json", "manifest.json.minisig", "SHA256SUMS"):
        assert (bundles.whole / name).read_bytes() == (bundles.again / name).read_bytes()


def test_a_delta_is_a_few_percent(bundles: Bundles) -> None:
    """A new version of the kit alone carries no weights and no packages again."""
    manifest = parse_manifest((bundles.delta / "manifest.json").read_bytes())
    carried = sum(file.size_bytes for file in manifest.carried)
    assert carried < manifest.size_bytes / 50
    assert not any(file.kind == "model" for file in manifest.carried)


def test_everything_is_named_with_its_licence(bundles: Bundles) -> None:
    """The bill of materials has every wheel, llama.cpp and the weights, with digests."""
    document = json.loads((bundles.whole / "sbom.cdx.json").read_text())
    components = {part["name"]: part for part in document["components"]}
    manifest = parse_manifest((bundles.whole / "manifest.json").read_bytes())
    num_wheels = sum(file.kind == "wheel" for file in manifest.files)
    assert sum("purl" in part for part in components.values()) == num_wheels
    assert {"llama.cpp", "gradio", "torch", "smollm2-135m", "all-minilm-l6-v2"} <= set(components)
    digests = {
        hashed["content"]
        for part in document["components"]
        for one in (part, *part.get("components", ()))
        for hashed in one.get("hashes", ())
    }
    of_wheels = {file.sha256 for file in manifest.files if file.kind == "wheel"}
    assert of_wheels <= digests
    assert all(part["licenses"] for part in components.values())


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_minisign_itself_agrees(bundles: Bundles) -> None:
    """The distribution's minisign and sha256sum check a bundle without us."""
    (bundles.folder / "office.pub").write_text(KEY.public.text())
    signed = ["minisign", "-Vm", "manifest.json", "-p", str(bundles.folder / "office.pub")]
    sums = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    for command in (signed, sums):
        done = subprocess.run(
            command, cwd=bundles.whole, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_without_a_network(bundles: Bundles) -> None:
    """Installed, asked, upgraded by the delta and rolled back, with the data of all of it."""
    (bundles.folder / "hours.txt").write_text("The office closes at 16:30 on Fridays.\n")
    (bundles.folder / "rates.txt").write_text("The rate for a mile is 40 cents.\n")
    (bundles.folder / "home").mkdir()
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(bundles.folder / "home"),
        "LANG": "C.UTF-8",
        "KIT_PYTHON": str(getattr(sys, "_base_executable", sys.executable)),
    }
    command = ["unshare", "-rn", "sh", "-c", SERVER, "sh", str(bundles.folder)]
    done = subprocess.run(
        [*command, KEY.public.fingerprint],
        env=environ,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(re.findall(r"^== (.+)\n((?:(?!== ).*\n)*)", done.stdout, re.MULTILINE))
    for asked in ("ask", "ask again"):
        assert "closes at 16:30 on Fridays" in said[asked]
        assert "[1] hours.txt" in said[asked]
    versions = re.findall(r"== version\nkit (\S+)", done.stdout)
    assert versions[0] == "99.0.0"
    assert versions[1] != "99.0.0"
    assert "rates.txt" in said["documents"]
    status = json.loads(done.stdout.partition("== status\n")[2])
    assert status["release"].startswith(versions[1])
    assert status["previous"].startswith("99.0.0")
