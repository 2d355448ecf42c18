"""Gradio as the page imports it: without a write into the packages."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

import kit
from kit.web.page.widgets import _without_stubs, gr

COMPONENT = "import gradio as gr\n\nclass Own(gr.HTML):\n    EVENTS = ['change']\n"


def define(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that defines a component is imported."""
    path.write_text(COMPONENT)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    assert issubclass(module.Own, gr.HTML)


def test_no_stub_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component of Gradio's gets its stub, but none as the page imports it."""
    define(tmp_path / "usual_component.py", monkeypatch)
    with _without_stubs():
        define(tmp_path / "quiet_component.py", monkeypatch)
    assert (tmp_path / "usual_component.pyi").exists()
    assert not (tmp_path / "quiet_component.pyi").exists()


def test_one_module_imports_gradio() -> None:
    """Whoever imported it first without that would be as slow as ever."""
    found = set()
    for path in Path(kit.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "gradio" in text else ():
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "gradio" for name in names):
                found.add(path.name)
    assert found == {"widgets.py"}
