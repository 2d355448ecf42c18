"""Numbered SQL scripts that bring any older database to this version, in order."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable


def scripts() -> list[Traversable]:
    """Every script, in the order of their numbers."""
    entries = resources.files(__name__).iterdir()
    return sorted((one for one in entries if one.name.endswith(".sql")), key=lambda one: one.name)


def number_of_scripts() -> int:
    """The version of the database that this kit writes."""
    return len(scripts())
