"""The trust kernel calls nothing that came with newer Pythons."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kit.bundle.make.create import KERNEL

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]


def test_the_kernel_calls_nothing_new(tmp_path: Path) -> None:
    """By what mypy knows of Python 3.10, its oldest; the grammar of 3.9 is a fast test's."""
    command = [sys.executable, "-m", "mypy", "--python-version", "3.10"]
    command += ["--cache-dir", str(tmp_path), *(f"kit/{name}" for name in KERNEL)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
