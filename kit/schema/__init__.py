"""Numbered SQL scripts that bring any older database to this version, in order."""

from __future__ import annotations

from importlib import resources


def number_of_scripts() -> int:
    """The version of the database that this kit writes."""
    names = (entry.name for entry in resources.files(__name__).iterdir())
    return sum(name.endswith(".sql") for name in names)
