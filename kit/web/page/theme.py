"""How the page looks and what its script does: theme, style sheet, script.

Knows no room. Invariant: nothing here names another host; fonts are files that Gradio carries.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

ASSETS = resources.files("kit.web.page") / "assets"


def make_theme() -> Any:
    """Gradio's plain theme with fonts from its own files.

    Only these weights: the SemiBold files that Gradio carries lack the Latin letters.
    """
    from kit.web.page.widgets import gr

    local = gr.themes.LocalFont
    return gr.themes.Default(
        primary_hue="teal",
        neutral_hue="stone",
        font=[local("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[local("IBM Plex Mono", weights=(400, 700)), "monospace"],
    )


def head_html() -> str:
    """Style sheet and script, in the document's head so that they are there before any widget.

    Gradio's own `css` is no place for them: it puts its container before each selector, so a rule
    about the body would never match.
    """
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    return f"<style>{style}</style><script>{script}</script>"
