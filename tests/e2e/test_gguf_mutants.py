"""Ten thousand damaged models: each is refused with words, or loaded; none kills what loads it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kit.engine.gguf import read_gguf
from kit.errors import ModelError
from tests.e2e.gguf_mutants import base, mutant, write

pytestmark = pytest.mark.e2e

NUM_MUTANTS = 10_000
LOADER = Path(__file__).with_name("load_ggufs.py")


def load(paths: list[Path], home: Path) -> tuple[Counter[str], list[str]]:
    """(how many were loaded and refused, which killed the process and how)."""
    counts: Counter[str] = Counter()
    deaths: list[str] = []
    while paths:
        child = subprocess.run(
            [sys.executable, str(LOADER), str(home)],
            input="\n".join(map(str, paths)),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        lines = child.stdout.splitlines()
        tried = [line for line in lines if line.startswith("try ")]
        counts.update(line for line in lines if line in ("loaded", "refused"))
        if child.returncode == 0:
            return counts, deaths
        assert tried, child.stderr
        last = (child.stderr.strip().splitlines() or [""])[-1]
        deaths.append(f"{tried[-1]}: {child.returncode} {last}")
        paths = paths[len(tried) :]
    return counts, deaths


def test_no_mutant_kills_what_loads_it(tmp_path: Path) -> None:
    """What `read_gguf` accepts llama.cpp loads or refuses; what it does not accept, it says why."""
    whole = base()
    sound = tmp_path / "sound.gguf"
    write(sound, whole.header(), whole.size_bytes)
    assert load([sound], tmp_path) == (Counter(loaded=1), [])
    accepted, unexplained = [], 0
    for seed in range(NUM_MUTANTS):
        path = tmp_path / f"{seed}.gguf"
        write(path, *mutant(seed))
        try:
            read_gguf(path)
            accepted.append(path)
        except ModelError as refused:
            unexplained += not refused.hint
            path.unlink()
    assert unexplained == 0
    assert NUM_MUTANTS / 10 < len(accepted) < NUM_MUTANTS * 9 / 10  # both sides are tried
    counts, deaths = load(accepted, tmp_path)
    assert deaths == []
    assert counts.total() == len(accepted)
    assert min(counts["loaded"], counts["refused"]) > NUM_MUTANTS / 20
