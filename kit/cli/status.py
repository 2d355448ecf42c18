"""kit status: is it running, and is everything in it ready."""

from __future__ import annotations

from kit.cli import options
from kit.cli.output import emit, say
from kit.cli.session import open_kit
from kit.config import load_config


def status(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Say whether the kit runs on this home, and how its parts are."""
    settings = load_config(home=home)
    with open_kit(settings, say) as kit:
        found = {"home": str(settings.home), **kit.status()}
    if is_json:
        emit(found)
        return
    if not found["running"]:
        print(f"the kit is not running on {settings.home}")
        say("hint: start it: kit up")
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
        print(f"{name:<16} {'-' if value is None else value}")
