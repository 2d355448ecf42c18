"""The whole way of a kit, step by step, in a home and a root of its own that are gone afterwards.

    install → serve → upload → ask → page → backup → upgrade → rollback

Knows commands, not what they do. Invariant: a step that could not be run says so; nothing of the
real installation is touched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kit.bundle.minisign import parse_public_key
from kit.bundle.trust import SIGNER
from kit.ops.known_answer import EVIDENCE, NAME, QUESTION, TEXT
from kit.ops.prove.browse import open_page
from kit.ops.prove.report import Step
from kit.ops.prove.stage import Stage
from kit.ops.prove.trace import read_traces

INSTALL_S, COMMAND_S, READY_S = 1800.0, 600.0, 300.0
NO_BUNDLE = "no bundle was given"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Journey:
    """What to try. Empty paths: that part is not run."""

    folder: Path
    models: Path
    bundle: Path | None = None
    newer: Path | None = None
    browser: str = ""

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def kit(self, *arguments: str) -> list[str]:
        """A command of the installed release, or of this kit."""
        installed = self.root / "current" / "venv" / "bin" / "python"
        python = str(installed) if self.bundle else sys.executable
        return [python, "-I", "-m", "kit", "--home", str(self.home), *arguments]


def travel(journey: Journey, stage: Stage, say: Say) -> list[Step]:
    """Every step in order; after one that failed the rest is not run."""
    journey.home.mkdir(mode=0o700)
    if journey.bundle is None:
        (journey.home / "models").symlink_to(journey.models)
    steps: list[Step] = []
    for name, act in _STEPS.items():
        if any(step.outcome == "failed" for step in steps):
            steps.append(Step(name, "not run", said="an earlier step failed"))
            continue
        say(f"{name} …")
        started = time.monotonic()
        for step in act(name, journey, stage):
            steps.append(step)
        seconds = round(time.monotonic() - started, 1)
        say(f"{name}: {steps[-1].outcome}, {seconds} s")
    return steps


def _simple(
    name: str, stage: Stage, command: list[str], *, wanted: str = "", timeout_s: float = COMMAND_S
) -> Step:
    """A command that ends by itself, and must say `wanted`."""
    started = time.monotonic()
    code, out, said, trace = stage.run(command, timeout_s=timeout_s)
    seconds = round(time.monotonic() - started, 1)
    if code != 0:
        return Step(name, "failed", seconds, said.strip()[-300:], trace)
    if wanted not in out:
        return Step(name, "failed", seconds, f"{wanted!r} expected in its answer", trace)
    return Step(name, "ok", seconds, "", trace)


def _install(name: str, journey: Journey, stage: Stage) -> list[Step]:
    if journey.bundle is None:
        return [Step(name, "not run", said=NO_BUNDLE)]
    key = parse_public_key((journey.bundle / SIGNER).read_text(encoding="utf-8"))
    command = ["sh", str(journey.bundle / "install.sh"), "--no-systemd", "--port", "0"]
    command += ["--root", str(journey.root), "--home", str(journey.home)]
    command += ["--fingerprint", key.fingerprint]
    return [_simple(name, stage, command, timeout_s=INSTALL_S)]


def _serve(name: str, journey: Journey, stage: Stage) -> list[Step]:
    """Served, loaded, asked and looked at, while it runs."""
    started = time.monotonic()
    document = journey.folder / NAME
    document.write_text(TEXT, encoding="utf-8")
    inner: list[Step] = []
    with stage.running(journey.kit("serve", "--port", "0", "--json")) as (process, prefix):
        url = _wait_until_ready(process, prefix.with_suffix(".out"))
        if url:
            inner.append(_simple("upload", stage, journey.kit("docs", "add", str(document))))
            ask = journey.kit("ask", QUESTION, "--json")
            inner.append(_simple("ask", stage, ask, wanted=EVIDENCE))
            inner.append(_page(journey, stage, url))
    said = prefix.with_suffix(".out").read_text(errors="replace").strip()[-300:]
    outcome = "ok" if url else "failed"
    seconds = round(time.monotonic() - started, 1)
    served = Step(name, outcome, seconds, "" if url else said, read_traces(prefix))
    return [served, *inner]


def _wait_until_ready(process: subprocess.Popen[bytes], out: Path) -> str:
    """The page's address once everything is loaded; '' if that does not come."""
    deadline = time.monotonic() + READY_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.5)
        try:
            text = out.read_text(errors="replace")
            begin = text.index("{")
            url = str(json.JSONDecoder().raw_decode(text[begin:])[0]["url"]).rstrip("/")
            with opener.open(f"{url}/health", timeout=5) as answer:
                states = json.load(answer)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if states.get("engine") == "ready" and states.get("worker") == "ready":
            return url
    return ""


def _page(journey: Journey, stage: Stage, url: str) -> Step:
    name = "page in a browser"
    if not journey.browser:
        return Step(name, "not run", said="no Chromium was found here")
    started = time.monotonic()
    seen = open_page(stage, journey.browser, f"{url}/", journey.folder)
    seconds = round(time.monotonic() - started, 1)
    if 'id="question"' not in seen.dom:
        said = "the page did not come up"
        return Step(name, "failed", seconds, said, urls=seen.urls)
    own = f"the browser asked for {len(seen.own_urls)} addresses of its maker's by itself"
    return Step(name, "ok", seconds, own if seen.own_urls else "", urls=seen.urls)


def _backup(name: str, journey: Journey, stage: Stage) -> list[Step]:
    return [_simple(name, stage, journey.kit("backup", str(journey.folder / "backups")))]


def _upgrade(name: str, journey: Journey, stage: Stage) -> list[Step]:
    if journey.bundle is None or journey.newer is None:
        said = "no second bundle was given" if journey.bundle else NO_BUNDLE
        return [Step(name, "not run", said=said)]
    command = journey.kit("upgrade", str(journey.newer), "--root", str(journey.root))
    return [_simple(name, stage, command, timeout_s=INSTALL_S)]


def _rollback(name: str, journey: Journey, stage: Stage) -> list[Step]:
    if journey.newer is None or journey.bundle is None:
        return [Step(name, "not run", said="nothing was upgraded")]
    back = _simple(name, stage, journey.kit("rollback", "--root", str(journey.root)))
    if back.outcome != "ok":
        return [back]
    ask = journey.kit("ask", QUESTION, "--json")
    return [back, _simple("ask after the rollback", stage, ask, wanted=EVIDENCE)]


_STEPS: dict[str, Callable[[str, Journey, Stage], list[Step]]] = {
    "install": _install,
    "serve": _serve,
    "backup": _backup,
    "upgrade": _upgrade,
    "rollback": _rollback,
}
