"""kit status: is it running, and is everything in it ready."""

from __future__ import annotations

from kit.cli import options
from kit.cli.open_kit import open_kit
from kit.cli.output import emit, say
from kit.config import load_config


def status(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Say whether the kit runs on this home, and how its parts are."""
    settings = load_config(home=home)
    with open_kit(settings, say) as kit:
        found = {"home": str(settings.home), **_installation(), **kit.status()}
    if is_json:
        emit(found)
        return
    if not found["running"]:
        print(f"the kit is not running on {settings.home}")
        say(f"hint: start it: kit {'serve' if 'release' in found else 'up'}")
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
        print(f"{name:<16} {'-' if value is None else value}")


def _installation() -> dict[str, object]:
    """The release that runs, what could be gone back to, and what an upgrade left unfinished."""
    from kit.bundle.releases import Root
    from kit.release import installation_root

    folder = installation_root()
    if folder is None:
        return {}
    root = Root(folder)
    current, previous = root.current, root.previous
    found: dict[str, object] = {"root": str(folder)}
    if current is not None:
        found["release"] = current.id
        found["good_until"] = current.manifest.expires
    found["previous"] = previous.id if previous else None
    if not root.is_settled:
        found["unfinished"] = "the last switch was cut short: run kit upgrade or rollback again"
    return found
