"""The engine's command line: every setting reaches the engine, and the engine knows every flag."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kit.config import EngineSettings
from kit.engine.server import _options
from kit.ops.engine_command import engine_flags

NOT_THE_ENGINES = {"url", "api_key", "model"}  # which server and which file, decided before


def test_every_setting_reaches_the_engine() -> None:
    """What kit.toml says is what the engine is told."""
    names = {item.name for item in dataclasses.fields(EngineSettings)} - NOT_THE_ENGINES
    settings = EngineSettings(**{name: n for n, name in enumerate(sorted(names), start=2)})
    flags = engine_flags(
        settings, home=Path("/h"), model=Path("/m.gguf"), host="127.0.0.1", port=81
    )
    options, host, port = _options(flags)
    assert (options.model, options.home, host, port) == (
        *(Path("/m.gguf"), Path("/h")),
        *("127.0.0.1", 81),
    )
    assert {n: getattr(options, n) for n in names} == {n: getattr(settings, n) for n in names}
