"""kit config: every setting, its value and where it came from."""

from __future__ import annotations

from kit.cli import options
from kit.cli.output import emit, table
from kit.config import load_config


def config(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Show every setting, its value and where it came from."""
    rows = load_config(home=home).rows()
    if is_json:
        names = ("name", "value", "origin")
        shown = [dict(zip(names, _without_secret(row), strict=True)) for row in rows]
        emit({"settings": shown})
        return
    shown_rows = [
        (name, _plain(value), origin) for name, value, origin in map(_without_secret, rows)
    ]
    table(shown_rows, ("SETTING", "VALUE", "FROM"))


def _plain(value: object) -> object:
    return ", ".join(value) if isinstance(value, tuple) else value


def _without_secret(row: tuple[str, object, str]) -> tuple[str, object, str]:
    name, value, origin = row
    return (name, "(set)", origin) if name == "engine.api_key" and value else (name, value, origin)
