"""What the page says about the model that answers.

Knows the model cards and this machine's memory, nothing of the engine.
"""

from __future__ import annotations

import os

from kit.config import Config
from kit.supply.catalog import STARTER_CHAT, ModelCard, load_catalog, recommend
from kit.web.page.icons import icon
from kit.web.page.text import escape


def model_notice_html(config: Config) -> str:
    """A plain notice while the starter model answers; '' with any other model."""
    if config.engine.url or config.engine.model not in ("", STARTER_CHAT):
        return ""
    card = recommend(load_catalog(), memory_bytes(), config.engine.ctx * config.engine.parallel)
    return (
        f'<p class="model-notice">{icon("info")}<span>The <b>starter model</b> answers here. It is'
        f" very small: good to try the kit, not for real work. {_advice(card)}</span></p>"
    )


def _advice(card: ModelCard | None) -> str:
    """The model that fits this machine, and the one command to go on with."""
    if card is None:
        return "A larger model is the real deployment: <code>kit model list</code>"
    verb = "pull"
    return (
        f"A larger model is the real deployment; {escape(card.title)} fits this machine's memory:"
        f" <code>kit model {verb} {escape(card.name)}</code>"
    )


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
