"""The engine's command line from the settings: one place that knows its flags."""

from __future__ import annotations

from pathlib import Path

from kit.config import EngineSettings


def engine_flags(
    settings: EngineSettings, *, home: Path, model: Path, host: str, port: int
) -> list[str]:
    """What follows `python -m kit.engine.server`."""
    named = {
        "home": home,
        "model": model,
        "host": host,
        "port": port,
        "ctx": settings.ctx,
        "parallel": settings.parallel,
        "threads": settings.threads,
        "cache-mb": settings.cache_mb,
        "gpu-layers": settings.gpu_layers,
    }
    return [word for name, value in named.items() for word in (f"--{name}", str(value))]
