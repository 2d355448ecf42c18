"""Gradio, imported without the stubs that it writes for editors.

While Gradio defines a component it parses the component's source and writes a .pyi file beside it:
more than half of the time that importing it takes, and a write into the installed packages at each
start of the page. It passes over a component that has no file, so for this import none has one.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def _without_stubs() -> Iterator[None]:
    real = inspect.getfile

    def getfile(object: Any) -> str:
        if type(object).__name__ == "ComponentMeta":
            raise OSError("no stub is wanted")
        return real(object)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = real


with _without_stubs():
    import gradio as gr

__all__ = ["gr"]
