"""Running commands in this process, as a person sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.cli.app import run


@dataclass(frozen=True)
class Result:
    """What a finished command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


RunKit = Callable[..., Result]


@pytest.fixture
def run_kit(home: Path, capsys: pytest.CaptureFixture[str]) -> RunKit:
    """`run_kit("docs", "list")` runs `kit --home <home> docs list`."""

    def run_it(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(["--home", str(home), *arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run_it
