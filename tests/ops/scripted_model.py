"""A running model that answers from a script, at the seam where a process would be started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.supply.passport import Speed
from kit.supply.smoke.embedding import PAIRS
from kit.supply.smoke.reply import Reply
from kit.supply.store import InstalledModel
from tests.supply.smoke.good_replies import BY_LAST


class ScriptedModel:
    """Good answers, unless `answers` has another for a question's last message or prompt.

    `load_error` keeps it from loading; an exception among the answers is raised. `num_started`
    counts its processes.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Reply | KitError] = {}
        self.rewrite: Callable[[Reply], Reply] = lambda reply: reply
        self.load_error: KitError | None = None
        self.num_started = 0
        self.asked: list[Mapping[str, Any]] = []
        self.facts: Mapping[str, Any] = {"architecture": "llama", "n_params": 135_000_000}

    @contextlib.contextmanager
    def running(self, home: Path, model: InstalledModel) -> Iterator[ScriptedModel]:
        self.num_started += 1
        if self.load_error is not None:
            raise self.load_error
        yield self

    def ask(self, path: str, body: Mapping[str, Any]) -> Reply:
        self.asked.append(body)
        said = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        reply = self.answers.get(said) or self.rewrite(BY_LAST[said])
        if isinstance(reply, KitError):
            raise reply
        return reply

    def embed(self, texts: Sequence[str], *, is_query: bool = False) -> list[list[float]]:
        """A direction for each pair, so that query and passage of a pair are nearest."""
        names = [text for pair in PAIRS for text in (pair.query, pair.passage)]
        rows = []
        for text in texts:
            at = names.index(text)
            row = [0.0] * 384
            row[at // 2], row[100 + at] = 0.8, 0.6
            rows.append(row)
        return rows

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def resident_bytes(self) -> int:
        return 200 << 20


def script(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """Every model that the kit would start is this one; its speed is made up."""
    model = ScriptedModel()
    monkeypatch.setattr("kit.ops.passport.running_model", model.running)
    monkeypatch.setattr(
        "kit.ops.passport.measure_speed", lambda home, model: Speed(500.0, 60.0, 2, "icelake", 0.0)
    )
    return model
