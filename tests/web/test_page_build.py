"""The page as Gradio gets it: no API, no other host, built without network."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from kit.web.page import build as page_build
from kit.web.page.build import EVENTS, PageParts, build_page
from kit.web.page.theme import ASSETS
from kit.web.services import Services

OUTSIDE = re.compile(r"//[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
NAMESPACE = "//www.w3.org"  # names a vocabulary; nothing is fetched from it
# Widgets that reach other hosts, or that let a browser see what is not its own.
UNWANTED = {"plot", "model3d", "fileexplorer", "loginbutton", "datetime", "chatbot", "markdown"}


@pytest.fixture
def page(services: Services, monkeypatch: pytest.MonkeyPatch) -> PageParts:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("building the page looks up a host")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with asyncio.Runner() as runner:  # Gradio opens an event loop of its own where there is none
        return runner.run(build_within(services))


async def build_within(services: Services) -> PageParts:
    return build_page(services)


def test_the_page_is_built_without_network(page: PageParts) -> None:
    """No name is looked up and analytics are off."""
    assert page.blocks.analytics_enabled is False


def test_no_event_has_a_public_name(page: PageParts) -> None:
    """The page's events are no API: hidden from its description and refused to its clients."""
    visible = [
        d for d in page.blocks.get_config_file()["dependencies"] if d["api_visibility"] != "private"
    ]
    assert visible == []


def test_every_event_of_the_script_is_handled(page: PageParts) -> None:
    """What the bus may send, something answers; what the script sends, the bus knows."""
    config = page.blocks.get_config_file()
    (bus,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "bus"]
    handled = {
        name for d in config["dependencies"] for target, name in d["targets"] if target == bus
    }
    assert handled == set(EVENTS)
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    assert set(re.findall(r'\bemit\("([a-z_]+)"', script)) == handled


def test_everything_drawn_by_the_page_is_drawn_by_a_known_widget(page: PageParts) -> None:
    """The widgets are few, and none is of a kind that reaches outside."""
    kinds = {c["type"] for c in page.blocks.get_config_file()["components"]}
    assert kinds <= {"html", "column", "radio", "file", "timer", "form"}
    assert not kinds & UNWANTED


def test_no_address_of_another_host_is_in_the_page(page: PageParts) -> None:
    """Head, theme and widgets name no outside host."""
    config = json.dumps(page.blocks.get_config_file()["components"])
    for part in (page.head, page.theme._get_theme_css(), config):
        assert set(OUTSIDE.findall(part)) <= {NAMESPACE}


def test_handlers_are_not_slowed_by_each_other(page: PageParts) -> None:
    """No limit on how many people are answered at once: the engine has its own queue."""
    assert page.blocks.default_config is not None
    streams = [d for d in page.blocks.fns.values() if d.name in ("ask", "regenerate", "edit")]
    assert len(streams) == 3
    assert page.blocks._queue.default_concurrency_limit is None


def test_every_drawing_named_in_the_layout_is_known_to_the_script() -> None:
    """A widget's name that the script acts on exists in the layout."""
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    block = script[script.index("const drawings = {") : script.index("window.kit = {")]
    named = set(re.findall(r"^    ([a-z]+): ", block, re.MULTILINE))
    layout = Path(page_build.__file__).read_text(encoding="utf-8")
    assert {name for name in named if f'_html("{name}"' not in layout} == set()


def test_the_script_builds_no_html() -> None:
    """Text reaches the page's HTML through the escaping in Python alone."""
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in script
