"""Constraints that passed their trial, as grammars the engine may use.

Knows the trial's words and limits; the trial itself is a child process, so that no grammar can hang
or end the engine. Keeps one invariant: what `Grammars.check` returns was followed for some tokens.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from kit.engine.grammar.constraint import Constraint
from kit.engine.http.fields import RequestRefused

TRIAL_TIMEOUT_S = 60  # of a machine that is busy; the trial's own limit is in seconds of CPU
MAX_REMEMBERED = 256


class Grammars:
    """Trials for one model, one at a time, and what came of the latest ones."""

    def __init__(self, model_path: Path) -> None:
        self._model_path = model_path
        self._lock = threading.Lock()
        self._outcomes: OrderedDict[tuple[str, bool], dict[str, str]] = OrderedDict()

    def check(self, constraint: Constraint) -> str:
        """The constraint as GBNF. A new one takes about a second: call it in a thread.

        Raises: RequestRefused naming the field, if it cannot be parsed, converted or followed.
        """
        key = (constraint.source, constraint.is_schema)
        with self._lock:
            outcome = self._outcomes.pop(key, None) or self._try(constraint)
            self._outcomes[key] = outcome
            if len(self._outcomes) > MAX_REMEMBERED:
                self._outcomes.popitem(last=False)
        if "grammar" not in outcome:
            raise RequestRefused(f"{constraint.param}: {outcome['error']}", param=constraint.param)
        return outcome["grammar"]

    def _try(self, constraint: Constraint) -> dict[str, str]:
        asked = {"source": constraint.source, "is_schema": constraint.is_schema}
        command = [sys.executable, "-m", "kit.engine.grammar.trial", str(self._model_path)]
        try:
            child = subprocess.run(
                command,
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TRIAL_TIMEOUT_S,
                check=False,
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        except subprocess.TimeoutExpired:
            return {"error": "it takes too long to follow"}
        if child.returncode != 0:
            return {"error": "it cannot be followed in bounded time and memory"}
        outcome: dict[str, str] = json.loads(child.stdout)
        said = re.search(r"error parsing grammar: (.*)", child.stderr)
        if "error" in outcome and said:
            outcome["error"] += f": {said[1][:200]}"
        return outcome
