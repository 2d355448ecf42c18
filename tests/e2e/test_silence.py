"""Nothing leaves: the whole story without a route, every attempt counted, planted leaks caught."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.ops.prove.trace import DNS_PORT, find_attempts
from tests.e2e.drive import link_models

pytestmark = pytest.mark.e2e


def attempts(folder: Path) -> list[str]:
    """Every attempt to reach an address outside the loopback, and every look-up of a name."""
    found = []
    for trace in sorted(folder.glob("trace*")):
        lines = trace.read_text(errors="replace").splitlines()
        found += [line for line in lines if find_attempts([line])]
    return found


def tell_story(home: Path, folder: Path, *flags: str) -> dict:
    folder.mkdir()
    command = ["unshare", "-rn", sys.executable, "-m", "tests.e2e.silent_story"]
    done = subprocess.run(
        [*command, str(home), str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_nothing_leaves(ready_models: Path, tmp_path: Path) -> None:
    """Start, index, browse, search and ask: no process and no page tries to reach outside."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    told = tell_story(home, tmp_path / "trace")
    assert list((tmp_path / "trace").glob("trace*")), "strace wrote nothing"
    assert attempts(tmp_path / "trace") == []
    assert told["browser"] == []
    assert told["answer"]["supported"] is True


def test_planted_leaks_are_caught(ready_models: Path, tmp_path: Path) -> None:
    """A look-up, a native connect and a remote image are each seen, so the test above can fail."""
    home = tmp_path / "home"
    link_models(ready_models, home)
    told = tell_story(home, tmp_path / "trace", "--leak")
    seen = "\n".join(attempts(tmp_path / "trace"))
    assert "203.0.113.9" in seen
    assert f"htons({DNS_PORT})" in seen or "leak.invalid" in seen
    assert any("203.0.113.9" in url for url in told["browser"])


ABORT = """
import ctypes, os, resource, sys
from pathlib import Path
from kit.engine.cpu.variants import lib_folder
from kit.engine.native import load_library
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
load_library(None)
if sys.argv[1:] == ["unprotected"]:
    del os.environ["GGML_NO_BACKTRACE"]
ctypes.CDLL(str(lib_folder() / "libggml-base.so.0")).ggml_abort(b"planted.c", 1, b"planted")
"""


@pytest.mark.parametrize(("flags", "is_started"), [([], False), (["unprotected"], True)])
def test_a_native_abort_starts_no_debugger(
    tmp_path: Path, flags: list[str], is_started: bool
) -> None:
    """Whoever loads llama.cpp dies of an abort at once: no debugger that reads its memory or
    fetches symbols. Without the switch one would be started."""
    proof = tmp_path / "started"
    for name in ("gdb", "lldb"):
        (tmp_path / name).write_text(f"#!/bin/sh\n: > '{proof}'\n")
        (tmp_path / name).chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GGML_")}
    child = subprocess.run(
        [sys.executable, "-c", ABORT, *flags],
        env=environ | {"PATH": f"{tmp_path}:{environ['PATH']}"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGABRT, child.stderr
    assert b"planted" in child.stderr
    assert proof.exists() == is_started
